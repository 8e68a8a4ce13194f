"""The files that a configuration is made of: each extends another one and changes some of its keys.

`extends` names a TOML file, counted from the folder of the file that says so; a configuration that ships
with Rill, by its bare name (`train.config.named`); or a YAML of Myrtle's (`train.config.myrtle.mapping`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stream.errors import ArgumentError
from stream.files.text import TextError, read_text
from train.config.duration import drop_other_length
from train.config.myrtle.mapping import mapped
from train.config.named import NAMED
from train.config.renamed import current, current_item
from train.config.run import ConfigError


@dataclass
class Layers:
    """Keys and values of a configuration, and where each is from.

    Attributes:
        name: of the file on top, for messages.
        tree: tables in tables, as TOML has them.
        origins: the file, or the override, that a key is from, by dotted names.
        notes: what a file asks for and is not done.
    """

    name: str
    tree: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def where(self, key: str) -> str:
        """Return what a key, or the table that it is in, is from."""
        while key and key not in self.origins:
            key = key.rpartition(".")[0]
        return self.origins.get(key, self.name)

    def lay(self, tree: Mapping[str, Any], name: str) -> None:
        """Lay the keys of a file over those that are there."""
        drop_other_length(self.tree, tree)
        self.tree = _merged(self.tree, tree)
        self.origins |= {key: name for key in _names(tree)}
        self.name = name

    def override(self, override: str) -> str:
        """Set what an override such as "optimiser.rate=0.004" says; returns its key.

        "null" takes a value away, as in "init=null": TOML has no word for it.

        Raises:
            ConfigError: it is not KEY=VALUE, or goes through a key that is no table.
        """
        said, separator, text = override.partition("=")
        if not separator or not said.strip():
            raise ConfigError(f"--set {override}: wants KEY=VALUE, as in optimiser.rate=0.004")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = None if text == "null" else text  # any other bare word is a string
        key, value = current_item(said.strip(), value)
        drop_other_length(self.tree, {key: value})
        *tables, last = key.split(".")
        tree, origin = self.tree, f"--set {override}"
        for number, table in enumerate(tables, 1):
            if tree.get(table) is None:
                tree[table] = {}
            tree = tree[table]
            if not isinstance(tree, dict):
                raise ConfigError(f"{origin}: {table} is not a table")
            self.origins.setdefault(".".join(tables[:number]), origin)
        tree[last] = value
        self.origins[key] = origin
        return key


def read_layers(path: Path, above: tuple[Path, ...] = ()) -> Layers:
    """Read a file over the one that it extends.

    Raises:
        ConfigError: a file cannot be read, or extends itself.
    """
    path = NAMED.get(str(path), path)
    if path.resolve() in above:
        raise ConfigError(f"{path}: extends itself")
    text = _text(path)
    if path.suffix in (".yaml", ".yml"):
        return _of_yaml(text, path)
    try:
        tree = current(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error
    extended = tree.pop("extends", None)
    if extended is None:
        layers = Layers(str(path))
    elif not isinstance(extended, str):
        raise ConfigError(f"{path}: extends is {extended!r}, wants the path of a file")
    else:
        below = Path(extended) if extended in NAMED else path.parent / extended
        layers = read_layers(below, (*above, path.resolve()))
    layers.lay(tree, str(path))
    return layers


def _of_yaml(text: str, path: Path) -> Layers:
    """Lay what a YAML of Myrtle's asks for over the training arguments of `base`."""
    try:
        found = mapped(text, path)
    except ArgumentError as error:
        raise ConfigError(str(error)) from error
    layers = read_layers(NAMED["base"])
    tree: dict[str, Any] = {}
    for key, value in found.values.items():
        *tables, last = key.split(".")
        table = tree
        for name in tables:
            table = table.setdefault(name, {})
        table[last] = value
    layers.lay(tree, str(path))
    layers.origins |= {key: f"{path}: {theirs}" for key, theirs in found.origins.items()}
    layers.notes += [f"{path}: {note}" for note in found.notes]
    return layers


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except FileNotFoundError:
        names = "" if path.suffix else f"; by name there are {', '.join(NAMED)}"
        raise ConfigError(f"{path}: no such configuration{names}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except TextError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            value = _merged(merged[key], value)
        merged[key] = value
    return merged


def _names(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all keys and tables."""
    for key, value in tree.items():
        yield prefix + key
        if isinstance(value, dict):
            yield from _names(value, f"{prefix}{key}.")
