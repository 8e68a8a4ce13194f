"""What a run begins with: tokenizer, statistics, and the weights of the model that it starts from."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from stream.front_end.filterbank import Filterbank
from stream.language_model.files import language_model
from stream.language_model.fusion import Fusion
from stream.language_model.kenlm import read_kenlm
from stream.language_model.ngram import NgramError
from stream.model.network import NgramFile, open_model
from stream.model.specification import Specification
from stream.stage import Floats
from stream.vocabulary import Vocabulary
from train import checkpoint
from train.checkpoints.resume import Resumed
from train.config.file import resolve, resolve_model
from train.config.init import InitConfig
from train.config.run import Config, ConfigError
from train.run.derived import statistics_of, tokenizer_of
from train.run.provenance import weights_sha256
from train.run.start import Start, checkpoint_start, folded_start
from train.statistics import read_statistics

# Keys of a model that the frames of an encoder follow from.
FRAMES = ("window", "floor", "initial_padding", "final_padding", "alpha", "gate", "gain_control")
# Those that files leave out where they are usual, and what they are then.
USUAL = {"front_end": msgspec.to_builtins(Filterbank()), "normaliser": "statistics"}


def start_of(
    config: Config,
    init_from: str | None,
    resumed: Resumed | None = None,
    folder: Path | None = None,
) -> Start:
    """Return what a run starts, or started, from.

    Args:
        config: of the run.
        init_from: path of a model whose weights, tokenizer and statistics it starts from, or None; of which
            parts, says `init`.
        resumed: the checkpoint that it resumes from, or None.
        folder: of the run, for what it makes of its training set; None: nothing is written.
    Raises:
        ConfigError: tokenizer or statistics are missing, or do not go with the weights.
        ModelError: what it starts from is not a model.
    """
    if resumed is not None:
        start = checkpoint_start(resumed.content, resumed.content.get("init_from"), weights=False)
        _check_agreement(config, start, str(resumed.path))
    elif (model := _model(config, init_from)) is not None:
        start = replace(_initial(config, Path(model)), parent=weights_sha256(open_model(model)))
        if config.init is None:
            _check_agreement(config, start, model)
        else:
            start = _with_own(config, start, config.init, folder)
    else:
        start = Start(tokenizer_of(config, folder), _measured(config, folder))
    start = _with_wanted_statistics(config, start, folder)
    return start if config.ngram is None else replace(start, ngram=_ngram(config, start.tokenizer))


def _model(config: Config, init_from: str | None) -> str | None:
    """Return the path of the model that a run starts from, or None."""
    if init_from is not None or config.init is None:
        return init_from
    if config.init.model is None:
        raise ConfigError("init.model is missing: the model to start from, here or as --init-from")
    return str(resolve_model(config.init.model))


def _with_own(config: Config, start: Start, init: InitConfig, folder: Path | None) -> Start:
    """Return a start of which the configuration takes a part: with its own tokenizer, where it names one,
    and the statistics of the encoder, which learned from frames that were normalised by them."""
    if config.data.tokenizer is not None:
        tokenizer = tokenizer_of(config, folder)
        if start.ngram is not None and tokenizer != start.tokenizer:
            print(
                "ngram: left behind, since it is over the pieces of another tokenizer",
                file=sys.stderr,
            )
            start = replace(start, ngram=None)
        start = replace(start, tokenizer=tokenizer)
    if init.encoder:
        unread = "" if config.data.statistics is None else "; data.statistics is not read"
        print(f"statistics: those of {start.source}, as its encoder{unread}", file=sys.stderr)
        return start
    print("statistics: those of the training set, since the encoder is new", file=sys.stderr)
    return replace(start, statistics=_measured(config, folder))


def _measured(config: Config, folder: Path | None) -> dict[str, Floats]:
    """Return the statistics that a configuration names, or the training set's, where its model has any."""
    if not config.specification(1).has_statistics:
        return {}
    mean, variance = statistics_of(config, folder)
    return {"normaliser.mean": mean, "normaliser.variance": variance}


def _with_wanted_statistics(config: Config, start: Start, folder: Path | None) -> Start:
    """Return a start with statistics if the run's model has some, and without if it has none."""
    if bool(start.statistics) == config.specification(1).has_statistics:
        return start
    return replace(start, statistics=_measured(config, folder))


def _check_agreement(config: Config, start: Start, source: str) -> None:
    """Refuse another tokenizer than that of the weights; say whose statistics are taken."""
    if config.data.tokenizer is not None:
        tokenizer = resolve(config.data.tokenizer)
        if tokenizer.exists() and tokenizer.read_bytes() != start.tokenizer:
            raise ConfigError(
                f"data.tokenizer: {source} was trained with another tokenizer than {tokenizer}, and its "
                "weights are for that one. Name it, or begin a new run without --init-from"
            )
    if config.data.statistics is not None:
        statistics = resolve(config.data.statistics)
        if statistics.exists():
            given = read_statistics(statistics)
            if not all(map(np.array_equal, given, start.statistics.values())):
                print(f"data.statistics is not read: those of {source} are taken", file=sys.stderr)


def _initial(config: Config, path: Path) -> Start:
    """Return what --init-from gives: weights before their normalisation is folded in, if they are there."""
    source = os.path.abspath(path)
    if config.quantize == "none" and checkpoint.recognises(path):
        content = checkpoint.load(path)
        specification = checkpoint.specification_of(content, path)
        if not specification.rounded:
            _check_frames(config, specification, path)
            return checkpoint_start(content, source, weights=True)
    network = open_model(path)
    _check_frames(config, network.specification, path)
    if config.quantize != "none":
        return folded_start(network, source)
    encoder = config.init is None or config.init.encoder
    if encoder and (config.freeze_norms_from is None or config.freeze_norms_from > 1):
        raise ConfigError(
            f"{path}: the normalisation between layers is folded into its weights and "
            "cannot be learned any more: set freeze_norms_from = 1 (--set freeze_norms_from=1)"
        )
    return folded_start(network, source, normalised=True)


def _check_frames(config: Config, theirs: Specification, path: Path) -> None:
    """Say where the frames of a run are others than those that the model learned from.

    Raises:
        ConfigError: the model learned its filters, and the run has none, or of another spectrum.
    """
    if config.init is not None and not config.init.encoder:
        return
    own, others = (_of_frames(each) for each in (config.specification(theirs.vocabulary), theirs))
    if theirs.front_end.learned and own["front_end"] != others["front_end"]:
        raise ConfigError(
            f"model.front_end is {own['front_end']}: {path} has learned filters, {others['front_end']}, and its "
            'encoder goes by their frames. Set the same; optimiser.freeze = ["front_end"] keeps them as they are'
        )
    for key, value in own.items():
        if value != others[key]:
            print(f"model.{key} is {value}, and {path} learned with {others[key]}", file=sys.stderr)


def _of_frames(specification: Specification) -> dict[str, Any]:
    """Return the keys of a configuration's model that its frames follow from."""
    keys = USUAL | msgspec.to_builtins(specification)
    return {key: keys[key] for key in (*FRAMES, *USUAL)}


def _ngram(config: Config, tokenizer: bytes) -> NgramFile | None:
    """Read the n-gram model that a configuration names, and check that it can be used with the pieces."""
    if config.ngram is None:
        return None
    path = resolve(config.ngram.path)
    try:
        binary = path.read_bytes()
        of = config.ngram
        fusion = Fusion(of.weight, of.word_bonus, of.unknown_penalty, of.internal_weight)
        language_model(read_kenlm(binary), Vocabulary(tokenizer), fusion)
    except FileNotFoundError:
        raise ConfigError(f"ngram.path: no {path}") from None
    except (NgramError, OSError, ValueError) as error:
        raise ConfigError(f"ngram.path: {path} cannot be used: {error}") from error
    return NgramFile(binary, **vars(fusion))
