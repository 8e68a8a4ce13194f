"""What was measured of a model: error rates by data set, corpus and arithmetic, and the rows of scenarios.

`stream.validation.record` wrote the notes that this reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from export.card.markdown import percent, table
from stream.backends import BACKENDS
from stream.scenarios import report
from stream.scenarios.rows import Row

Notes: TypeAlias = Mapping[str, Any]
ARITHMETICS = {
    "onnx": "float32",
    "integer-onnx": "integers",
    "integer": "integers",
    "numpy": "float32",
}


def error_rates(notes: Notes, chunk_ms: int) -> Iterator[str]:
    """Yield the section of word error rates, of a model with chunks of its own length."""
    evaluations: Sequence[Notes] = [
        each
        for each in notes.get("evaluations", [])
        if each["options"].get("chunk_ms", chunk_ms) == chunk_ms
    ]
    yield "## Word error rate, %"
    if not evaluations:
        yield from _of_training(notes)
        return
    columns = sorted({column_of(each) for each in evaluations})
    groups: dict[tuple[str, str, int, int], dict[tuple[int, str], Notes]] = {}
    for each in evaluations:
        group = each["data_set"], how_of(each["options"]), each["recordings"], each["words"]
        groups.setdefault(group, {})[column_of(each)] = each
    rows = []
    for (data_set, how, recordings, words), found in sorted(groups.items()):
        counts = [f"{recordings:,}", f"{words:,}"]
        rates = [percent(found[c]["wer"]) if c in found else "" for c in columns]
        rows.append([data_set + how, *counts, *rates])
        corpora = {
            name: about for each in found.values() for name, about in each["corpora"].items()
        }
        for name, about in corpora.items() if len(corpora) > 1 else ():
            counts = [f"{about['recordings']:,}", f"{about['words']:,}"]
            of_corpus = [found[c]["corpora"].get(name, {}) if c in found else None for c in columns]
            rates = ["" if each is None else percent(each.get("wer")) for each in of_corpus]
            rows.append([f"– {name}", *counts, *rates])
    yield table(["data set", "recordings", "words", *(title for _, title in columns)], rows)
    yield (
        "Streamed, every recording from the training set's statistics unless the row says otherwise "
        f"(`rill validate --record`). Measured {dates_of(evaluations)}."
    )


def _of_training(notes: Notes) -> Iterator[str]:
    """Yield what the notes of training and export say, where nothing was recorded."""
    rows = [
        [f"{data_set}, {corpus}", "float32", percent(rate)]
        for data_set, rates in notes.get("wer", {}).items()
        for corpus, rate in rates.items()
    ]
    export = notes.get("export", {})
    rows += [
        [f"{export['recordings']:,} recordings of the export", arithmetic, percent(rate)]
        for arithmetic, rate in export.get("wer", {}).items()
    ]
    yield table(["", "arithmetic", "WER"], rows) if rows else "Nothing was recorded."


def column_of(evaluation: Notes) -> tuple[int, str]:
    """Return the column of an evaluation: its place, and its title."""
    backend, artefact = evaluation["backend"], evaluation["artefact"]
    place = list(BACKENDS).index(backend) if backend in BACKENDS else len(BACKENDS)
    name = ARITHMETICS[backend] if backend in ARITHMETICS else str(backend)
    title = name if name == backend else f"{name} (`{backend}`)"
    if artefact == "model directory":
        return place, title
    return place + 100, f"{artefact}, {title}"


def how_of(options: Notes) -> str:
    """Return what a row says of its options: what is not a new channel for each recording, nor a length of chunk."""
    others = {
        name: value for name, value in options.items() if name not in ("reset_stats", "chunk_ms")
    }
    said = [] if options.get("reset_stats") else ["statistics carried on"]
    for name, value in others.items():
        word = name.replace("_", " ")
        said.append(word if value is True else f"{word} {value}")
    return "".join(f", {each}" for each in said)


def conditions(notes: Notes) -> Iterator[str]:
    """Yield the section of the scenarios, one table for each time that they were run."""
    runs: Sequence[Notes] = notes.get("scenarios", [])
    if not runs:
        return
    yield "## Rooms, levels, telephones"
    for run in runs:
        _, arithmetic = column_of(run)
        yield (
            f"{run['recordings']:,} recordings of {run['data_set']}, {arithmetic}, {run['date']} "
            "(`rill validate --scenario --record`):"
        )
        yield report.table(msgspec.convert(row, Row) for row in run["rows"])


def dates_of(evaluations: Sequence[Notes]) -> str:
    dates = sorted({each["date"] for each in evaluations})
    return dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
