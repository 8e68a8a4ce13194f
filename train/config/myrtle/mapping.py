"""Myrtle's YAML as a configuration: every key of it is mapped, checked, noted or refused.

1. A key that has no rule (`train.config.myrtle.rules`) is refused with all others, and so is a placeholder of
   the templates.
2. Training arguments, which Myrtle has on the command line, are those of `base`; for generation 1.4, told by
   there being no `stats_path`, what that generation had instead (`ARGUMENTS`).
3. Relative paths count from the YAML's folder, as in `hwckpt.convert`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from hwckpt.configuration import REDUCED
from hwckpt.layout import FINAL_PADDING
from stream.errors import ArgumentError
from train.config.myrtle.rules import RULES, Mapped, shown

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
NEEDED = [f"rnnt.{key}" for key in REDUCED["rnnt"]]


def mapped(text: str, path: Path) -> Mapped:
    """Return what a YAML asks for.

    Args:
        text: its content; path: where it is from, for paths in it and for messages.
    Raises:
        ArgumentError: it is not YAML, or a key of it cannot be had here; the message has a line for each.
    """
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ArgumentError(f"{path}: not YAML: {error}") from error
    if not isinstance(content, dict):
        raise ArgumentError(f"{path}: is a {type(content).__name__}, wants tables such as rnnt")
    found = Mapped()
    flat = dict(_flat(content))
    faults = [f"{key} is missing" for key in NEEDED if key not in flat]
    for key, value in flat.items():
        try:
            _check_placeholder(key, value)
            if key not in RULES:
                raise ValueError(f"unknown key {key} = {shown(value)}{_meant(key)}")
            RULES[key](found, key, value)
        except (ValueError, TypeError) as error:
            faults.append(str(error))
    if not faults:
        try:
            _combine(found, path.parent)
        except ValueError as error:
            faults.append(str(error))
    if faults:
        raise ArgumentError("\n    ".join([f"{path}: as a configuration of Myrtle's:", *faults]))
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
