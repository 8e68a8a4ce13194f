"""Assembly of a run: what its configuration names is read, checked and put together."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from stream.audio import read_audio
from stream.front_end.log_mel import SAMPLE_RATE
from stream.manifest import Utterance
from stream.model.network import open_model
from stream.spelling import check_spelling, unspelt
from stream.vocabulary import Vocabulary
from train import checkpoint
from train.config.data import Data, Source
from train.config.file import resolve
from train.config.run import Config, ConfigError
from train.data.batches import Batches, Corpus
from train.data.formats.record import Record
from train.data.lazy.batches import LazyBatches, Texts
from train.data.lazy.decoded import Decoded
from train.data.rows import Rows
from train.run.resume import Resumed
from train.run.start import Material, Start, checkpoint_start, folded_start
from train.run.training_set import indexes, sampler_of, utterances_of
from train.statistics import read_statistics
from train.text.spellings import Spellings
from train.text.transcripts import SPELLING_OPTIONS, normalised

__all__ = ["material_of", "start_of"]

MEMORY_SHARE = 0.9  # of the machine's, that decoded recordings may take
TEXTS_CHECKED = 2000  # of a data set, before the first update


def start_of(config: Config, init_from: str | None, resumed: Resumed | None = None) -> Start:
    """Return what a run starts, or started, from.

    Args:
        config: of the run.
        init_from: path of a model whose weights, tokenizer and statistics it starts from, or None.
        resumed: the checkpoint that it resumes from, or None.
    Raises:
        ConfigError: tokenizer or statistics are missing, or do not go with the weights.
        ModelError: `init_from` is not a model.
    """
    tokenizer = resolve(config.data.tokenizer)
    statistics = resolve(config.data.statistics)
    if resumed is not None:
        start = checkpoint_start(resumed.content, resumed.content.get("init_from"), weights=False)
        source = str(resumed.path)
    elif init_from is not None:
        start = _initial(config, Path(init_from))
        source = init_from
    elif not tokenizer.exists():
        raise ConfigError(f"data.tokenizer: no {tokenizer}. Make it: python -m train.tokenizer")
    else:
        return Start(tokenizer.read_bytes(), *read_statistics(statistics))
    # What weights were trained with is the tokenizer and the statistics to go on with.
    if tokenizer.exists() and tokenizer.read_bytes() != start.tokenizer:
        raise ConfigError(
            f"data.tokenizer: {source} was trained with another tokenizer than {tokenizer}, and its "
            "weights are for that one. Name it, or begin a new run without --init-from"
        )
    if statistics.exists():
        mean, variance = read_statistics(statistics)
        if not (np.array_equal(mean, start.mean) and np.array_equal(variance, start.variance)):
            print(f"data.statistics is not read: those of {source} are taken", file=sys.stderr)
    return start


def _initial(config: Config, path: Path) -> Start:
    """Return what --init-from gives: weights before their normalisation is folded in, if they are there."""
    source = os.path.abspath(path)
    if config.quantize != "none":
        return folded_start(open_model(path), source)
    if checkpoint.recognises(path):
        content = checkpoint.load(path)
        if not checkpoint.specification_of(content, path).rounded:
            return checkpoint_start(content, source, weights=True)
    network = open_model(path)
    if config.freeze_norms_from is None or config.freeze_norms_from > 1:
        raise ConfigError(
            f"--init-from {path}: the normalisation between layers is folded into its weights and "
            "cannot be learned any more: set freeze_norms_from = 1 (--set freeze_norms_from=1)"
        )
    return folded_start(network, source, normalised=True)


def material_of(config: Config, start: Start) -> Material:
    """Read the recordings and transcripts that a run learns from and is scored on.

    Raises:
        ConfigError: the configuration does not fit the recordings.
        ManifestError, AudioError: a manifest or a recording cannot be used.
    """
    data, vocabulary = config.data, Vocabulary(start.tokenizer)
    dev = _utterances(Source(path=data.dev), data, vocabulary)
    noise = sorted(resolve(data.noise).iterdir()) if data.noise else []
    rows = Rows(
        [read_audio(path) for path in noise],
        config.batches,
        config.augmentation,
        config.seed,
        _spellings(config, start.tokenizer),
    )
    dev_audio = [u.read() for u in dev]
    if data.cache == "memory":
        batches, seconds = _in_memory(config, rows, vocabulary)
        return Material(batches, dev, dev_audio, seconds / 3600)
    lazy = _lazy(config, rows, start.tokenizer)
    limit = int(data.skip_share * lazy.sampler.utterances) if lazy.skip else 0
    seconds = sum(index.about.seconds for index in lazy.sampler.indexes)
    return Material(lazy, dev, dev_audio, seconds / 3600, data.workers, limit)


def _in_memory(config: Config, rows: Rows, vocabulary: Vocabulary) -> tuple[Batches, float]:
    """Decode the training set; return its batches, and its seconds."""
    data = config.data
    train: list[Utterance | Record] = []
    weights: list[float] = []
    for source in data.sources:
        found = _utterances(source, data, vocabulary)
        some = [u for u in found if data.min_seconds <= (u.duration or 0.0) <= data.longest]
        train += some
        weights += [source.weight] * len(some)
    seconds = sum(u.duration or 0.0 for u in train)
    _check_memory(seconds)
    weighted = weights if set(weights) != {1.0} else None
    corpus = Corpus.load(train, vocabulary.encode, _counter("train"), weighted)
    try:
        return Batches(corpus, rows), seconds
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _check_memory(seconds: float) -> None:
    """Refuse recordings that the machine has no memory for, before they are decoded."""
    needed = seconds * SAMPLE_RATE * 2
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > MEMORY_SHARE * there:
        raise ConfigError(
            f"data.cache is memory: {seconds / 3600:.0f} hours take {needed / 1e9:.0f} GB decoded, and "
            f"the machine has {there / 1e9:.0f} GB. Set data.cache to disk or none"
        )


def _lazy(config: Config, rows: Rows, tokenizer: bytes) -> LazyBatches:
    """Open the indexes of the training set; return its batches."""
    data = config.data
    opened = indexes(data)
    texts = Texts(tokenizer, data.text, data.unknown == "allow")
    skip = data.on_error == "skip"
    if not skip:
        for index in opened:  # the rest when their batches are drawn
            for number in range(0, len(index), max(1, len(index) // TEXTS_CHECKED)):
                texts.spelt(index[number])
    decoded = [Decoded(index) for index in opened] if data.cache == "disk" else None
    sampler = sampler_of(data, opened, config.batches.seconds, config.seed)
    epoch = f"{sampler.utterances} utterances an epoch, {sampler.epoch} batches"
    print(f"train: {epoch}, drawn by {data.workers} processes", file=sys.stderr)
    return LazyBatches(sampler, rows, texts, decoded, skip)


def _spellings(config: Config, tokenizer: bytes) -> Spellings | None:
    """Return what tokens are drawn from, where the configuration has more than one spelling."""
    if config.augmentation.spellings == 1:
        return None
    return Spellings(tokenizer, config.augmentation.spellings, config.augmentation.spelling_alpha)


def _utterances(source: Source, data: Data, vocabulary: Vocabulary) -> list[Utterance | Record]:
    """Read a data set with its texts as they are learned; refuse, or show, what cannot be spelt."""
    utterances = normalised(utterances_of(source), data.text, vocabulary.symbols)
    if data.unknown == "refuse":
        check_spelling(
            vocabulary,
            utterances,
            *(f"--set {option}" for option in SPELLING_OPTIONS),
        )
    elif missing := unspelt(vocabulary, utterances):
        print(f"{source.location}: {missing} They are learned as <unk>.", file=sys.stderr)
    return utterances


def _counter(what: str) -> Callable[[int, int], None]:
    def show(done: int, total: int) -> None:
        if done % 500 == 0 or done == total:
            print(f"{what}: {done} of {total} recordings read", file=sys.stderr)

    return show
