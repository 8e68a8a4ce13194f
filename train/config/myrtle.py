"""Myrtle's YAML as a configuration: every key of it is mapped, checked, noted or refused.

    rnnt.enc_n_hid: 1024                  a rule `to` writes it to model.hidden
    rnnt.enc_stack_time_factor: 2         a rule `only` refuses what Rill has no other of
    rnnt.joint_apex_transducer: pack      a rule `idle` passes over what no result depends on
    tokenizer.sampling: 0.05              a rule `note` says what is not done, where it is asked for

1. A key that has no rule is refused with all others, and so is a placeholder of the templates.
2. Training arguments, which Myrtle has on the command line, are those of `base`; for generation 1.4, told by
   there being no `stats_path`, what that generation had instead (`ARGUMENTS`).
3. Relative paths count from the YAML's folder, as in `hwckpt.convert`.

What the keys mean is in docs/numerics.md.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from hwckpt.configuration import FIXED, REDUCED
from hwckpt.layout import FINAL_PADDING
from stream.front_end.log_mel import SAMPLE_RATE
from train.config.run import ConfigError

PLACEHOLDERS = {
    "SENTENCEPIECE": "the name of the SentencePiece model, or leave sentpiece_model out: then a run makes one",
    "MAX_DURATION": "the seconds of the longest utterance to learn from, such as 16.7",
    "STATS_SUBDIR": "the folder that holds melmeans.pt and melvars.pt",
    "NGRAM_SUBDIR": "the folder that holds ngram.binary, or leave the table ngram out",
}
ARGUMENTS: dict[str, Any] = {  # of generation 1.4, where they are not those of 1.14
    "optimiser.hold": 10_880,
    "optimiser.half_life": 2805,
    "optimiser.weight_decay": 0.001,
    "augmentation.noise": 0.0,
    "augmentation.spellings": 1,
    "loss.delay_penalty": 0.0,
    "state_passing.chains": [1.0],
}
DITHER = 1e-5


@dataclass
class Mapped:
    """A configuration that was a YAML.

    Attributes:
        values: by the dotted names of our keys.
        origins: which of its keys each is from, by the same names.
        notes: what it asks for and is not done, a line each.
    """

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def write(self, target: str, value: Any, origin: str) -> None:
        """Write a key of ours; two keys that both mean it have to agree."""
        if self.values.setdefault(target, value) != value:
            raise ValueError(
                f"{origin} asks for {target} = {value!r}, and {self.origins[target]} for "
                f"{self.values[target]!r}"
            )
        self.origins.setdefault(target, origin)


Rule: TypeAlias = Callable[[Mapped, str, Any], None]  # of a key and its value; ValueError: refused


def to(target: str, convert: Callable[[Any], Any] = lambda value: value) -> Rule:
    """Return the rule of a key that is `target` here."""

    def rule(found: Mapped, key: str, value: Any) -> None:
        found.write(target, convert(value), key)

    return rule


def only(*values: Any) -> Rule:
    """Return the rule of a key of which there is nothing but these values here."""

    def rule(_: Mapped, key: str, value: Any) -> None:
        if value not in values:
            raise ValueError(f"{key} is {_shown(value)}, and Rill knows {_shown(values[0])} only")

    return rule


def idle(_: Mapped, key: str, value: Any) -> None:
    """Pass over a key that no result here depends on."""


def note(harmless: Any, text: str) -> Rule:
    """Return the rule of a key that is not done, and said so unless its value is `harmless`."""

    def rule(found: Mapped, key: str, value: Any) -> None:
        if value != harmless:
            found.notes.append(f"{key} = {_shown(value)} is not done: {text}")

    return rule


def _dithered(found: Mapped, key: str, value: Any) -> None:
    if float(value) not in (0.0, DITHER):
        raise ValueError(f"{key} is {value}, and Rill knows 0 and {DITHER} only")
    found.write("augmentation.dither", 1.0 if float(value) else 0.0, key)


def _speed(found: Mapped, key: str, value: Any) -> None:
    value = value or {"p": 1.0}  # none
    change, probability = value.get("max_rate", 1.0) - 1.0, value.get("p", 1.0)
    if change < 0.0 or abs(1.0 - value.get("min_rate", 1.0) - change) > 1e-6 or probability != 1.0:
        raise ValueError(f"{key} is {value}, wants rates as far below 1 as above, and p = 1")
    found.write("augmentation.speed", round(change, 6), key)


def _sampled(found: Mapped, key: str, value: Any) -> None:
    """SentencePiece draws from all spellings, to the power of 0.1; beyond the best 64 little is left."""
    found.write("augmentation.spellings", 64 if value else 1, key)
    found.write("augmentation.spelling_share", float(value) if value else 1.0, key)
    found.write("augmentation.spelling_alpha", 0.1, key)


def _factor(part: str) -> Rule:
    """Return the rule of a factor of the learning rate of a part of the model."""

    def rule(found: Mapped, key: str, value: Any) -> None:
        if float(value) != 1.0:
            found.values.setdefault("optimiser.factors", {})[part] = float(value)
            found.origins["optimiser.factors"] = key

    return rule


def _window(value: Any) -> int:
    return round(float(value) * SAMPLE_RATE)


def _level(value: Any) -> bool | str:
    if not isinstance(value, bool | str):
        raise ValueError(f"normalize_transcripts is {value!r}, wants true, false or a level")
    return value


_FEATURES: dict[str, Rule] = {
    "normalize": only("per_feature"),
    "window_size": to("model.window", _window),
    "window": only("hann"),
    "stats_path": to("data.statistics"),
}
_TEXT: dict[str, Rule] = {
    "normalize_transcripts": to("level", _level),
    "standardize_wer": note(False, "training shows the WER of texts as they are learned"),
    "replacements": only(None, []),
    "remove_tags": idle,
    "error_rate": only("word"),
}
_LISTED: dict[str, dict[str, Rule]] = {
    "user_tokens": {"eos": only("<EOS>"), "star": to("loss.star")},
    "tokenizer": {
        "sentpiece_model": to("data.tokenizer"),
        "labels": idle,
        "sampling": _sampled,
    },
    "input_val.audio_dataset": {**_TEXT, "trim_silence": only(False)},
    "input_val.filterbank_features": {**_FEATURES, "dither": idle},
    "input_train.audio_dataset": {
        **_TEXT,
        "trim_silence": to("augmentation.trim", float),
        "max_duration": to("data.max_seconds", float),
        "min_duration": to("data.min_seconds", float),
        "max_transcript_len": note(None, "max_duration alone limits an utterance"),
        "standardize_text": to("standard"),
        "standardize_wer": idle,  # said of input_val's
        "speed_perturbation": _speed,
    },
    "input_train.filterbank_features": {**_FEATURES, "dither": _dithered},
    "input_train.spec_augment": {
        "freq_masks": to("augmentation.frequency_masks"),
        "min_freq": only(0),
        "max_freq": to("augmentation.frequency_width"),
        "time_masks": to("augmentation.time_masks"),
        "min_time": only(0),
        "max_time": to("augmentation.time_share"),
        "noise_magnitude": only(0),
    },
    "rnnt": {
        "enc_n_hid": to("model.hidden"),
        "enc_pre_rnn_layers": to("model.pre_layers"),
        "enc_post_rnn_layers": to("model.post_layers"),
        "pred_n_hid": to("model.prediction_hidden"),
        "pred_rnn_layers": to("model.prediction_layers"),
        "joint_n_hid": to("model.joint"),
        "enc_dropout": to("dropout.encoder"),
        "pred_dropout": to("dropout.prediction"),
        "joint_dropout": to("dropout.joint"),
        "enc_rw_dropout": to("dropout.recurrent"),
        "pred_rw_dropout": only(0.0),
        "enc_freeze": to("optimiser.freeze", lambda value: ["encoder"] if value else []),
        "joint_net_lr_factor": to("optimiser.joint_factor"),
        "enc_lr_factor": _factor("encoder"),
        "pred_lr_factor": _factor("prediction"),
        "joint_enc_lr_factor": _factor("joint.encoder"),
        "joint_pred_lr_factor": _factor("joint.prediction"),
        "joint_apex_transducer": idle,
        "joint_apex_relu_dropout": idle,
        "gpu_unavailable": idle,
        "forget_gate_bias": only(1.0),
        "hidden_hidden_bias_scale": only(0.0),
        "weights_init_scale": note(1.0, "weights are drawn as `train.model` has it"),
        "custom_lstm": to("custom"),
        "hard_activation_functions": to("hard"),
        "quantize": to("quantize", lambda value: "bfp16" if value else "none"),
    },
    "grad_noise_scheduler": {
        "noise_level": to("optimiser.gradient_noise", float),
        "decay_const": to("optimiser.gradient_noise_decay", float),
        "start_step": to("optimiser.gradient_noise_start"),
    },
    "ngram": {
        "ngram_path": to("ngram.path", lambda folder: f"{folder}/ngram.binary"),
        "scale_factor": to("ngram.weight"),
    },
}
# The rules by the dotted names of Myrtle's keys.
RULES: dict[str, Rule] = {
    f"{table}.{key}": rule for table, rules in _LISTED.items() for key, rule in rules.items()
}
for _path, _value in FIXED.items():
    for _section in {_path[0], _path[0].replace("input_val", "input_train")}:
        RULES[".".join((_section, *_path[1:]))] = only(_value)
for _section in ("input_val", "input_train"):
    RULES[f"{_section}.audio_dataset.sample_rate"] = only(SAMPLE_RATE)
NEEDED = [f"rnnt.{key}" for key in REDUCED["rnnt"]]


def mapped(text: str, path: Path) -> Mapped:
    """Return what a YAML asks for.

    Args:
        text: its content; path: where it is from, for paths in it and for messages.
    Raises:
        ConfigError: it is not YAML, or a key of it cannot be had here; the message has a line for each.
    """
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: is a {type(content).__name__}, wants tables such as rnnt")
    found = Mapped()
    flat = dict(_flat(content))
    faults = [f"{key} is missing" for key in NEEDED if key not in flat]
    for key, value in flat.items():
        try:
            _check_placeholder(key, value)
            if key not in RULES:
                raise ValueError(f"unknown key {key} = {_shown(value)}{_meant(key)}")
            RULES[key](found, key, value)
        except (ValueError, TypeError) as error:
            faults.append(str(error))
    if not faults:
        try:
            _combine(found, path.parent)
        except ValueError as error:
            faults.append(str(error))
    if faults:
        raise ConfigError("\n    ".join([f"{path}: as a configuration of Myrtle's:", *faults]))
    return found


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the keys of a YAML with their values; a table that has a rule of its own is a value."""
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and name not in RULES:
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


def _meant(key: str) -> str:
    close = difflib.get_close_matches(key, RULES, 1, 0.8)
    return f" (did you mean {close[0]}?)" if close else ""


def _check_placeholder(key: str, value: Any) -> None:
    for name, wanted in PLACEHOLDERS.items():
        if isinstance(value, str) and re.search(rf"\b{name}\b", value):
            raise ValueError(f"{key} is {value}, a template's: put in place of {name} {wanted}")


def _combine(found: Mapped, folder: Path) -> None:
    """Write what several keys say together, and what goes with a generation."""
    values = found.values
    statistics = "input_train.filterbank_features.stats_path"
    custom, hard = values.pop("custom", False), values.pop("hard", False)
    if hard and not custom:
        found.notes.append("rnnt.hard_activation_functions has no effect without custom_lstm")
    activation = "hard" if custom and hard else "soft"
    found.write("model.activation", activation, "rnnt.hard_activation_functions")
    level, standard = values.pop("level", False), values.pop("standard", False)
    global_statistics = "data.statistics" in values  # from generation 1.9 on
    if global_statistics:
        found.write("model.alpha", 0.0, statistics)
        found.write("normalisation.stream_share", 0.0, statistics)
        found.write("model.initial_padding", True, statistics)
        found.write("model.final_padding", FINAL_PADDING, statistics)
        flags = {True: "lowercase", False: "as-is"}
    else:
        for key, value in ARGUMENTS.items():
            values.setdefault(key, value)
        flags = {True: "v1.4", False: "as-is"}
    rules = flags[level] if isinstance(level, bool) else level.replace("identity", "as-is")
    if standard and rules != "lowercase":
        raise ValueError("standardize_text is true, and wants normalize_transcripts: lowercase")
    rules = "standard" if standard else rules
    found.write("data.text", rules, "input_train.audio_dataset.normalize_transcripts")
    for key in ("data.tokenizer", "data.statistics", "ngram.path"):
        if key in values:
            values[key] = str(folder / values[key])  # which may be absolute


def _shown(value: Any) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
