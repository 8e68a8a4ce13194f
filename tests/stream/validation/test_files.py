from __future__ import annotations

import json
from pathlib import Path

from stream.engine.alignment import Span
from stream.validation.files import write_ctm, write_predictions
from stream.validation.report import Outcome, Report, report_of

OUTCOMES = [
    Outcome("a/1.wav", "one", "one", [1], [9], [Span(0.25, 0.5)], None, 1.0),
    Outcome("2.wav", "é", "", [], [], [], None, 0.8125),
]


def report(*, scored: bool = True) -> Report:
    return report_of(OUTCOMES, rtf=0.1, scored=scored)


def test_predictions_are_a_line_of_text_for_each_recording(tmp_path: Path) -> None:
    write_predictions(report(), tmp_path / "preds.txt")
    assert (tmp_path / "preds.txt").read_text() == "one\n\n"


def test_predictions_as_json_lines_have_the_reference_where_there_is_one(tmp_path: Path) -> None:
    path = tmp_path / "preds.jsonl"
    write_predictions(report(), path)
    first, second = map(json.loads, path.read_text().splitlines())
    assert first == {"id": "a/1.wav", "duration": 1.0, "text": "one", "pred_text": "one"}
    assert second == {"id": "2.wav", "duration": 0.812, "text": "é", "pred_text": ""}
    write_predictions(report(scored=False), path)
    assert "text" not in json.loads(path.read_text().splitlines()[0])


def test_a_ctm_has_a_line_for_each_word_that_was_heard(tmp_path: Path) -> None:
    write_ctm(report(), tmp_path / "a.ctm")
    assert (tmp_path / "a.ctm").read_text() == "a/1.wav 1 0.250 0.250 one\n"
