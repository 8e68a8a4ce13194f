"""Several channels to one: the mean, and what happens where it cancels."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from stream.audio import read_audio
from stream.audio.channels import Mixer
from tests.stream.audio.files import NOISE, encoded

OTHER = np.random.default_rng(1).uniform(-0.5, 0.5, len(NOISE)).astype(np.float32)


@pytest.mark.parametrize(
    "channels",
    [(NOISE, NOISE), (NOISE, OTHER), (NOISE, 0 * NOISE), (NOISE, -0.5 * NOISE), (0 * NOISE,) * 2],
    ids=["equal", "independent", "one silent", "one inverted and quieter", "silence"],
)
def test_the_mean_is_taken_of_channels_that_do_not_cancel(
    channels: tuple[NDArray[np.float32], ...],
) -> None:
    block = np.stack(channels, axis=1)
    mixer = Mixer()
    np.testing.assert_array_equal(mixer.mix(block), block.mean(axis=1, dtype=np.float32))
    assert mixer.taken is None


@pytest.mark.parametrize("scale", [1.0, 0.9, 0.75])
def test_of_channels_that_cancel_the_loudest_is_heard(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, scale: float
) -> None:
    stereo = np.stack([-scale * NOISE, NOISE], axis=1)
    (tmp_path / "a.wav").write_bytes(encoded(stereo, "wav", subtype="FLOAT"))
    with caplog.at_level(logging.WARNING):
        samples = read_audio(tmp_path / "a.wav")
    np.testing.assert_array_equal(samples, NOISE if scale < 1 else -NOISE)
    assert caplog.messages == [
        f"{tmp_path / 'a.wav'}: the channels cancel each other from 0.00 s on; "
        f"channel {1 if scale < 1 else 0} (from 0) is heard alone"
    ]


def test_a_silent_begin_decides_nothing() -> None:
    mixer = Mixer()
    assert not mixer.mix(np.zeros((100, 2), np.float32)).any()
    block = np.stack([NOISE, -NOISE], axis=1)
    np.testing.assert_array_equal(mixer.mix(block), NOISE)
    assert (mixer.taken, mixer.since) == (0, 100)
    both = np.stack([NOISE, OTHER], axis=1)
    np.testing.assert_array_equal(mixer.mix(both), NOISE)  # for the rest of the recording


def test_two_of_four_channels_that_cancel() -> None:
    block = np.stack([0 * NOISE, 0 * NOISE, NOISE, -NOISE], axis=1)
    np.testing.assert_array_equal(Mixer().mix(block), NOISE)


def test_small_blocks_are_judged_together() -> None:
    mixer, inverted = Mixer(), np.stack([NOISE, -NOISE], axis=1)
    pieces = [mixer.mix(inverted[at : at + 100]) for at in range(0, 2000, 100)]
    assert mixer.since == 700  # the piece that completes 800 frames is heard
    np.testing.assert_array_equal(np.concatenate(pieces)[700:], NOISE[700:2000])
    assert not np.concatenate(pieces)[:700].any()
