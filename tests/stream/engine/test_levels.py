"""Levels of the last seconds, of many slots, without a copy of the ring."""

from __future__ import annotations

import numpy as np

from stream.engine.levels import KEPT, Levels


def test_frames_are_counted_from_the_start_of_the_stream_and_the_oldest_forgotten() -> None:
    levels = Levels(2, silence=-16.0, chunk=6)
    both = np.array([0, 1])
    for chunk in range(200):
        frames = np.arange(6 * chunk, 6 * chunk + 6, dtype=np.float32)
        levels.put(both, np.stack([frames, -frames]))
    first, kept = levels.recent(1)
    assert first == 1200 - 6 - KEPT
    np.testing.assert_array_equal(kept, -np.arange(first, 1200))


def test_muted_frames_are_silent_and_other_slots_do_not_notice() -> None:
    levels = Levels(2, silence=-16.0, chunk=6)
    levels.put(np.array([0, 1]), np.zeros((2, 3), np.float32))
    levels.skip(np.array([0]), 2)
    assert levels.recent(0)[1].tolist() == [0, 0, 0, -16, -16]
    assert levels.recent(1)[1].tolist() == [0, 0, 0]


def test_a_new_stream_begins_with_nothing() -> None:
    levels = Levels(1, silence=-16.0, chunk=7)
    levels.put(np.array([0]), np.ones((1, 7), np.float32))
    levels.begin(0)
    assert levels.recent(0)[0] == 0 and not len(levels.recent(0)[1])
