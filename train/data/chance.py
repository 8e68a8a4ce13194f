"""Batches of clips that are drawn by chance, each as often as its weight says; for corpora in memory.

A batch is a window of clips of similar length around a random place, or joined rows of any.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stream.front_end.log_mel import SAMPLE_RATE
from train.config.batches import BatchConfig
from train.data.batches import Chosen
from train.data.corpus import Corpus
from train.data.curriculum import (
    Joining,
    check_joins,
    check_short,
    check_splices,
    join_probability,
)
from train.data.rows import Place

SILENCE_SECONDS = 0.5  # that a row may have besides its clip


class Chance:
    """The choice of a batch's clips by chance.

    Args:
        corpus: what clips are drawn from.
        config: of the batches.
        gap_seconds: most silence between the clips of a row.
        seed: of the order of clips of equal length.
    Attributes:
        epoch: batches that hold each clip once, on average, and one of weight w as often.
    Raises:
        ValueError: the configuration does not fit the corpus.
    """

    def __init__(self, corpus: Corpus, config: BatchConfig, gap_seconds: float, seed: int) -> None:
        self.config, self._gap_seconds = config, gap_seconds
        if unknown := set(config.weights) - set(corpus.names):
            raise ValueError(
                f"batches.weights has {sorted(unknown)}; the corpora are {sorted(set(corpus.names))}"
            )
        weights = np.array([config.weights.get(name, 1.0) for name in corpus.names])
        if corpus.weights is not None:
            weights *= corpus.weights
        if config.balance:
            weights *= balanced(corpus.texts, corpus.names, config.balance)
        if not weights.any():
            raise ValueError(f"batches.weights is {config.weights}: leaves nothing to draw")
        self._cumulative = np.cumsum(weights / weights.sum())
        self._samples = np.array([len(audio) for audio in corpus.audio])
        # Clips in order of length, so that a batch of neighbours pads little; those of equal length in
        # random order, because manifests are sorted by word and a batch of one word teaches nothing.
        tenths = self._samples * 10 // SAMPLE_RATE
        shuffled = np.random.default_rng(seed).permutation(len(tenths))
        self._by_length = shuffled[np.argsort(tenths[shuffled], kind="stable")]
        self._sorted_cumulative = np.cumsum(weights[self._by_length] / weights.sum())
        seconds = self._samples / SAMPLE_RATE
        padded = float(weights @ (seconds + SILENCE_SECONDS))
        self.epoch = max(1, round(padded / config.seconds))
        self._short = 1.0  # the share of what is drawn that is short
        if config.short_seconds is not None and config.join_from > 0:
            short = int((seconds <= config.short_seconds).sum())
            self._short = float(self._sorted_cumulative[short - 1]) if short else 0.0
            check_short(config, self._short, short, len(seconds))
        if config.join:
            fitting = weights[2 * seconds <= config.join_seconds]
            check_joins(config, float(fitting.sum() / weights.sum()))
            check_splices(config, sum(map(bool, corpus.words or ())))

    def choose(self, number: int, update: int, rng: np.random.Generator) -> Chosen:
        """Draw the clips of a batch."""
        if rng.random() < join_probability(self.config, update):
            return self._joined(rng)
        upto = self._short if update < self.config.join_from else 1.0
        return Chosen([[(0, clip)] for clip in self._neighbours(rng, upto)])

    def seconds(self, place: Place) -> float:
        """Return the duration of a clip."""
        return int(self._samples[place[1]]) / SAMPLE_RATE

    def voice(self, batch: Sequence[Place], rng: np.random.Generator) -> Place:
        """Draw a clip that talks in the background of another."""
        return 0, int(rng.integers(len(self._samples)))

    def _neighbours(self, rng: np.random.Generator, upto: float) -> list[int]:
        """Draw neighbours in length around a random place below `upto`, as many as fill the batch."""
        middle = rng.uniform(0.0, upto)
        longest = self._samples[self._at(middle)] / SAMPLE_RATE + SILENCE_SECONDS
        rows = max(1, int(self.config.seconds / longest))
        # A window of the sorted clips four times as wide as the batch, so that batches differ.
        width = min(upto, 4.0 * rows / len(self._samples))
        low = min(max(middle - width / 2, 0.0), max(upto - width, 0.0))
        clips = [self._at(place) for place in rng.uniform(low, low + width, rows)]
        longest = self._samples[clips].max() / SAMPLE_RATE + SILENCE_SECONDS
        return clips[: max(1, int(self.config.seconds / longest))]

    def _at(self, place: float) -> int:
        index = int(np.searchsorted(self._sorted_cumulative, place))
        return int(self._by_length[min(index, len(self._by_length) - 1)])

    def _joined(self, rng: np.random.Generator) -> Chosen:
        """Draw rows of several clips, all about equally long."""

        def draw() -> Place:
            clip = int(np.searchsorted(self._cumulative, rng.random()))
            return 0, min(clip, len(self._samples) - 1)

        joining = Joining(self.config, self._gap_seconds, rng)
        rows = [joining.row(draw, self.seconds) for _ in range(joining.rows)]
        return Chosen(rows, joined=True, spliced=joining.spliced, apart=joining.apart)


def balanced(texts: Sequence[str], names: Sequence[str], balance: float) -> NDArray[np.float64]:
    """Return how often each utterance is drawn so that rare words are heard more often.

    Args:
        texts, names: of each utterance its text and the name of its corpus.
        balance: the power of the words' counts; see `BatchConfig`.
    Returns:
        (utterances,) weights; those of a corpus are 1 on average. Without words it is 1.
    """
    words = [text.split() for text in texts]
    counts = Counter((name, word) for name, of in zip(names, words, strict=True) for word in of)
    weights = np.ones(len(texts))
    for index, (name, of) in enumerate(zip(names, words, strict=True)):
        if of:
            logs = [np.log(counts[name, word]) for word in of]
            weights[index] = np.exp(-balance * np.mean(logs))
    spoken, corpora = np.array([bool(of) for of in words]), np.array(names)
    for name in set(names):
        mine = spoken & (corpora == name)
        weights[mine] /= weights[mine].mean() if mine.any() else 1.0
    return weights
