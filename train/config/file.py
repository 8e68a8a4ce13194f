"""Configurations of a run: files and overrides, every key checked, none ignored.

A file may extend another: `extends = "soft.toml"` takes all of it, key by key, and changes some
(`train.config.layers`).

Paths may name environment variables (`$RILL_DATA/train.jsonl`) and are otherwise relative to the
working directory. The resolved configuration is stored in every checkpoint.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from stream import bundled
from train.config.faults import checked
from train.config.layers import read_layers
from train.config.run import Config, ConfigError

# What a key has no effect under: said of --set alone, since a file may extend another whose keys it idles.
INEFFECTIVE: dict[str, tuple[Callable[[Config], bool], str]] = {
    "freeze_norms_from": (
        lambda c: c.quantize != "none",
        "quantize is set: such a run has no normalisation between layers",
    ),
    "data.pieces": (lambda c: c.data.tokenizer is not None, "data.tokenizer names a tokenizer"),
    "data.noise": (
        lambda c: not (c.augmentation.noise or c.batches.without_speech),
        "augmentation.noise and batches.without_speech are 0",
    ),
    "batches.short_seconds": (lambda c: c.batches.join_from <= 0, "batches.join_from is 0"),
    **{
        f"batches.{key}": (lambda c: not c.batches.join, "batches.join is 0")
        for key in ("join_until", "join_clips", "join_seconds", "repeat", "splice")
    },
    **{
        f"batches.{key}": (
            lambda c: not (c.batches.join and c.batches.splice),
            "batches.join or batches.splice is 0",
        )
        for key in ("splice_apart", "splice_words")
    },
    "augmentation.long_zeros": (lambda c: not c.batches.join, "batches.join is 0"),
    "augmentation.long_zeros_seconds": (
        lambda c: not (c.batches.join and c.augmentation.long_zeros),
        "batches.join or augmentation.long_zeros is 0",
    ),
    "augmentation.noise_snr_db": (lambda c: not c.augmentation.noise, "augmentation.noise is 0"),
    "augmentation.noise_snr_start_db": (
        lambda c: not (c.augmentation.noise or c.augmentation.babble),
        "augmentation.noise and augmentation.babble are 0",
    ),
    **{
        f"augmentation.{key}": (
            lambda c: c.augmentation.noise_snr_start_db is None,
            "augmentation.noise_snr_start_db is not set",
        )
        for key in ("noise_delay", "noise_ramp")
    },
    **{
        f"augmentation.{key}": (lambda c: not c.augmentation.babble, "augmentation.babble is 0")
        for key in ("babble_voices", "babble_snr_db")
    },
    "augmentation.codecs": (lambda c: not c.augmentation.codec, "augmentation.codec is 0"),
    **{
        f"augmentation.{key}": (lambda c: not c.augmentation.trim, "augmentation.trim is 0")
        for key in ("trim_db", "trim_seconds")
    },
    **{
        f"augmentation.{key}": (
            lambda c: c.augmentation.spellings == 1,
            "augmentation.spellings is 1",
        )
        for key in ("spelling_alpha", "spelling_share")
    },
    "augmentation.frequency_width": (
        lambda c: not c.augmentation.frequency_masks,
        "augmentation.frequency_masks is 0",
    ),
    "augmentation.time_share": (
        lambda c: not c.augmentation.time_masks,
        "augmentation.time_masks is 0",
    ),
    "loss.star_penalty": (lambda c: c.loss.star is None, "loss.star is not set"),
    "loss.help_updates": (
        lambda c: not (c.loss.bag or (c.loss.ctc and not _keeps_ctc(c))),
        "loss.bag is 0, and so is loss.ctc, or it is the weight of a CTC head",
    ),
    "loss.ctc": (lambda c: not _transduces(c), "model.decoder is ctc, whose loss has the weight 1"),
    **{
        key: (lambda c: not _transduces(c), "model.decoder is ctc: there is no transducer")
        for key in (
            "loss.delay_penalty",
            "loss.joint_megabytes",
            "dropout.prediction",
            "dropout.joint",
            "optimiser.joint_factor",
        )
    },
    "optimiser.half_life": (
        lambda c: (
            not _delays_by_half_lives(c)
            and (c.optimiser.schedule != "half-life" or _ends_on_the_plateau(c))
        ),
        "optimiser.schedule is another one, or the run ends before the rate falls, at warmup + hold",
    ),
    "optimiser.hold": (
        lambda c: c.optimiser.schedule in ("eden", "constant"),
        "optimiser.schedule has no plateau that ends",
    ),
    **{
        f"optimiser.{key}": (
            lambda c: c.optimiser.schedule != "eden",
            "optimiser.schedule is not eden",
        )
        for key in ("eden_updates", "eden_epochs")
    },
    **{
        f"optimiser.{key}": (
            lambda c: not c.optimiser.gradient_noise,
            "optimiser.gradient_noise is 0",
        )
        for key in ("gradient_noise_start", "gradient_noise_decay")
    },
    **{
        f"normalisation.{key}": (
            lambda c: c.normalisation.stream_share == 1.0,
            "normalisation.stream_share is 1",
        )
        for key in ("delay", "ramp")
    },
    "state_passing.delay": (
        lambda c: len(c.state_passing.chains) == 1,
        "state_passing.chains has chains of one update only",
    ),
    "min_delta": (lambda c: c.patience is None, "patience is not set"),
    "log.histograms_every": (lambda c: not c.log.to, "log.to is empty"),
    **{
        f"log.{key}": (
            lambda c: set(c.log.to) <= {"tensorboard"},
            "log.to has no mlflow, wandb or clearml",
        )
        for key in ("project", "upload")
    },
}


def _transduces(config: Config) -> bool:
    return config.model.get("decoder") != "ctc"


def _keeps_ctc(config: Config) -> bool:
    return config.model.get("decoder") in ("ctc", "both")


def _delays_by_half_lives(config: Config) -> bool:
    blend, passing = config.normalisation, config.state_passing
    return (blend.stream_share < 1.0 and blend.delay is None) or (
        len(passing.chains) > 1 and passing.delay is None
    )


def _ends_on_the_plateau(config: Config) -> bool:
    warmup, hold, end = config.optimiser.warmup, config.optimiser.hold, config.updates
    if end is None or isinstance(warmup, str) or isinstance(hold, str):
        return False  # how many updates an epoch has is not known here
    return warmup + hold >= end


def load_config(
    path: str | Path, overrides: Iterable[str] = (), say: Callable[[str], None] | None = None
) -> Config:
    """Read a configuration and apply overrides such as "optimiser.rate=0.004".

    Args:
        path: of a TOML file or a YAML of Myrtle's, or the name of a configuration that ships with Rill.
        overrides: of single keys.
        say: takes a line for each thing that a file asks for and is not done.
    Raises:
        ConfigError: a file cannot be read, keys are unknown, missing or wrong, which the message names all at
            once, or an override has no effect.
    """
    layers = read_layers(Path(path))
    overridden = [layers.override(override) for override in overrides]
    config = checked(layers.tree, layers.where)
    for key in overridden:
        idle, reason = INEFFECTIVE.get(key, (None, ""))
        if idle is not None and idle(config):
            raise ConfigError(f"--set {key} has no effect, since {reason}")
    if say is not None:
        for note in layers.notes:
            say(note)
    return config


def resolve(name: str) -> Path:
    """Return the path that a configuration names, its environment variables filled in.

    Raises:
        ConfigError: a variable is not set.
    """
    path = os.path.expandvars(name)
    if missing := re.search(r"\$\{?(\w+)", path):
        raise ConfigError(f"{name}: set the environment variable {missing[1]} to that folder")
    return Path(path)


def resolve_model(name: str) -> Path:
    """Return the path of a model that a configuration names; a bundled one has a name in place of a path.

    Raises:
        ConfigError: a variable is not set.
    """
    return bundled.model_path(name) if name in bundled.NAMES else resolve(name)
