"""Corpus: recordings in memory, decoded before the first update."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream.audio import AudioError
from stream.engine.resources import usable_cores
from stream.front_end.log_mel import SAMPLE_RATE
from train.data.records.record import Origin, Record, name_of
from train.data.records.words import TimedWord
from train.data.rows import Clip, Place


@dataclass(frozen=True)
class Corpus:
    """Recordings in memory as 16-bit samples.

    Attributes:
        audio: (samples,) int16 of each.
        tokens, names, texts: of each its tokens, the name of its corpus and its text.
        weights: how often each is drawn, against 1; None: all alike.
        words: of each those of its text, with their times; None: of none.
        encode: spells a text.
        origins: of each its corpus and licence; None: the corpora, without licences.
    """

    audio: list[NDArray[np.int16]]
    tokens: list[list[int]]
    names: list[str]
    texts: list[str]
    weights: list[float] | None = None
    words: list[tuple[TimedWord, ...]] | None = None
    encode: Callable[[str], list[int]] = lambda text: []
    origins: list[Origin] | None = None

    @classmethod
    def load(
        cls,
        utterances: Sequence[Record],
        encode: Callable[[str], list[int]],
        progress: Callable[[int, int], None],
        weights: list[float] | None = None,
    ) -> Corpus:
        """Decode every recording once.

        Raises:
            AudioError, ManifestError: one of them cannot be decoded, or is not as long as its line says.
        """
        audio = []
        with ThreadPoolExecutor(usable_cores()) as pool:  # decoders work outside the interpreter
            for samples in pool.map(read_int16, utterances):
                audio.append(samples)
                progress(len(audio), len(utterances))
        words = [u.words for u in utterances]
        return cls(
            audio,
            [encode(u.text) for u in utterances],
            [u.corpus or "" for u in utterances],
            [u.text for u in utterances],
            weights,
            words if any(words) else None,
            encode,
            [u.origin for u in utterances],
        )

    def clip(self, place: Place) -> Clip:
        """Return a recording with its text."""
        _, number = place
        words = self.words[number] if self.words else ()
        origin = self.origins[number] if self.origins else Origin(self.names[number])
        return Clip(self.audio[number], self.texts[number], self.tokens[number], words, origin)


def read_int16(utterance: Record) -> NDArray[np.int16]:
    """Decode an utterance, (samples,) int16 at 16 kHz.

    Raises:
        AudioError: it cannot be decoded, or holds no sample at that rate.
        ManifestError: it is not as long as its data set says.
    """
    samples: NDArray[np.float32] = np.clip(np.rint(utterance.read() * 32768.0), -32768, 32767)
    if not len(samples):  # one sample at a higher rate
        raise AudioError(Path(name_of(utterance.audio)), f"holds no sample at {SAMPLE_RATE} Hz")
    return samples.astype(np.int16)
