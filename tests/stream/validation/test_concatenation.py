from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.validation.concatenation import concatenated


@dataclass(frozen=True)
class Recording:
    """A recording whose samples are all its number."""

    number: int
    text: str
    duration: float | None
    corpus: str | None = None

    @property
    def id(self) -> str:
        return f"{self.number}.wav"

    def read(self) -> NDArray[np.float32]:
        return np.full(16_000, self.number, np.float32)


def test_recordings_of_a_corpus_are_joined_in_their_order_until_they_are_long_enough() -> None:
    made = concatenated(
        [
            Recording(1, "one", 1.0, "a"),
            Recording(2, "two", 1.0, "b"),
            Recording(3, "", 1.0, "a"),
            Recording(4, "four", None, "a"),  # its length is read
            Recording(5, "five", 1.0, "b"),
        ],
        2.0,
    )
    assert [(r.id, r.text, r.corpus, r.duration) for r in made] == [
        ("1.wav+1", "one", "a", 2.0),
        ("2.wav+1", "two five", "b", 2.0),
        ("4.wav", "four", "a", 1.0),
    ]
    samples = made[1].read()
    assert (
        samples[:16_000].tolist() == [2.0] * 16_000 and samples[16_000:].tolist() == [5.0] * 16_000
    )
