"""Material of a run: what it learns from and what it is scored on, read and checked."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stream.audio import read_audio
from stream.manifest import Utterance
from stream.vocabulary import Vocabulary
from train.compute.ranks import Ranks
from train.config.file import resolve
from train.config.run import Config
from train.data.batches import Batches, prefetch
from train.data.lazy.workers import drawn_by_processes
from train.data.records.record import Record
from train.data.records.recordings import Recordings
from train.data.rows import Batch, Rows
from train.run.start import Start
from train.run.training_set import spelt_utterances, training_set
from train.text.spellings import Spellings


@dataclass(frozen=True)
class Material:
    """What is learned from, and what it is scored on.

    Attributes:
        batches: of the training set.
        dev: utterances, and their audio, each (samples,) float32.
        recordings: of the training set.
        workers: processes that draw the batches; 0: a thread does.
        skip_limit: how many utterances may be left out.
    """

    batches: Batches
    dev: Sequence[Utterance | Record]
    dev_audio: Sequence[NDArray[np.float32]]
    recordings: Recordings
    workers: int = 0
    skip_limit: int = 0

    def shared(self, ranks: Ranks, parts: int) -> Material:
        """Return the material of a rank, which draws so many batches for each update."""
        batches = replace(self.batches, rank=ranks.rank, ranks=ranks.count, parts=parts)
        return replace(self, batches=batches)

    def drawn(
        self, start: int, end: int, framed: Callable[[int], Batch] | None = None
    ) -> Generator[list[Batch]]:
        """Yield the batches of updates start to end, all parts of each, drawn ahead.

        Args:
            framed: draws a batch with its input frames, which processes do where there are any.
        """
        parts = self.batches.parts
        turns = start * parts, end * parts
        drawn = (
            drawn_by_processes(framed or self.batches.batch, *turns, self.workers)
            if self.workers
            else prefetch(self.batches, *turns)
        )
        with contextlib.closing(drawn):
            for first in drawn:
                yield [first, *itertools.islice(drawn, parts - 1)]


def material_of(config: Config, start: Start) -> Material:
    """Read the recordings and transcripts that a run learns from and is scored on.

    Raises:
        ConfigError: the configuration does not fit the recordings.
        ManifestError, AudioError: a manifest or a recording cannot be used.
    """
    data, vocabulary = config.data, Vocabulary(start.tokenizer)
    dev = spelt_utterances(data.dev_source, data, vocabulary)
    noise = sorted(resolve(data.noise).iterdir()) if data.noise else []
    rows = Rows(
        [read_audio(path) for path in noise],
        config.batches,
        config.augmentation,
        config.seed,
        _spellings(config, start.tokenizer),
    )
    dev_audio = [u.read() for u in dev]
    train = training_set(config, rows, start.tokenizer)
    return Material(
        train.batches, dev, dev_audio, train.recordings, train.workers, train.skip_limit
    )


def _spellings(config: Config, tokenizer: bytes) -> Spellings | None:
    """Return what tokens are drawn from, where the configuration has more than one spelling."""
    if config.augmentation.spellings == 1:
        return None
    return Spellings(tokenizer, config.augmentation.spellings, config.augmentation.spelling_alpha)
