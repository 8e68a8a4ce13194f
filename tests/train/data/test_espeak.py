"""eSpeak NG: voices that differ, at the tempo and pitch that are asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stream.errors import ArgumentError
from stream.front_end.log_mel import SAMPLE_RATE
from train.data.espeak import EFFECTS, Samples, Voice, languages, say, variants

VOICE = Voice("fr", "m3", rate=120, pitch=50)


def fundamental(samples: Samples) -> float:
    """Return the frequency of the period that is strongest over a clip, between 60 and 300 Hz."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, 1024)[::128]
    periods = np.arange(SAMPLE_RATE // 300, SAMPLE_RATE // 60)
    alike = [
        np.sum(frames[:, period:] * frames[:, :-period])
        / np.sqrt(np.sum(frames[:, period:] ** 2) * np.sum(frames[:, :-period] ** 2))
        for period in periods
    ]
    return SAMPLE_RATE / float(periods[np.argmax(alike)])


def test_a_lower_rate_is_slower() -> None:
    fast, slow = (len(say("bonjour", replace(VOICE, rate=rate))) for rate in (160, 80))
    assert 1.7 < slow / fast < 2.3
    assert 0.3 < fast / SAMPLE_RATE < 0.7


def test_a_higher_pitch_is_higher() -> None:
    low, high = (fundamental(say("mardi", replace(VOICE, pitch=pitch))) for pitch in (20, 80))
    assert 60 < low < 0.8 * high < 240


def test_variants_are_voices_of_people() -> None:
    assert {"f1", "m1", "klatt", "Alicia"} < set(variants())
    assert not EFFECTS & set(variants())
    said = [say("un", replace(VOICE, variant=variant)) for variant in variants()]
    assert all(0.05 < np.abs(samples).max() < 1.05 for samples in said)
    assert len({samples.tobytes() for samples in said}) > 0.9 * len(said)


def test_languages_are_spoken_by_their_own_rules() -> None:
    assert {"fr", "fr-be", "en-us", "he", "pt-br"} <= set(languages())
    french, english = (say("six", replace(VOICE, language=name)) for name in ("fr", "en"))
    assert french.tobytes() != english.tobytes()


def test_nothing_can_be_spoken_of_some_texts() -> None:
    assert not say("", VOICE).any()


@pytest.mark.parametrize(
    ("voice", "said"),
    [
        (replace(VOICE, language="xx"), r"no language xx; want one of af, am, .*\bfr,"),
        (replace(VOICE, variant="nobody"), r"no variant nobody; want one of Alex, .*\bf1,"),
    ],
)
def test_a_voice_that_there_is_not_is_refused(voice: Voice, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        say("un", voice)
