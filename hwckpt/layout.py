"""Tables of the hardware checkpoint: fields, tensor names, sizes, and the meaning of each version.

A hardware checkpoint is a dictionary saved by torch (`hwckpt.torch_file.container`). There are two
generations: 1.4 (EWMA; hard activations up to 1.5, soft in 1.6 to 1.8) and 1.14 (soft, global statistics).
Both are written, and versions in between are read. The format's names are used in this package only; the YAML
inside is in `hwckpt.configuration`. docs/hwckpt-format.md describes the format on one page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from msgspec import UNSET

from stream.encoders.lstm_layer import KEYS
from stream.front_end.log_mel import CARD_FLOOR, SAMPLE_RATE
from stream.model.specification import Specification

Version = tuple[int, int, int]
Format = Literal["1.4", "1.14"]

HARD_UNTIL: Version = (1, 5, 99)  # from 1.6 on, all activations are soft
CONFIG_SINCE: Version = (1, 2, 0)
PADDED_SINCE: Version = (1, 8, 0)  # window - 160 zeros stand before the first sample
FINAL_PADDING_SINCE: Version = (1, 12, 0)
RUNNING_COUNTER_SINCE: Version = (1, 12, 0)  # of greedy decoding, see `stream.decoding.greedy`
PROTOCOL_5_SINCE: Version = (1, 14, 0)
FINAL_PADDING = 3840  # samples, 0.24 s
UNRECORDED_WINDOW = 320  # samples; versions 1.0 and 1.1 knew 20 ms only and recorded none


@dataclass(frozen=True)
class Field:
    """A key of the dictionary: its name, type, first version, and meaning."""

    name: str
    type: str
    since: Version
    meaning: str


FIELDS = (
    Field("state_dict", "OrderedDict of tensors", (1, 0, 0), "averaged (EMA) weights"),
    Field("epoch", "int", (1, 0, 0), "epochs trained"),
    Field("step", "int", (1, 0, 0), "updates trained"),
    Field("best_wer", "float or int", (1, 0, 0), "a fraction; 1000000 if never validated"),
    Field("melmeans", "float32 (80,)", (1, 0, 0), "mean of log-mel"),
    Field("melvars", "float32 (80,)", (1, 0, 0), "variance of log-mel, > 0"),
    Field("melalpha", "float", (1, 0, 0), "weight of a new frame in EWMA; 0 from 1.9"),
    Field("sentpiece_model", "bytes", (1, 0, 0), "the whole SentencePiece model"),
    Field("ngram", "dict", (1, 11, 0), "binary: bytes or None, scale_factor: float or None"),
    Field("version", "str", (1, 2, 0), "the tag that wrote it; 1.7.0 writes 1.6.0"),
    Field("rnnt_config", "dict", (1, 2, 0), "the YAML; from 1.6 a part of it"),
)

# LSTM stacks: name in the state_dict -> in the Network. Layer n has arrays <stack>.<key>_l<n>.
STACKS = {
    "encoder.pre_rnn.lstm": "encoder.pre",
    "encoder.post_rnn.lstm": "encoder.post",
    "prediction.dec_rnn.lstm": "prediction.lstm",
}
OTHERS = {
    "prediction.embed.weight": "prediction.embedding",
    "joint_pred.weight": "joint.prediction.weight",
    "joint_pred.bias": "joint.prediction.bias",
    "joint_enc.weight": "joint.encoder.weight",
    "joint_enc.bias": "joint.encoder.bias",
    "joint_net.2.weight": "joint.output.weight",
    "joint_net.2.bias": "joint.output.bias",
}

# Sizes that Myrtle ships, as fields of a specification. Its own export of 1.14 writes base and large
# only, and its card loads nothing else.
_FIELDS = "vocabulary hidden pre_layers post_layers prediction_hidden prediction_layers joint"
SIZES: dict[str, dict[str, Any]] = {
    name: dict(zip(_FIELDS.split(), sizes, strict=True))
    for name, sizes in {
        "testing": (1023, 1024, 2, 3, 512, 2, 512),
        "base": (8703, 1024, 2, 6, 512, 2, 768),
        "large": (17407, 1536, 2, 6, 768, 2, 1024),
    }.items()
}


def parse_version(text: str) -> Version:
    """Return a version's three numbers.

    Raises:
        ValueError: it is not of the form 1.x.y.
    """
    found = re.match(r"(1)\.(\d{1,4})(?:\.(\d{1,4}))?", text)
    if not found:
        raise ValueError(f"version is {text[:40]!r}, wants 1.x.y")
    major, minor, patch = found.groups(default="0")
    return int(major), int(minor), int(patch)


def pickle_protocol(version: Version) -> int:
    """Return the protocol of a version's pickles: 2, and 5 from 1.14 on."""
    return 5 if version >= PROTOCOL_5_SINCE else 2


def names(specification: Specification) -> dict[str, str]:
    """Return the state_dict's keys, in its order, with the Network's names for them."""
    layers = _layers(specification)
    table: dict[str, str] = {}
    for stack, ours in STACKS.items():
        if stack == "prediction.dec_rnn.lstm":
            table["prediction.embed.weight"] = OTHERS["prediction.embed.weight"]
        for n in range(layers[stack]):
            table |= {f"{stack}.{key}_l{n}": f"{ours}.{n}.{key}" for key in KEYS}
    return table | OTHERS


def _layers(specification: Specification) -> dict[str, int]:
    counts = ("pre_layers", "post_layers", "prediction_layers")
    return {stack: getattr(specification, of) for stack, of in zip(STACKS, counts, strict=True)}


def aliases(key: str) -> str | None:
    """Return the key that this key of a state_dict repeats, or None.

    Versions 1.4 and 1.5 repeat LSTM tensors as <stack>.layers.<n>.<key>; in memory, later ones know
    the joint's last layer as joint_fc too.
    """
    found = re.fullmatch(r"(.+\.lstm)\.layers\.(\d+)\.(\w+)", key)
    if found:
        return f"{found[1]}.{found[3]}_l{found[2]}"
    if key.startswith("joint_fc."):
        return key.replace("joint_fc.", "joint_net.2.", 1)
    return None


def metadata(format: Format, specification: Specification) -> list[str]:
    """Return the module names of the state_dict's `_metadata`, each with {"version": 1}."""
    modules = ["", "encoder"]
    for lstm, count in _layers(specification).items():
        stack = lstm.removesuffix(".lstm")
        if stack == "encoder.post_rnn":
            modules += ["encoder.stack_time"]
        if stack == "prediction.dec_rnn":
            modules += ["prediction", "prediction.embed"]
        modules += [stack, lstm, f"{lstm}.drop_function"]
        if format == "1.4":
            modules += [f"{lstm}.layers", *(f"{lstm}.layers.{n}" for n in range(count))]
        modules += [f"{stack}.dropout"]
    modules += ["joint_pred", "joint_enc", "joint_net", "joint_net.0", "joint_net.1", "joint_net.2"]
    if format == "1.14":
        modules += ["relu_drop", "relu_drop.0", "relu_drop.1", "joint_fc"]
    return modules


def card_specification(
    version: Version,
    config: Mapping[str, Any] | None,
    alpha: float,
    sizes: Mapping[str, Any],
) -> Specification:
    """Return what a version's file computes.

    Args:
        version: (1, 0, 0) for a file without one.
        config: its rnnt_config; None in versions 1.0 and 1.1.
        alpha: its melalpha.
        sizes: the fields of Specification that the tensors' shapes give.
    Raises:
        ValueError: a value of the configuration is missing or impossible.
    """
    hard, quantised, window = True, False, UNRECORDED_WINDOW
    if config is not None:
        rnnt = config["rnnt"]
        hard = bool(rnnt.get("custom_lstm") and rnnt.get("hard_activation_functions"))
        quantised = bool(rnnt.get("quantize", False))
        seconds = config["input_val"]["filterbank_features"]["window_size"]
        window = round(seconds * SAMPLE_RATE)
        if abs(window - seconds * SAMPLE_RATE) > 1e-6 * window:
            raise ValueError(f"window_size is {seconds} s, not a whole number of samples")
    return Specification(
        window=window,
        floor=CARD_FLOOR,
        initial_padding=version >= PADDED_SINCE,
        final_padding=FINAL_PADDING if version >= FINAL_PADDING_SINCE else 0,
        alpha=alpha,
        activation="hard" if hard and version <= HARD_UNTIL else "soft",
        number_format="bfp16" if quantised else "float32",
        symbol_counter="running" if version >= RUNNING_COUNTER_SINCE else UNSET,
        **sizes,
    )
