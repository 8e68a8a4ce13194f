"""Clips of recordings for the page."""

from __future__ import annotations

import numpy as np

from export.compare.clips import CLIP_SECONDS, clip


def test_a_clip_of_a_long_recording_is_cut_around_the_time_that_matters() -> None:
    samples = np.zeros(30 * 16000, np.float32)
    samples[20 * 16000] = 0.5
    found = clip(samples, 20.0)
    assert (found.begin, found.seconds) == (16.0, CLIP_SECONDS)
    assert int(found.outline.argmax()) == int(240 * 4 / CLIP_SECONDS)
    assert len(found.wav) < 0.5e6
    assert clip(samples, 29.0).begin == 18.0
