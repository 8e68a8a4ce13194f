"""Files of a report: what was heard, and when each word sounds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from stream.ctm import ctm_line
from stream.files.atomic import replace_file
from stream.validation.report import Report


def write_predictions(report: Report, path: Path) -> None:
    """Write what was heard, recording by recording, in their order.

    A `.jsonl` file has an object a line: `id`, `duration` in seconds, `pred_text`, as NeMo calls it, and `text`
    where there are references. Any other file has the text alone, a recording a line.
    """
    if path.suffix != ".jsonl":
        text = "".join(f"{outcome.hypothesis}\n" for outcome in report.utterances)
        replace_file(path, text.encode())
        return
    lines = []
    for outcome in report.utterances:
        said = {"text": outcome.reference} if report.scored else {}
        heard = {"id": outcome.id, "duration": round(outcome.seconds, 3), **said}
        lines.append(json.dumps(heard | {"pred_text": outcome.hypothesis}, ensure_ascii=False))
    replace_file(path, "".join(f"{line}\n" for line in lines).encode())


def write_ctm(report: Report, path: Path) -> None:
    """Write when each word that was heard sounds."""
    replace_file(path, "".join(f"{line}\n" for line in _ctm_lines(report)).encode())


def _ctm_lines(report: Report) -> Iterator[str]:
    for outcome in report.utterances:
        words = filter(None, outcome.hypothesis.split(" "))
        for word, (start, end) in zip(words, outcome.times, strict=True):
            yield ctm_line(outcome.id, word, start, end)
