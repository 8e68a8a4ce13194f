"""Assembly of a run: what its configuration names is read, checked and put together."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from stream.audio import read_audio
from stream.model.network import open_model
from stream.vocabulary import Vocabulary
from train import checkpoint
from train.config.data import Source
from train.config.file import resolve
from train.config.run import Config, ConfigError
from train.data.rows import Rows
from train.run.resume import Resumed
from train.run.start import Material, Start, checkpoint_start, folded_start
from train.run.training_set import spelt_utterances, training_set
from train.statistics import read_statistics
from train.text.spellings import Spellings

__all__ = ["material_of", "start_of"]


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
    dev = spelt_utterances(Source(path=data.dev), data, vocabulary)
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
    return Material(train.batches, dev, dev_audio, train.hours, train.workers, train.skip_limit)


def _spellings(config: Config, tokenizer: bytes) -> Spellings | None:
    """Return what tokens are drawn from, where the configuration has more than one spelling."""
    if config.augmentation.spellings == 1:
        return None
    return Spellings(tokenizer, config.augmentation.spellings, config.augmentation.spelling_alpha)
