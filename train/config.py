"""Configuration of a training run: TOML into frozen structs, every key checked, none ignored.

A file may extend another: `extends = "soft.toml"` takes all of it, key by key, and changes some.

Paths may name environment variables (`$RILL_DATA/train.jsonl`) and are otherwise relative to the
working directory. The resolved configuration is stored in every checkpoint.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec

from stream.errors import ArgumentError
from stream.model.specification import Specification, read_specification
from stream.text_file import TextError, read_text
from train.data.augmentation import AugmentationConfig
from train.data.batches import BatchConfig
from train.data.history import HistoryConfig
from train.model import Dropout
from train.text.normaliser import Level

__all__ = ["IDLE", "Config", "ConfigError", "Data", "Loss", "Optimiser", "load_config", "resolve"]


class ConfigError(ArgumentError):
    """A configuration that cannot be run; the message names file, key and value."""


class Data(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is learned from.

    Attributes:
        train: manifests of the training set.
        dev: manifest that chooses the checkpoint.
        noise: folder of recordings without speech, or none.
        tokenizer: SentencePiece model, from `python -m train.tokenizer`.
        statistics: mel statistics, from `python -m train.mel_stats`.
        normalise: what is done to transcripts before they are spelt, see `train.text.transcripts`.
        unknown: whether transcripts that the tokenizer cannot spell are refused, or allowed and learned
            as `<unk>`.
        license, language, author: provenance, carried into every exported model.
    """

    train: tuple[str, ...]
    dev: str
    noise: str | None = None
    tokenizer: str
    statistics: str
    normalise: Level = "identity"
    unknown: Literal["refuse", "allow"] = "refuse"
    license: str = ""
    language: str = ""
    author: str = ""


class Optimiser(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """LAMB and its schedule (NUMERICS 5.2, 5.3).

    Attributes:
        rate, min_rate: learning rate at the plateau and at the end.
        warmup, hold, half_life: updates.
        joint_factor: of the learning rate, for the joint's output layer.
        weight_decay, beta1, beta2, clip_norm: of LAMB.
        ema: decay of the averaged weights, which are what is validated and exported.
        gradient_noise: standard deviation at its start, on the encoder; 0 = none.
    """

    rate: float = 0.008
    min_rate: float = 0.0002
    warmup: int = 200
    hold: int = 2000
    half_life: int = 600
    joint_factor: float = 1.0
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    clip_norm: float = 1.0
    ema: float = 0.995
    gradient_noise: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 < self.min_rate <= self.rate:
            raise ValueError(f"optimiser: min_rate {self.min_rate} wants 0 < min_rate <= rate")
        for name in ("ema", "beta1", "beta2"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(
                    f"optimiser: {name} is {getattr(self, name)}, wants 0 <= {name} < 1"
                )
        if not self.clip_norm > 0.0:
            raise ValueError(f"optimiser: clip_norm is {self.clip_norm}, wants more than 0")
        if self.half_life < 1:
            raise ValueError(f"optimiser: half_life is {self.half_life}, wants at least 1")


class Loss(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Terms of the training loss.

    Attributes:
        ctc, bag: weights of the helps on the encoder at the start, see `train.loss.objective`. A bag is for
            vocabularies of whole words. Where model.decoder is "both", `ctc` is the weight of the CTC
            head's loss beside the transducer's, to the end; where it is "ctc", that weight is 1.
        help_updates: over so many updates they fall to a tenth.
        delay_penalty: lambda of NUMERICS 5.1; above 0, tokens come earlier.
    """

    ctc: float = 0.3
    bag: float = 0.0
    help_updates: int = 1300
    delay_penalty: float = 0.0

    def __post_init__(self) -> None:
        if self.help_updates < 1:
            raise ValueError(f"loss: help_updates is {self.help_updates}, wants at least 1")


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole run.

    Attributes:
        model: keys of `stream.model.specification.Specification`; `vocabulary` follows from the tokenizer,
            `number_format` and `quantisation` from `quantize`.
        seed: of weights, dropout and batches.
        updates: length of the run.
        precision: of the products over all frames of a batch; weights and recurrence are float32.
        quantize: the arithmetic to fine-tune for, from a model to start from: integers
            (docs/integer.md), "int8", or "w4a8", whose LSTM layers have weights of 4 bits, both of
            hard activations; or block floating point, "bfp16", of either.
        statistics_jitter: standard deviation, in data-set deviations, by which a row's starting
            mean is moved: a channel's statistics are never exactly the data set's.
        history: what channels heard before their rows.
        freeze_norms_from: update from which input normalisation keeps its statistics.
        validate_every, checkpoint_every: updates.
        resumable: how many of the last checkpoints stay to go back to, each four times as large as the
            weights.
        keep: whether every validated state is kept, as update-000250.pt, for `train.sweep`.
    """

    model: dict[str, Any]
    data: Data
    batches: BatchConfig
    augmentation: AugmentationConfig
    optimiser: Optimiser = Optimiser()
    dropout: Dropout = Dropout()
    loss: Loss = Loss()
    seed: int = 1
    updates: int = 6000
    precision: Literal["bfloat16", "float32"] = "bfloat16"
    quantize: Literal["none", "int8", "w4a8", "bfp16"] = "none"
    statistics_jitter: float = 0.2
    history: HistoryConfig = HistoryConfig()
    freeze_norms_from: int | None = None
    validate_every: int = 250
    checkpoint_every: int = 100
    resumable: int = 3
    keep: bool = False

    def __post_init__(self) -> None:
        for name, source in (
            ("vocabulary", "the tokenizer"),
            ("number_format", "quantize"),
            ("quantisation", "quantize"),
        ):
            if name in self.model:
                raise ValueError(f"model.{name} follows from {source}: leave it out")
        try:
            specification = self.specification(1)
        except msgspec.ValidationError as error:
            raise ValueError(f"model: {error}") from error
        wanted: dict[str, tuple[object, object]] = {}
        if self.quantize != "none":
            wanted["dropout.recurrent"] = self.dropout.recurrent, 0.0
        if self.quantize in ("int8", "w4a8"):
            wanted["model.activation"] = specification.activation, "hard"
            wanted["model.decoder"] = specification.decoder or "transducer", "transducer"
        for name, (value, want) in wanted.items():
            if value != want:
                raise ValueError(f"{name} is {value}, quantize = {self.quantize} wants {want}")
        if specification.decoder == "both" and not self.loss.ctc > 0.0:
            raise ValueError(f"loss.ctc is {self.loss.ctc}, model.decoder = both wants more than 0")
        for name in ("updates", "validate_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, wants at least 1")
        for name in ("seed", "resumable"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, wants at least 0")

    def specification(self, vocabulary: int) -> Specification:
        """Return the specification of a model of that many pieces, without a quantisation."""
        number_format = "bfp16" if self.quantize == "bfp16" else "float32"
        return read_specification(
            {**self.model, "number_format": number_format, "vocabulary": vocabulary}
        )


# What a key has no effect under: said of --set alone, since a file may extend another whose keys it idles.
IDLE: dict[str, tuple[Callable[[Config], bool], str]] = {
    "freeze_norms_from": (
        lambda c: c.quantize != "none",
        "quantize is set: such a run has no normalisation between layers",
    ),
    "data.noise": (
        lambda c: not (c.augmentation.noise or c.batches.without_speech),
        "augmentation.noise and batches.without_speech are 0",
    ),
    "batches.short_seconds": (lambda c: c.batches.join_from <= 0, "batches.join_from is 0"),
    **{
        f"batches.{key}": (lambda c: not c.batches.join, "batches.join is 0")
        for key in ("join_until", "join_clips", "join_seconds", "repeat")
    },
    "augmentation.long_zeros": (lambda c: not c.batches.join, "batches.join is 0"),
    "augmentation.long_zeros_seconds": (
        lambda c: not (c.batches.join and c.augmentation.long_zeros),
        "batches.join or augmentation.long_zeros is 0",
    ),
    "augmentation.noise_snr_db": (lambda c: not c.augmentation.noise, "augmentation.noise is 0"),
    "augmentation.frequency_width": (
        lambda c: not c.augmentation.frequency_masks,
        "augmentation.frequency_masks is 0",
    ),
    "augmentation.time_share": (
        lambda c: not c.augmentation.time_masks,
        "augmentation.time_masks is 0",
    ),
    "loss.help_updates": (lambda c: not (c.loss.ctc or c.loss.bag), "loss.ctc and loss.bag are 0"),
    "optimiser.half_life": (
        lambda c: c.optimiser.warmup + c.optimiser.hold >= c.updates,
        "the run ends before the learning rate falls, at warmup + hold",
    ),
}


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Read a TOML file and apply overrides such as "optimiser.rate=0.004".

    Raises:
        ConfigError: the file is not TOML, a key is unknown, a value is out of range, or an override has
            no effect.
    """
    path = Path(path)
    tree = _read(path)
    overridden = [_override(tree, override) for override in overrides]
    try:
        config = msgspec.convert(tree, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}") from error
    for key in overridden:
        idle, reason = IDLE.get(key, (None, ""))
        if idle is not None and idle(config):
            raise ConfigError(f"--set {key} has no effect, since {reason}")
    return config


def _read(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Read a file over the one that its key `extends` names, which counts from its folder."""
    if path.resolve() in above:
        raise ConfigError(f"{path}: extends itself")
    try:
        tree = tomllib.loads(read_text(path))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such configuration") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, TextError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    extended = tree.pop("extends", None)
    if extended is None:
        return tree
    if not isinstance(extended, str):
        raise ConfigError(f"{path}: extends is {extended!r}, wants the path of a file")
    return _merged(_read(path.parent / extended, (*above, path.resolve())), tree)


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            value = _merged(merged[key], value)
        merged[key] = value
    return merged


def resolve(name: str) -> Path:
    """Return the path that a configuration names, its environment variables filled in.

    Raises:
        ConfigError: a variable is not set.
    """
    path = os.path.expandvars(name)
    if missing := re.search(r"\$\{?(\w+)", path):
        raise ConfigError(f"{name}: set the environment variable {missing[1]} to that folder")
    return Path(path)


def _override(tree: dict[str, Any], override: str) -> str:
    """Set what an override says in the tree; returns its key."""
    key, separator, text = override.partition("=")
    if not separator:
        raise ConfigError(f"--set {override}: wants KEY=VALUE, as in optimiser.rate=0.004")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text  # a bare word is a string
    *tables, last = key.strip().split(".")
    for table in tables:
        tree = tree.setdefault(table, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"--set {override}: {table} is not a table")
    tree[last] = value
    return key.strip()
