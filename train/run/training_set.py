"""The training set of a configuration: data sets of any format, in memory or behind an index."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream.engine.resources import ProcessMemory
from stream.front_end.log_mel import SAMPLE_RATE
from stream.manifest import ManifestError
from stream.spelling import check_spelling, unspelt
from stream.vocabulary import Vocabulary
from train.config.data import Data, Source
from train.config.file import resolve
from train.config.run import Config, ConfigError
from train.data.batches import Batches
from train.data.chance import Chance
from train.data.corpus import Corpus
from train.data.formats.table import read_records
from train.data.lazy.clips import IndexedClips, Texts
from train.data.lazy.decoded import Decoded
from train.data.lazy.epochs import Epochs
from train.data.lazy.index import Index
from train.data.lazy.index_cache import index_of
from train.data.lazy.sampler import Sampler
from train.data.records.durations import with_durations
from train.data.records.record import Record, check_there, strict
from train.data.records.recordings import Recordings
from train.data.rows import Rows
from train.text.transcripts import SPELLING_OPTIONS, normalised, ruled

MEMORY_SHARE = 0.9  # of the machine's, that decoded recordings may take
TEXTS_CHECKED = 2000  # of a data set, before the first update


@dataclass(frozen=True)
class TrainingSet:
    """What is learned from.

    Attributes:
        batches: of it.
        recordings: of it.
        workers: processes that draw the batches; 0: a thread does.
        skip_limit: how many utterances may be left out.
    """

    batches: Batches
    recordings: Recordings
    workers: int = 0
    skip_limit: int = 0


def training_set(config: Config, rows: Rows, tokenizer: bytes) -> TrainingSet:
    """Read the training set of a configuration.

    Raises:
        ConfigError: the configuration does not fit the recordings.
        ManifestError, AudioError: a data set or a recording cannot be used.
    """
    return (_in_memory if config.data.cache == "memory" else _indexed)(config, rows, tokenizer)


def spelt_utterances(source: Source, data: Data, vocabulary: Vocabulary) -> list[Record]:
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


def utterances_of(source: Source) -> list[Record]:
    """Read a whole data set.

    Raises:
        ManifestError: it cannot be read, or an utterance of it cannot be used.
    """
    path, root = _place(source)
    records = list(strict(with_durations(read_records(path, source.format, root))))
    for record in records:
        check_there(record)
    if not records:
        raise ManifestError(Path(path), 0, "names no recording")
    return records


def _in_memory(config: Config, rows: Rows, tokenizer: bytes) -> TrainingSet:
    """Decode the training set; its batches are drawn by chance."""
    data, vocabulary = config.data, Vocabulary(tokenizer)
    train: list[Record] = []
    weights: list[float] = []
    for source in data.sources:
        found = spelt_utterances(source, data, vocabulary)
        some = [u for u in found if data.min_seconds <= (u.duration or 0.0) <= data.longest]
        train += some
        weights += [source.weight] * len(some)
    _check_synthetic(data, {u.corpus or "" for u in train})
    recordings = Recordings.of((u.corpus, np.array([u.duration or 0.0], np.float32)) for u in train)
    _check_memory(recordings.hours)
    weighted = weights if set(weights) != {1.0} else None
    corpus = Corpus.load(train, vocabulary.encode, _counter("train"), weighted)
    gap_seconds = config.augmentation.gap_seconds
    try:
        chance = Chance(corpus, config.batches, gap_seconds, config.seed)
        return TrainingSet(Batches(corpus, chance, rows), recordings, data.processes)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _check_synthetic(data: Data, corpora: set[str]) -> None:
    """Refuse names of synthetic corpora that the training set has not: the provenance would be wrong."""
    if unknown := sorted(set(data.synthetic) - corpora):
        raise ConfigError(f"data.synthetic has {unknown}; the corpora are {sorted(corpora)}")


def _check_memory(hours: float) -> None:
    """Refuse recordings that the machine has no memory for, before they are decoded."""
    needed = hours * 3600 * SAMPLE_RATE * 2
    there = ProcessMemory().there()
    if needed > MEMORY_SHARE * there:
        raise ConfigError(
            f"data.cache is memory: {hours:.0f} hours take {needed / 1e9:.0f} GB decoded, and "
            f"the machine has {there / 1e9:.0f} GB. Set data.cache to disk or none"
        )


def _indexed(config: Config, rows: Rows, tokenizer: bytes) -> TrainingSet:
    """Open the indexes of the training set; its batches come in epochs."""
    data = config.data
    opened = indexes(data)
    _check_synthetic(data, {name for index in opened for name, _ in index.about.corpora})
    texts = Texts(tokenizer, data.text, data.unknown == "allow")
    skip = data.on_error == "skip"
    if not skip:
        for index in opened:  # the rest when their batches are drawn
            for number in range(0, len(index), max(1, len(index) // TEXTS_CHECKED)):
                texts.spelt(index[number])
    decoded = [Decoded(index) for index in opened] if data.cache == "disk" else None
    epochs = epochs_of(config, opened)
    sampler = epochs.sampler
    epoch = f"{sampler.utterances} utterances an epoch, {sampler.epoch} batches"
    print(f"train: {epoch}, drawn by {data.processes} processes", file=sys.stderr)
    return TrainingSet(
        Batches(IndexedClips(opened, texts, decoded), epochs, rows, skip),
        Recordings.of(group for index in opened for group in index.durations_by_corpus()),
        data.processes,
        int(data.skip_share * sampler.utterances) if skip else 0,
    )


def indexes(data: Data) -> list[Index]:
    """Open the indexes of all data sets, which are made where they are not there yet.

    Raises:
        ManifestError: a data set cannot be read, or has more faults than are allowed.
    """
    cache = None if data.cache_folder is None else resolve(data.cache_folder)
    opened = []
    for source in data.sources:
        path, root = _place(source)

        def show(done: int, path: str = path) -> None:
            print(f"{path}: {done} utterances indexed", file=sys.stderr)

        index = index_of(path, source.format, root, cache, show)
        index.check(data.on_error, data.skip_share)
        opened.append(index)
    return opened


def epochs_of(config: Config, opened: Sequence[Index]) -> Epochs:
    """Return how the training set comes in epochs.

    Raises:
        ConfigError: no utterance is as long as it should be, or the configuration does not fit them.
    """
    data = config.data
    weights = [source.weight for source in data.sources]
    gap_seconds, bounds = config.augmentation.gap_seconds, (data.min_seconds, data.longest)
    try:
        return Epochs(opened, weights, config.batches, gap_seconds, config.seed, *bounds)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def texts_of(data: Data, symbols: Iterable[str] = ()) -> Iterator[str]:
    """Yield the texts of the training set, as they are learned.

    Args:
        symbols: tokens such as `<EOS>` that the rules of `data.text` leave alone.
    Raises:
        ManifestError: a data set cannot be read.
    """
    rule = ruled(data.text, tuple(symbols))
    for source in data.sources:
        path, root = _place(source)
        for record in read_records(path, source.format, root):
            if isinstance(record, Record):
                yield rule(record.text)


def audio_of(data: Data, hours: float) -> Iterator[NDArray[np.float32]]:
    """Yield (samples,) float32 of so many hours of the training set, drawn evenly from all of it.

    Raises:
        AudioError, ManifestError: a recording cannot be used.
        ConfigError: no utterance is as long as it should be.
    """
    opened, weights = indexes(data), [source.weight for source in data.sources]
    try:
        sampler = Sampler(opened, weights, 60.0, 1, data.min_seconds, data.longest)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    heard = 0.0
    for number in range(sampler.epoch):
        for source, row in sampler.batch(number):
            samples = sampler.indexes[source][row].read()
            yield samples
            heard += len(samples) / SAMPLE_RATE
            if heard >= hours * 3600:
                return


def _place(source: Source) -> tuple[str, Path | None]:
    return str(resolve(source.location)), None if source.root is None else resolve(source.root)
