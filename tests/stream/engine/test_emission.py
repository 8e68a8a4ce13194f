"""Emission latency: against the sound, for words that were heard as they were said."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from stream.engine.emission import sounding_spans, word_latencies
from stream.vocabulary import Vocabulary
from stream.words import WordDelay
from tests.tiny import tiny_specification, tiny_tokenizer

SPECIFICATION = tiny_specification(word_delay=WordDelay(0.3, 0.0))


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary(tiny_tokenizer())


def levels(seconds: float, *words: tuple[float, float]) -> NDArray[np.float32]:
    """Levels of a quiet room in which somebody speaks from .. to, seconds."""
    level = np.random.default_rng(0).normal(-12.0, 0.5, round(100 * seconds)).astype(np.float32)
    for begin, end in words:
        level[round(100 * begin) : round(100 * end)] += 9.0
    return level


def test_tokens_sound_where_it_is_loud() -> None:
    spans = sounding_spans(
        SPECIFICATION, levels(4.0, (1.0, 1.4), (2.0, 2.6)), [" a", " b"], [22, 42]
    )
    assert spans == [pytest.approx((1.0, 1.4), abs=0.02), pytest.approx((2.0, 2.6), abs=0.02)]


def test_a_long_silence_after_a_word_does_not_lose_its_end() -> None:
    sound = levels(30.0, (1.0, 1.4), (20.0, 20.6))
    first, second = sounding_spans(SPECIFICATION, sound, [" a", " b"], [22, 342])
    assert first == pytest.approx((1.0, 1.4), abs=0.02)
    assert second == pytest.approx((20.0, 20.6), abs=0.02)


@pytest.mark.parametrize("late", [-2, 0, 5])
def test_the_latency_of_a_word_is_that_of_its_last_token_after_its_sound(
    vocabulary: Vocabulary, late: int
) -> None:
    tokens = vocabulary.encode("cat")
    aligned = [(token, 23) for token in tokens]  # its frame ends at 1.44 s
    emitted = [(token, 23 + late) for token in tokens]
    (latency,) = word_latencies(
        SPECIFICATION, vocabulary, levels(4.0, (1.0, 1.4)), aligned, emitted
    )
    assert latency == pytest.approx(0.01 + 0.06 * late, abs=0.02)  # half a frame does not count


def test_a_word_that_was_not_heard_has_no_latency(vocabulary: Vocabulary) -> None:
    said = [(token, 23) for token in vocabulary.encode("cat")]
    heard = [(token, 23) for token in vocabulary.encode("hen")]
    assert word_latencies(SPECIFICATION, vocabulary, levels(4.0, (1.0, 1.4)), said, heard) == []
    assert word_latencies(SPECIFICATION, vocabulary, levels(4.0), [], heard) == []
