"""The training set of a configuration: data sets of any format, in memory or behind an index."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream.front_end.log_mel import SAMPLE_RATE
from stream.manifest import Utterance, read_manifest
from train.config.data import Data, Source
from train.config.file import resolve
from train.config.run import ConfigError
from train.data.formats.durations import with_durations
from train.data.formats.record import Record, strict
from train.data.formats.table import detect, read_records
from train.data.lazy.index import Index, index_of
from train.data.lazy.sampler import Sampler

__all__ = ["audio_of", "indexes", "sampler_of", "utterances_of"]


def utterances_of(source: Source) -> list[Utterance | Record]:
    """Read a whole data set.

    Raises:
        ManifestError: it cannot be read, or an utterance of it cannot be used.
    """
    path, root = _place(source)
    if root is None and (source.format or detect(path)) == "manifest":
        return list(read_manifest(path))
    return list(strict(with_durations(read_records(path, source.format, root))))


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


def sampler_of(data: Data, opened: Sequence[Index], seconds: float, seed: int) -> Sampler:
    """Return the sampler of the training set.

    Raises:
        ConfigError: no utterance is as long as it should be.
    """
    weights = [source.weight for source in data.sources]
    try:
        return Sampler(opened, weights, seconds, seed, data.min_seconds, data.longest)
    except ValueError as error:
        raise ConfigError(f"data: {error}") from error


def audio_of(data: Data, hours: float) -> Iterator[NDArray[np.float32]]:
    """Yield (samples,) float32 of so many hours of the training set, drawn evenly from all of it.

    Raises:
        AudioError, ManifestError: a recording cannot be used.
    """
    sampler = sampler_of(data, indexes(data), 60.0, 1)
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
