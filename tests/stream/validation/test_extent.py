"""Where the sound of a recording begins and ends."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from stream.validation.extent import extent


def room(seconds: float, *sounds: tuple[float, float, float]) -> NDArray[np.float32]:
    """A quiet room with noises from .. to, seconds, each so many times as loud as the room."""
    samples = np.random.default_rng(0).normal(0.0, 1e-4, int(16000 * seconds))
    for begin, end, times in sounds:
        samples[int(16000 * begin) : int(16000 * end)] *= times
    return samples.astype(np.float32)


@pytest.mark.parametrize("until", [0.4, 0.73, 1.0])
@pytest.mark.parametrize("gain", [0.01, 1.0, 3.0])
def test_it_sounds_from_the_first_to_the_last_energy_at_any_level(
    until: float, gain: float
) -> None:
    found = extent(np.float32(gain) * room(1.0, (0.25, until, 300.0)))
    assert found == pytest.approx((0.25, until), abs=0.011)


def test_a_stop_belongs_to_the_word_and_a_click_does_not() -> None:
    released = room(2.0, (0.5, 0.8, 300.0), (0.9, 0.95, 60.0))
    assert extent(released) == pytest.approx((0.5, 0.95), abs=0.011)
    clicked = room(2.0, (0.1, 0.11, 300.0), (0.5, 0.8, 300.0), (1.2, 1.4, 100.0))
    assert extent(clicked) == pytest.approx((0.5, 0.8), abs=0.011)


def test_a_fricative_counts_though_it_is_much_weaker() -> None:
    assert extent(room(1.5, (0.4, 0.6, 600.0), (0.6, 0.9, 40.0))) == pytest.approx(
        (0.4, 0.9), abs=0.011
    )


def test_several_words_last_to_the_end_of_the_last_one() -> None:
    said = room(3.0, (0.5, 0.8, 300.0), (1.2, 1.5, 200.0), (2.5, 2.7, 20.0))
    assert extent(said, words=2) == pytest.approx((0.5, 1.5), abs=0.011)
    assert extent(said) == pytest.approx((0.5, 0.8), abs=0.011)


@pytest.mark.parametrize("samples", [0, 1, 80, 16000])
def test_silence_and_a_few_samples_have_none(samples: int) -> None:
    assert extent(np.zeros(samples, np.float32)) is None
    assert extent(np.ones(samples, np.float32)) is None


def test_it_cannot_be_told_in_noise() -> None:
    assert extent(room(1.0, (0.4, 0.8, 10.0))) is None
