"""Precision: what is lost against float32, in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from export.checks import precision
from export.checks.precision import Baseline, Precision
from stream.bundled import model_path, recordings
from stream.decoding.decoding import Decoding
from stream.model import directory
from stream.model.network import open_model
from stream.validation.report import Outcome, Report, report_of
from tests.tiny import tiny_network


def test_the_loss_without_texts_is_what_changes() -> None:
    assert Precision(0.02, 0.0, 0.0, 0, 2).loss == 0.02
    assert Precision(0.02, 0.2, 0.1, 5, 2).loss == pytest.approx(-0.1)


def test_it_reads_as_a_sentence_in_percent() -> None:
    assert str(Precision(0.021, 0.1, 0.125, 40, 7)) == (
        "WER of 7 recordings 10.00 % -> 12.50 %, 2.10 % of the words change"
    )


def test_a_backend_is_compared_with_float32_and_with_the_texts(tmp_path: Path) -> None:
    network = open_model(model_path())
    arrays = {**network.arrays, "joint.output.bias": network.arrays["joint.output.bias"].copy()}
    arrays["joint.output.bias"][-1] += 1000.0  # blank, always
    directory.write(replace(network, arrays=arrays), tmp_path / "mute", {})
    found = Baseline(network, recordings()[-2:]).compare(
        open_model(tmp_path / "mute"), "numpy", "mute"
    )
    assert found == Precision(1.0, 0.0, 1.0, 2, 2)


def test_of_two_heads_the_one_that_loses_more_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = {("int8", "ctc"): "one too"}

    def streamed(*_: Any, backend: str, decoding: Decoding, **__: Any) -> Report:
        text = heard.get((backend, str(decoding.head)), "one two")
        return report_of([Outcome("a", "one two", text, [], [], [])], 0.1)

    monkeypatch.setattr(precision, "validate", streamed)
    network = tiny_network(decoder="both")
    baseline = Baseline(network, recordings()[:1])
    found = baseline.compare(network, "int8", "int8")
    assert found == Precision(0.5, 0.0, 0.5, 2, 1, "ctc")
    assert str(found).startswith("WER of 1 recordings by ctc 0.00 % -> 50.00 %")
    assert baseline.rates == {"float32": 0.0, "float32, ctc": 0.0, "int8": 0.0, "int8, ctc": 0.5}


def test_float32_is_streamed_once_and_progress_says_what_is() -> None:
    network, seen = open_model(model_path()), list[tuple[str, int, int]]()
    baseline = Baseline(network, recordings()[-2:], lambda *shown: seen.append(shown))
    same = baseline.compare(network, "onnx", "again")
    assert same.changed == same.loss == 0.0 and same.recordings == 2
    assert seen == [("float32", 1, 2), ("float32", 2, 2), ("again", 1, 2), ("again", 2, 2)]
