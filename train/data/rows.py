"""Rows of a batch: clips augmented and joined, or noise alone, padded to one length.

All that is drawn comes from a generator keyed by (seed, number of the batch), so a batch is a function of
these. Which clips are in it is decided elsewhere (`train.data.batches`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stream.front_end.log_mel import SAMPLE_RATE
from train.config.batches import AugmentationConfig, BatchConfig
from train.data.augmentation import at_update, augment, crossfaded, faded, joined, room
from train.data.records.record import Origin
from train.data.records.words import TimedWord
from train.text.spellings import Spellings

WITHOUT_SPEECH_DBFS = (-75.0, -15.0)  # levels of rows without speech

Samples: TypeAlias = NDArray[np.float32]
Place: TypeAlias = tuple[int, int]  # of a clip: its data set, and its number there


@dataclass(frozen=True)
class Batch:
    """A padded batch.

    Attributes:
        audio: (B, N) float32, zero past each row's samples.
        samples: (B,) int64.
        tokens: (B, U) int64, zero past each row's tokens.
        token_lengths: (B,) int64.
        number: the batch's, which keys all random draws for it, later ones too.
        skipped: for each utterance that was left out, what is wrong with it.
        seen: how many of the samples are speech of each origin, as they were augmented: no silences, no noise.
        frames: (B, S, inputs) float32 input frames and those of each row, (B,) int64, where the process that
            drew the batch computed them, and kept the audio to itself: (B, 0).
    """

    audio: Samples
    samples: NDArray[np.int64]
    tokens: NDArray[np.int64]
    token_lengths: NDArray[np.int64]
    number: int = 0
    skipped: tuple[str, ...] = ()
    seen: Mapping[Origin, int] = field(default_factory=dict)
    frames: tuple[NDArray[np.float32], NDArray[np.int64]] | None = None


@dataclass(frozen=True)
class Clip:
    """A decoded utterance.

    Attributes:
        audio: (samples,) int16 at 16 kHz.
        text: as it is learned.
        tokens: the text's, in its most probable spelling.
        words: the text's, with their times as far as these are known.
        origin: the corpus that it is of, and its licence.
    """

    audio: NDArray[np.int16]
    text: str
    tokens: list[int]
    words: tuple[TimedWord, ...] = ()
    origin: Origin = Origin()

    def samples(self) -> Samples:
        """Return (samples,) float32 in [-1, 1]."""
        return self.audio.astype(np.float32) / 32768.0


class Row(NamedTuple):
    """A row before it is padded.

    Attributes:
        audio: (samples,) float32.
        tokens: of its clips.
        seen: samples of each of them, with its origin.
    """

    audio: Samples
    tokens: list[int]
    seen: Sequence[tuple[Origin, int]] = ()


@dataclass(frozen=True)
class Rows:
    """The making of a batch's rows from clips.

    Attributes:
        noise: recordings without speech, (samples,) float32.
        config, augmentation: how rows are made; see their types.
        seed: of everything drawn.
        spellings: what tokens are drawn from; None: those of the clips.
    """

    noise: list[Samples]
    config: BatchConfig
    augmentation: AugmentationConfig
    seed: int
    spellings: Spellings | None = None

    def generator(self, number: int, stream: int = 1) -> np.random.Generator:
        """Return the generator of a batch; stream 0 is the batch's, others are the caller's."""
        return np.random.Generator(np.random.Philox(key=[self.seed * 16 + stream, number]))

    def row(
        self,
        clips: Sequence[Clip],
        rng: np.random.Generator,
        update: int,
        any_clip: Callable[[np.random.Generator], Samples],
        *,
        long_silences: bool = False,
        spliced: bool = False,
        apart: bool = True,
    ) -> Row:
        """Return a row.

        Args:
            clips: one, or those that are joined.
            update: from which augmentation with a schedule follows.
            any_clip: draws a clip of the training set, for babble.
            long_silences: whether there may be long ones between the clips.
            spliced: whether clips were cut out of others.
            apart: whether there are silences between the clips.
        """
        if rng.random() < self.config.without_speech:
            return Row(self._without_speech(sum(len(clip.audio) for clip in clips), rng), [])
        augmentation = at_update(self.augmentation, update)
        audio = [augment(c.samples(), rng, augmentation, self.noise, any_clip) for c in clips]
        seen = [(clip.origin, len(x)) for clip, x in zip(clips, audio, strict=True)]
        if spliced:
            audio = [faded(x) for x in audio] if apart else [crossfaded(audio)]
        row = joined(audio, rng, augmentation, long_silences, self.noise)
        return Row(row, [token for clip in clips for token in self._tokens(clip, rng)], seen)

    def _tokens(self, clip: Clip, rng: np.random.Generator) -> Sequence[int]:
        share = self.augmentation.spelling_share
        if self.spellings is None or (share < 1.0 and rng.random() >= share):
            return clip.tokens
        return self.spellings.draw(clip.text, rng)

    def silence(self, rng: np.random.Generator) -> Row:
        """Return a row of a second without speech."""
        return Row(self._without_speech(SAMPLE_RATE, rng), [])

    def _without_speech(self, samples: int, rng: np.random.Generator) -> Samples:
        return room(samples, rng, self.noise, WITHOUT_SPEECH_DBFS)

    @staticmethod
    def padded(rows: Sequence[Row], number: int, skipped: tuple[str, ...]) -> Batch:
        """Return the batch of some rows."""
        samples = np.array([len(row.audio) for row in rows], np.int64)
        lengths = np.array([len(row.tokens) for row in rows], np.int64)
        audio = np.zeros((len(rows), samples.max()), np.float32)
        tokens = np.zeros((len(rows), lengths.max()), np.int64)
        seen: Counter[Origin] = Counter()
        for i, row in enumerate(rows):
            audio[i, : len(row.audio)] = row.audio
            tokens[i, : len(row.tokens)] = row.tokens
            for origin, count in row.seen:
                seen[origin] += count
        return Batch(audio, samples, tokens, lengths, number, skipped, dict(seen))


class Drawn(Protocol):
    """The batches of a run by number."""

    @property
    def rows(self) -> Rows:
        """What becomes of clips in a row."""

    @property
    def epoch(self) -> int:
        """Updates that draw each utterance once; see `Choice`."""

    def batch(self, turn: int) -> Batch:
        """Return a batch: the next of the run, from 0."""

    def padded_seconds(self, turn: int) -> float:
        """Return the audio of a batch, padded, without drawing it: what it takes in memory follows from that."""
