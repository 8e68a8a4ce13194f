"""Precision: what is lost against float32, in words."""

from __future__ import annotations

import pytest

from export.checks.precision import Baseline, Precision
from stream.bundled import model_path, recordings
from stream.model.network import open_model
from stream.validation import Outcome, Report


def test_the_loss_without_texts_is_what_changes() -> None:
    assert Precision(0.02, 0.0, 0.0, 0, 2).loss == 0.02
    assert Precision(0.02, 0.2, 0.1, 5, 2).loss == pytest.approx(-0.1)


def test_it_reads_as_a_sentence_in_percent() -> None:
    assert str(Precision(0.021, 0.1, 0.125, 40, 7)) == (
        "WER of 7 recordings 10.00 % -> 12.50 %, 2.10 % of the words change"
    )


def report(*hypotheses: str, wer: float) -> Report:
    outcomes = [Outcome(str(n), "one two", text, [], [], []) for n, text in enumerate(hypotheses)]
    return Report(wer, 0, 0, 0, 4, 0.0, outcomes)


def test_a_backend_is_held_against_float32_and_against_the_texts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reports = {
        "onnx": report("one two", "one too", wer=0.25),
        "int8": report("one", "one too", wer=0.5),
    }
    monkeypatch.setattr(
        "export.checks.precision.validate", lambda *_, backend, **__: reports[backend]
    )
    found = Baseline(open_model(model_path()), recordings()[:2]).hold(
        open_model(model_path()), "int8", "int8"
    )
    assert found == Precision(0.25, 0.25, 0.5, 4, 2)


def test_float32_is_streamed_once_and_progress_says_what_is() -> None:
    network, seen = open_model(model_path()), list[tuple[str, int, int]]()
    baseline = Baseline(network, recordings()[-2:], lambda *shown: seen.append(shown))
    same = baseline.hold(network, "onnx", "again")
    assert same.changed == same.loss == 0.0 and same.recordings == 2
    assert seen == [("float32", 1, 2), ("float32", 2, 2), ("again", 1, 2), ("again", 2, 2)]
