"""Batches as a function of their number: what a batch holds depends on nothing else.

1. A choice says which clips a batch holds, and in which rows: by chance from a corpus in memory
   (`train.data.chance`), or epoch by epoch from an index (`train.data.lazy.epochs`).
2. All that is drawn comes from a generator keyed by (seed, number), so a resumed run needs no state, and a
   second process draws the same.
3. Ranks and the parts of an accumulated update take numbers in turn (`number_of`), so they never share one, and
   two ranks together see the batches of one process that accumulates two parts.
"""

from __future__ import annotations

import itertools
import math
import queue
import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stream.audio import AudioError
from stream.manifest import ManifestError
from train.data.rows import Batch, Clip, Drawn, Place, Rows
from train.data.splicing import piece_of


def number_of(update: int, rank: int = 0, ranks: int = 1, part: int = 0, parts: int = 1) -> int:
    """Return the number of a batch: of an update from 0, a rank, and a part of the update (rule 3)."""
    return (update * parts + part) * ranks + rank


@dataclass(frozen=True)
class Chosen:
    """The clips of a batch.

    Attributes:
        rows: the clips of each row.
        joined: whether rows are of several.
        spliced: whether each gives some of its words only.
        apart: whether silences are between those of a row.
    """

    rows: Sequence[Sequence[Place]]
    joined: bool = False
    spliced: bool = False
    apart: bool = True


class Clips(Protocol):
    """Where clips come from."""

    def clip(self, place: Place) -> Clip:
        """Return a clip.

        Raises:
            AudioError, ManifestError, OSError: it cannot be used.
        """

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a part of a clip's text."""


class Choice(Protocol):
    """Which clips a batch holds."""

    @property
    def epoch(self) -> int:
        """Batches that hold each clip once, on average where they are drawn by chance."""

    def choose(self, number: int, update: int, rng: np.random.Generator) -> Chosen:
        """Return the clips of a batch.

        Args:
            number: of the batch.
            update: from 0, from which a curriculum follows.
            rng: of the batch.
        """

    def seconds(self, place: Place) -> float:
        """Return the duration of a clip."""

    def voice(self, batch: Sequence[Place], rng: np.random.Generator) -> Place:
        """Return a clip that talks in the background of another.

        Args:
            batch: the clips of the batch that can be used.
        """


@dataclass(frozen=True)
class Batches:
    """The batches of a run.

    Attributes:
        clips: where clips come from.
        choice: which of them a batch holds.
        rows: what becomes of them.
        skip: whether clips that cannot be used are left out and named in the batch, not refused.
        rank, ranks: of the processes that train together; each draws its own batches.
        parts: batches in an update of one process.
    """

    clips: Clips
    choice: Choice
    rows: Rows
    skip: bool = False
    rank: int = 0
    ranks: int = 1
    parts: int = 1

    @property
    def epoch(self) -> int:
        """Updates that draw each clip once; the last of them may begin the next epoch."""
        return math.ceil(self.choice.epoch / (self.ranks * self.parts))

    def batch(self, turn: int) -> Batch:
        """Return a batch of this rank.

        Args:
            turn: update * parts + part; with one part the update, from 0.
        Raises:
            AudioError, ManifestError, OSError: a clip cannot be used, and is not to be left out.
        """
        number, update, rng, chosen = self._chosen(turn)
        usable: dict[Place, Clip] = {}
        skipped: list[str] = []
        for place in dict.fromkeys(itertools.chain.from_iterable(chosen.rows)):
            try:
                usable[place] = self.clips.clip(place)
            except (AudioError, ManifestError, OSError) as error:
                if not self.skip:
                    raise
                skipped.append(str(error))

        def any_clip(rng: np.random.Generator) -> NDArray[np.float32]:
            place = self.choice.voice(list(usable), rng)
            return (usable.get(place) or self.clips.clip(place)).samples()

        rows = []
        for places in chosen.rows:
            clips = [usable[place] for place in places if place in usable]
            if chosen.spliced:
                words = self.rows.config.splice_words
                clips = [piece_of(clip, words, self.clips.encode, rng) for clip in clips]
            if clips:
                rows.append(
                    self.rows.row(
                        clips,
                        rng,
                        update,
                        any_clip,
                        long_silences=chosen.joined,
                        spliced=chosen.spliced,
                        apart=chosen.apart,
                    )
                )
        return self.rows.padded(rows or [self.rows.silence(rng)], number, tuple(skipped))

    def padded_seconds(self, turn: int) -> float:
        """Return the audio of a batch, padded, without drawing it; silences around clips are left out."""
        rows = self._chosen(turn)[-1].rows
        return len(rows) * max((sum(map(self.choice.seconds, row)) for row in rows), default=0.0)

    def _chosen(self, turn: int) -> tuple[int, int, np.random.Generator, Chosen]:
        """Return a batch's number, its update, its generator, and its clips."""
        update, part = divmod(turn, self.parts)
        number = number_of(update, self.rank, self.ranks, part, self.parts)
        rng = self.rows.generator(number, stream=0)
        return number, update, rng, self.choice.choose(number, update, rng)


def prefetch(batches: Drawn, start: int, end: int, depth: int = 6) -> Generator[Batch]:
    """Yield the batches of turns start to end, drawn ahead by a thread.

    An error in the thread is raised here, in its place.
    """
    ready: queue.Queue[Batch | BaseException] = queue.Queue(depth)
    stopped = threading.Event()

    def draw() -> None:
        for turn in range(start, end):
            try:
                item: Batch | BaseException = batches.batch(turn)
            except BaseException as error:  # handed over, not swallowed
                item = error
            while not stopped.is_set():
                try:
                    ready.put(item, timeout=0.5)
                    break
                except queue.Full:
                    continue
            if stopped.is_set() or isinstance(item, BaseException):
                return

    thread = threading.Thread(target=draw, name="batches", daemon=True)
    thread.start()
    try:
        for _ in range(start, end):
            item = ready.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()
