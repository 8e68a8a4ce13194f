"""Every fault of a configuration at once: unknown keys, missing ones, wrong values.

msgspec stops at the first fault. So unknown and missing keys are looked for first, and a wrong value is
found by what happens without it: it is the key whose removal changes the complaint. That key has its
default from then on, and the rest is checked again. Which is right for a value that is wrong by itself
and for one that is wrong beside another, whatever the structs check.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args, get_origin

import msgspec

from train.config.keys import KeyPath, alternatives, annotation_of, dotted, unknown
from train.config.run import Config, ConfigError

# Keys without a default: what stands for them while the others are checked, and what is wanted.
REQUIRED: dict[KeyPath, tuple[Any, str]] = {
    ("model",): ({}, 'a table [model] with the sizes, or extends = "base" (testing, base, large)'),
    ("data",): ({"train": ["-"], "dev": "-"}, "a table [data] with train and dev"),
    ("data", "train"): (["-"], 'data sets to learn from, as in train = ["train.jsonl"]'),
    ("data", "dev"): ("-", 'the data set that is validated on, as in dev = "dev.jsonl"'),
}
TAGS = (
    "family",
    "schedule",
)  # say what a table is: only with them are its other keys right or wrong
WORDS = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}


def checked(tree: dict[str, Any], where: Callable[[str], str]) -> Config:
    """Return the configuration that a tree of keys and values describes.

    Args:
        tree: tables in tables, as TOML has them; it stays as it is.
        where: returns the file, or what else a key was read from, of its dotted name.
    Raises:
        ConfigError: it has faults; the message has a line for each.
    """
    tree = copy.deepcopy(tree)
    found = [*unknown(tree), *_missing(tree)]
    while True:
        try:
            config = msgspec.convert(tree, Config)
            break
        except msgspec.ValidationError as error:
            path = _culprit(tree, str(error))
            if path is None:
                found.append(("", str(error)))
                break
            found.append((dotted(path), _described(path, tree, str(error))))
            _set_aside(tree, path)
    if not found:
        return config
    lines = [f"{where(key)}: {message}" for key, message in found]
    if len(lines) == 1:
        raise ConfigError(lines[0])
    raise ConfigError("\n    ".join([f"{where('')}: {len(lines)} keys are wrong:", *lines]))


def _missing(tree: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Put what stands for missing keys into the tree; yields each and what is wanted."""
    for path, (value, wanted) in REQUIRED.items():
        table = _at(tree, path[:-1])  # a table that was missing is complete
        if isinstance(table, dict) and path[-1] not in table:
            table[path[-1]] = copy.deepcopy(value)
            yield dotted(path), f"{dotted(path)} is missing: {wanted}"


def _culprit(tree: dict[str, Any], message: str) -> KeyPath | None:
    """Return the key without which the message is another one; those that it names first come first."""

    def place(path: KeyPath) -> float:
        named = re.search(rf"\b{re.escape(str(path[-1]))}\b", message)
        return math.inf if named is None else named.start()

    for path in sorted(_leaves(tree, ()), key=place):
        if path[-1] in TAGS and place(path) == math.inf:
            continue
        without = copy.deepcopy(tree)
        if not _set_aside(without, path):
            continue
        try:
            msgspec.convert(without, Config)
        except msgspec.ValidationError as error:
            if str(error) == message:
                continue
        return path
    return None


def _leaves(value: Any, path: KeyPath) -> Iterator[KeyPath]:
    """Yield the path of every key whose value is no table, and of every such element of a list."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list) and any(isinstance(each, dict) for each in value):
        for number, each in enumerate(value):
            yield from _leaves(each, (*path, number))
    elif path:
        yield path


def _set_aside(tree: dict[str, Any], path: KeyPath) -> bool:
    """Give a key its default, or what stands for it; returns whether that is another value.

    A tag takes its table with it.
    """
    if path[-1] in TAGS:
        path = path[:-1]
    table = _at(tree, path[:-1])
    if path in REQUIRED:
        before, table[path[-1]] = table[path[-1]], copy.deepcopy(REQUIRED[path][0])
        return bool(before != table[path[-1]])
    del table[path[-1]]
    return True


def _at(tree: Any, path: KeyPath) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def _described(path: KeyPath, tree: dict[str, Any], message: str) -> str:
    """Return msgspec's message as a sentence: key, value, what is wanted."""
    key, value = dotted(path), _at(tree, path)
    message = re.sub(r"( - at `\$[^`]*`)+$", "", message).removeprefix("model: ")
    plain = re.sub(r"^(encoder|prediction network): ", "", message)
    shown = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
    if wanted := re.fullmatch(r"Expected `([\w| ]+)`, got `\w+`", plain):
        words = [WORDS[name.strip()] for name in wanted[1].split("|") if name.strip() in WORDS]
        return f"{key} is {shown}, wants {' or '.join(words)}"
    if plain.startswith("Invalid enum value") and (options := _options(path, tree)):
        return f"{key} is {shown}, wants {', '.join(map(str, options))}"
    if plain.startswith(("Expected", "Invalid", "Object")):
        return f"{key} is {shown}: {plain}"
    return message


def _options(path: KeyPath, tree: dict[str, Any]) -> list[Any]:
    """Return the values of a key that has a list of them, or nothing."""
    return [
        option
        for alternative in alternatives(annotation_of(path, tree))
        if get_origin(alternative) is Literal
        for option in get_args(alternative)
    ]
