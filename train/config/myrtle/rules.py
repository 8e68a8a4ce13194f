"""Rules of the keys of Myrtle's YAML: what each is here.

    rnnt.enc_n_hid: 1024                  a rule `to` writes it to model.hidden
    rnnt.enc_stack_time_factor: 2         a rule `only` refuses what Rill has no other of
    rnnt.joint_apex_transducer: pack      a rule `idle` passes over what no result depends on
    audio_dataset.max_transcript_len: 450 a rule `note` says what is not done, where it is asked for

What the keys mean is in docs/numerics.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from hwckpt.configuration import FIXED
from stream.front_end.log_mel import SAMPLE_RATE

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
            raise ValueError(f"{key} is {shown(value)}, and Rill knows {shown(values[0])} only")

    return rule


def idle(_: Mapped, key: str, value: Any) -> None:
    """Pass over a key that no result here depends on."""


def note(harmless: Any, text: str) -> Rule:
    """Return the rule of a key that is not done, and said so unless its value is `harmless`."""

    def rule(found: Mapped, key: str, value: Any) -> None:
        if value != harmless:
            found.notes.append(f"{key} = {shown(value)} is not done: {text}")

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


def shown(value: Any) -> str:
    """Return a value as a YAML has it."""
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
