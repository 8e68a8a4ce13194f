"""Calibration: the ranges of int8 and the rate of tokens, from recordings."""

from __future__ import annotations

import numpy as np
import pytest

from export.calibration import Calibration
from export.checks.tracer import batches, trace
from export.onnx.ranges import Ranges
from stream.backends import load_backend
from stream.bundled import model_path, recordings
from stream.model.network import open_model
from tests.tiny import tiny_network


def test_ranges_hold_the_encoders_input_and_the_joints_hidden_vector() -> None:
    network, utterances = open_model(model_path()), recordings()[-2:]
    backend = load_backend("numpy", network)
    calibration = Calibration(network, backend, utterances)
    (batch,) = batches(network, utterances)
    assert calibration.x == pytest.approx(np.abs(batch.x).max())

    tokens = calibration.decode()
    audio = [u.read() for u in sorted(utterances, key=lambda each: each.duration)]
    largest = 0.0
    for row in trace(network, backend, audio, [[(t.id, t.step) for t in row] for row in tokens]):
        places = np.arange(len(row.steps)) - row.steps
        joined = row.stages["encoder"][row.steps] + row.stages["prediction"][places]
        largest = max(largest, float(joined.max()))
    assert calibration.joint() == pytest.approx(largest, rel=1e-5)
    assert calibration.ranges() == Ranges(calibration.x, calibration.joint())


def test_the_rate_is_tokens_a_second_and_progress_counts_recordings() -> None:
    network, utterances, seen = open_model(model_path()), recordings()[:3], list[tuple[int, int]]()
    backend = load_backend("numpy", network)
    calibration = Calibration(
        network, backend, utterances, lambda done, total: seen.append((done, total))
    )
    seconds = sum(utterance.duration for utterance in utterances)
    assert calibration.rate() == pytest.approx(
        sum(map(len, calibration.decode())) / seconds, rel=0.01
    )
    assert seen == [(3, 3)]


def test_without_recordings_nothing_is_calibrated() -> None:
    network = tiny_network()
    with pytest.raises(ValueError, match="calibration: no recordings"):
        Calibration(network, load_backend("numpy", network), [])
