"""Batches as a function of their number: what update n learns from depends on nothing else.

A batch holds rows of similar length; a row is one clip, or several joined into one stream. Each
batch draws its clips from a generator keyed by (seed, number), so a resumed run needs no state, and
a second process draws the same.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream.audio import AudioError
from stream.front_end.log_mel import SAMPLE_RATE
from stream.manifest import Utterance
from train.data.formats.record import Record, name_of
from train.data.rows import Batch, Clip, Drawn, Rows

__all__ = ["Batches", "Corpus", "prefetch", "read_int16"]

Samples = NDArray[np.float32]


LEAST_SHORT = 0.1  # of what is drawn, that is learned alone at first
LEAST_JOINED = 0.5  # of what is drawn, that fits into a joined row twice


@dataclass(frozen=True)
class Corpus:
    """Recordings in memory as 16-bit samples.

    Attributes:
        audio: (samples,) int16 of each.
        tokens, names, texts: of each its tokens, the name of its corpus and its text.
        weights: how often each is drawn, against 1; None: all alike.
    """

    audio: list[NDArray[np.int16]]
    tokens: list[list[int]]
    names: list[str]
    texts: list[str]
    weights: list[float] | None = None

    @classmethod
    def load(
        cls,
        utterances: Sequence[Utterance | Record],
        encode: Callable[[str], list[int]],
        progress: Callable[[int, int], None],
        weights: list[float] | None = None,
    ) -> Corpus:
        """Decode every recording once.

        Raises:
            AudioError, ManifestError: one of them cannot be decoded, or is not as long as its line says.
        """
        audio = []
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoders work outside the interpreter
            for samples in pool.map(read_int16, utterances):
                audio.append(samples)
                progress(len(audio), len(utterances))
        return cls(
            audio,
            [encode(u.text) for u in utterances],
            [u.corpus or "" for u in utterances],
            [u.text for u in utterances],
            weights,
        )

    def clip(self, index: int) -> Clip:
        """Return a recording with its text."""
        return Clip(self.audio[index], self.texts[index], self.tokens[index])


def read_int16(utterance: Utterance | Record) -> NDArray[np.int16]:
    """Decode an utterance, (samples,) int16 at 16 kHz.

    Raises:
        AudioError: it cannot be decoded, or holds no sample at that rate.
        ManifestError: it is not as long as its data set says.
    """
    samples: NDArray[np.float32] = np.clip(np.rint(utterance.read() * 32768.0), -32768, 32767)
    if not len(samples):  # one sample at a higher rate
        audio = utterance.audio
        path = audio if isinstance(audio, Path) else Path(name_of(audio))
        raise AudioError(path, f"holds no sample at {SAMPLE_RATE} Hz")
    return samples.astype(np.int16)


class Batches:
    """The batches of a run.

    Args:
        corpus: what clips are drawn from.
        rows: what becomes of them.
    Raises:
        ValueError: the configuration does not fit the corpus.
    """

    def __init__(self, corpus: Corpus, rows: Rows) -> None:
        self.corpus, self.rows = corpus, rows
        self.config = config = rows.config
        if unknown := set(config.weights) - set(corpus.names):
            raise ValueError(
                f"batches.weights has {sorted(unknown)}; the corpora are {sorted(set(corpus.names))}"
            )
        weights = np.array([config.weights.get(name, 1.0) for name in corpus.names])
        if corpus.weights is not None:
            weights *= corpus.weights
        if not weights.any():
            raise ValueError(f"batches.weights is {config.weights}: leaves nothing to draw")
        self._cumulative = np.cumsum(weights / weights.sum())
        # Clips in order of length, so that a batch of neighbours pads little; those of equal length in
        # random order, because manifests are sorted by word and a batch of one word teaches nothing.
        tenths = np.array([len(a) for a in corpus.audio]) * 10 // SAMPLE_RATE
        shuffled = np.random.default_rng(rows.seed).permutation(len(tenths))
        self._by_length = shuffled[np.argsort(tenths[shuffled], kind="stable")]
        self._sorted_cumulative = np.cumsum(weights[self._by_length] / weights.sum())
        seconds = np.array([len(a) / SAMPLE_RATE for a in corpus.audio])
        self._short = self._shortest(seconds)
        if config.join:
            self._check_joins(
                float(weights[2 * seconds <= config.join_seconds].sum() / weights.sum())
            )

    def _shortest(self, seconds: NDArray[np.float64]) -> float:
        """Return the share of what is drawn that is short, which is learned alone at first."""
        config = self.config
        if config.short_seconds is None or config.join_from <= 0:
            return 1.0
        short = int((seconds <= config.short_seconds).sum())
        share = float(self._sorted_cumulative[short - 1]) if short else 0.0
        if share < LEAST_SHORT:
            raise ValueError(
                f"batches.short_seconds is {config.short_seconds}: {short} of {len(seconds)} recordings "
                f"are as short, {share:.1%} of what is drawn, and before update {config.join_from} no "
                "others would be learned. Leave it out"
            )
        return share

    def _check_joins(self, share: float) -> None:
        """Refuse joined rows where most would hold one clip; `share` is that of clips that fit twice."""
        config = self.config
        if share < LEAST_JOINED:
            raise ValueError(
                f"batches.join is {config.join}: {1 - share:.0%} of what is drawn is longer than half of "
                f"join_seconds ({config.join_seconds} s), so that most joined rows would hold one clip. "
                "Leave join out, or raise join_seconds"
            )

    def batch(self, update: int) -> Batch:
        """Draw the batch of an update, counted from 0."""
        rng = self.rows.generator(update, stream=0)
        config = self.config
        progress = (update - config.join_from) / max(config.join_until - config.join_from, 1)
        join = rng.random() < config.join * min(max(progress, 0.0), 1.0)
        upto = self._short if update < config.join_from else 1.0
        drawn = self._joined_rows(rng) if join else self._single_rows(rng, upto)
        return self.rows.padded(
            [
                self.rows.row(
                    [self.corpus.clip(i) for i in clips],
                    rng,
                    update,
                    self._any_clip,
                    long_silences=join,
                )
                for clips in drawn
            ]
        )

    def _single_rows(self, rng: np.random.Generator, upto: float) -> list[list[int]]:
        """Draw neighbours in length around a random place below `upto`, as many as fill the batch."""
        middle = rng.uniform(0.0, upto)
        longest = len(self.corpus.audio[self._at(middle)]) / SAMPLE_RATE + 0.5
        rows = max(1, int(self.config.seconds / longest))
        # A window of the sorted clips four times as wide as the batch, so that batches differ.
        width = min(upto, 4.0 * rows / len(self.corpus.audio))
        low = min(max(middle - width / 2, 0.0), max(upto - width, 0.0))
        clips = [self._at(place) for place in rng.uniform(low, low + width, rows)]
        longest = max(len(self.corpus.audio[i]) for i in clips) / SAMPLE_RATE + 0.5
        return [[i] for i in clips[: max(1, int(self.config.seconds / longest))]]

    def _at(self, place: float) -> int:
        index = int(np.searchsorted(self._sorted_cumulative, place))
        return int(self._by_length[min(index, len(self._by_length) - 1)])

    def _joined_rows(self, rng: np.random.Generator) -> list[list[int]]:
        """Draw rows of several clips, all about as long as the first."""
        config = self.config
        target = rng.uniform(2.5, config.join_seconds)
        rows = []
        for _ in range(max(1, int(config.seconds / (target + 1.0)))):
            most = int(rng.integers(config.join_clips[0], config.join_clips[1] + 1))
            row: list[int] = []
            length = 0.0
            while len(row) < most:
                clip = int(np.searchsorted(self._cumulative, rng.random()))
                clip = min(clip, len(self.corpus.audio) - 1)
                if row and rng.random() < config.repeat:
                    clip = row[-1]
                length += len(self.corpus.audio[clip]) / SAMPLE_RATE
                length += self.rows.augmentation.gap_seconds / 2
                if row and length > target:
                    break
                row.append(clip)
            rows.append(row)
        return rows

    def _any_clip(self, rng: np.random.Generator) -> Samples:
        return self.corpus.clip(int(rng.integers(len(self.corpus.audio)))).samples()


def prefetch(batches: Drawn, start: int, end: int, depth: int = 6) -> Generator[Batch]:
    """Yield the batches of updates start to end, drawn ahead by a thread.

    An error in the thread is raised here, in its place.
    """
    ready: queue.Queue[Batch | BaseException] = queue.Queue(depth)
    stopped = threading.Event()

    def draw() -> None:
        for update in range(start, end):
            try:
                item: Batch | BaseException = batches.batch(update)
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
