"""Differences of two traces: how large, at which stage, in which recording, when."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from export.checks.tracer import trace
from export.compare.differences import Differences
from stream.audio import read_audio
from stream.backends import Backend, load_backend
from stream.bundled import recordings
from stream.stage import State
from tests.tiny import tiny_network


class Jolted:
    """A backend whose encoder is off by one in every element of one encoder frame of one row."""

    def __init__(self, backend: Backend, frame: int, row: int) -> None:
        self._backend, self._frame, self._row = backend, frame, row
        self.initial_state, self.predict = backend.initial_state, backend.predict
        self.join, self.specification = backend.join, backend.specification

    def encode(
        self, x: NDArray[np.float32], state: State, present: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.float32], State]:
        f, state = self._backend.encode(x, state, present)
        if self._frame == 0:
            f[self._row] += 1.0
        self._frame -= 1
        return f, state


def test_a_planted_difference_is_found_at_its_stage_recording_and_frame() -> None:
    network = tiny_network()
    audio = [read_audio(u.audio) for u in recordings()[:2]]
    paths = [[(1, 2), (2, 2)], [(3, 5)]]
    backend = load_backend("numpy", network)
    reference = trace(network, backend, audio, paths)
    other = trace(network, Jolted(backend, frame=7, row=1), audio, paths)
    differences = Differences(0.06)
    differences.add(reference, other, ["first", "second"])
    found = differences.by_stage()
    assert {name for name, stage in found.items() if stage.largest} == {"encoder", "logits"}
    for stage in (found["encoder"], found["logits"]):
        assert (stage.recording, stage.seconds) == ("second", pytest.approx(7 * 0.06))
    assert found["encoder"].largest == pytest.approx(1.0)
