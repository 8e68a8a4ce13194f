"""Tokenizer and statistics that a run makes of its training set, where the configuration names none.

    RUN/tokenizer.model   subwords of the texts, `data.pieces` of them at most
    RUN/statistics.npz    mean and variance of log-mel

They are made once: a run that begins again in the same folder takes what is there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream.files.atomic import replace_file
from stream.vocabulary import Vocabulary
from train.config.file import resolve
from train.config.run import Config, ConfigError
from train.run.training_set import audio_of, texts_of
from train.statistics import measure, read_statistics, write_statistics
from train.text.subwords import build_subwords

TEXTS = 1_000_000  # that a tokenizer is estimated from
HOURS = 5.0  # that statistics are measured on: 1.8 million frames


def tokenizer_of(config: Config, folder: Path | None) -> bytes:
    """Return the tokenizer that a configuration names, or one of the training set's texts.

    Args:
        folder: of the run, where one is written that is made; None: nothing is written.
    Raises:
        ConfigError: it is not there.
    """
    if config.data.tokenizer is not None:
        path = resolve(config.data.tokenizer)
        if not path.exists():
            raise ConfigError(
                f"data.tokenizer: no {path}. Make it: rill tokenizer, or leave the key out: "
                "then the run makes one"
            )
        return path.read_bytes()
    made = None if folder is None else folder / "tokenizer.model"
    if made is not None and made.exists():
        print(f"tokenizer: {made}, made before", file=sys.stderr)
        return made.read_bytes()
    texts = _drawn(texts_of(config.data, _symbols(config)))
    tokenizer = build_subwords(texts, config.data.pieces, symbols=_symbols(config), at_most=True)
    if made is not None:
        made.parent.mkdir(parents=True, exist_ok=True)
        replace_file(made, tokenizer)
    size = len(Vocabulary(tokenizer))
    print(f"tokenizer: {size} pieces, made of {len(texts)} texts{_kept(made)}", file=sys.stderr)
    return tokenizer


def statistics_of(
    config: Config, folder: Path | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return mean and variance of log-mel, each (80,), which a configuration names, or the training set's.

    Args:
        folder: of the run, where what is measured is written; None: nothing is written.
    Raises:
        ConfigError: they are not there.
    """
    if config.data.statistics is not None:
        return read_statistics(resolve(config.data.statistics))
    made = None if folder is None else folder / "statistics.npz"
    if made is not None and made.exists():
        print(f"statistics: {made}, measured before", file=sys.stderr)
        return read_statistics(made)
    statistics = measure(audio_of(config.data, HOURS), config.specification(1).front_end)
    if made is not None:
        write_statistics(statistics, made)
    minutes = statistics.frames / 6000
    print(f"statistics: measured on {minutes:.1f} minutes{_kept(made)}", file=sys.stderr)
    return statistics.result()


def _symbols(config: Config) -> list[str]:
    """Return the pieces that the losses of a run want."""
    end = ["<EOS>"] if config.loss.eos_penalty else []
    return [*end, *([] if config.loss.star is None else [config.loss.star])]


def _drawn(texts: Iterable[str]) -> list[str]:
    """Return texts, of more than `TEXTS` so many at random, the same each time."""
    rng, drawn = np.random.default_rng(1), list[str]()
    for number, text in enumerate(texts):
        if number < TEXTS:
            drawn.append(text)
        elif (place := int(rng.integers(number + 1))) < TEXTS:
            drawn[place] = text
    return drawn


def _kept(path: Path | None) -> str:
    return "" if path is None else f": {path}"
