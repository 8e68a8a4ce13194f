"""The configuration file of `rill serve`: every flag as a key, in TOML.

A key is the name of its flag with underscores: `idle_seconds = 30` for --idle-seconds 30. Flags and variables of the
environment win over the file. Paths are relative to the folder of the file, and a bundled model may be named in
place of its path. Lists are lists, switches are true or false, and models and aliases are tables:

    port = 8080
    allowed_hosts = ["asr.example.org"]
    [model]
    en = "/srv/models/en"

All faults of a file are reported at once, each with its key. There is no key for a token: RILL_TOKEN or a token file
has it.
"""

from __future__ import annotations

import argparse
import difflib
import json
import re
import tomllib
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from server.flags import (
    AUTO,
    LISTS,
    PATHS,
    TABLES,
    field_of,
    make_parser,
    slots_or_auto,
    variable_of,
)
from server.options import OptionError, Options, read
from stream.bundled import NAMES
from stream.decoding.options import OFF, seconds_or_off
from stream.errors import ArgumentError
from stream.files.text import TextError, read_text

NOT_KEYS = ("help", "config", "print_config")
WORDS: dict[Any, str] = {slots_or_auto: AUTO, seconds_or_off: OFF}  # that stand for None


class ConfigError(ArgumentError):
    """A configuration file that cannot be used; the message has a line for each fault."""


class Configuration:
    """What flags, environment and file say, together.

    Args:
        argv: the command line, without the command.
        environment: its variables.
    Attributes:
        options: the result.
    Raises:
        ConfigError: the file cannot be read, or has faults.
        OptionError: a flag or a variable has.
    """

    def __init__(self, argv: Sequence[str] | None, environment: Mapping[str, str]) -> None:
        self._argv, self._environment = argv, environment
        self.parser = make_parser(environment)
        self.arguments = self.parser.parse_args(argv)
        self._path: Path | None = self.arguments.config
        self._file: dict[str, str] = {}
        if self._path is not None:
            self._file = self._checked(*self._read(self._path))
            self.arguments = self._parse(self._file)
        self.options: Options = read(self.arguments, environment)

    def describe(self) -> Iterator[str]:
        """Yield the lines of an equivalent configuration file, with the origin of each value."""
        given = self._given()
        tables = []
        for action in self._actions():
            key = action.dest
            origin = self._origin(key, given)
            if key in TABLES:
                tables += ["", f"[{key}]  # {origin}", *self._table(key)]
                continue
            value = _toml(action, getattr(self.arguments, key))
            yield f"# {key} is not set" if value is None else f"{key} = {value}  # {origin}"
        yield from tables

    def _table(self, key: str) -> Iterator[str]:
        named = self.options.models if key == "model" else self.options.aliases
        for name, value in named.items():
            quoted = json.dumps(name, ensure_ascii=False)
            if value is None:
                yield f"# {quoted} is the bundled model {NAMES[0]}"
            else:
                yield f"{quoted} = {_quoted(key, value)}"

    def _origin(self, key: str, given: Mapping[str, Any]) -> str:
        flag = key.replace("_", "-")
        if key in given:
            return f"--{flag}"
        if variable_of(flag) in self._environment:
            return variable_of(flag)
        return str(self._path) if variable_of(flag) in self._file else "default"

    def _given(self) -> dict[str, Any]:
        """Return what the command line itself says."""
        parser = make_parser({})
        for action in parser._actions:
            action.default = argparse.SUPPRESS
        parser._defaults.clear()
        return vars(parser.parse_args(self._argv))

    def _actions(self) -> list[argparse.Action]:
        """Return what a file may set; argparse has no public way to list them."""
        return [action for action in self.parser._actions if action.dest not in NOT_KEYS]

    def _read(self, path: Path) -> tuple[dict[str, str], list[str]]:
        """Return a file's values as variables of the environment, and what is wrong with others."""
        try:
            tree = tomllib.loads(read_text(path))
        except (TextError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{path}: not TOML: {error}") from error
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
        actions = {action.dest: action for action in self._actions()}
        values, faults = {}, []
        for key, value in tree.items():
            if key not in actions:
                near = difflib.get_close_matches(key.replace("-", "_"), actions, 1)
                meant = f" (did you mean {near[0]}?)" if near else ""
                faults.append(f"unknown key {key}{meant}")
                continue
            try:
                text = _spelled(actions[key], value, path.parent)
                values[variable_of(key.replace("_", "-"))] = text
            except ValueError as error:
                faults.append(f"{key} is {_shown(value)}; want {error}")
        return values, faults

    def _checked(self, values: dict[str, str], faults: list[str]) -> dict[str, str]:
        """Return a file's values, or raise all its faults.

        A wrong value is found by what happens without it: it is the one whose removal changes the complaint.
        """
        left = dict(values)
        while left and (complaint := self._complaint(left)) is not None:
            for name in left:
                if self._complaint({key: left[key] for key in left if key != name}) != complaint:
                    break
            else:
                break  # it is about a flag or a variable, and is raised where these are read
            del left[name]
            key = name.removeprefix("RILL_").lower()
            said = re.sub("--[a-z-]+", lambda found: field_of(found[0][2:]), complaint)
            faults.append(said if said.startswith(key) else f"{key}: {said}")
        if faults:
            raise ConfigError("\n".join(f"{self._path}: {fault}" for fault in faults))
        return values

    def _complaint(self, values: Mapping[str, str]) -> str | None:
        """Return what is wrong with these values of the file, None where nothing is."""
        try:
            read(self._parse(values), self._environment)
        except (OptionError, argparse.ArgumentError) as error:
            return str(error).removeprefix("argument ")
        return None

    def _parse(self, values: Mapping[str, str]) -> argparse.Namespace:
        parser = make_parser(ChainMap(dict(self._environment), dict(values)))
        parser.exit_on_error = False
        return parser.parse_args(self._argv)


def _spelled(action: argparse.Action, value: Any, folder: Path) -> str:
    """Return a value as its variable would spell it; raises ValueError with what is wanted."""
    if action.dest in TABLES:
        return _spelled_table(action.dest, value, folder)
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise ValueError("true or false")
        return str(int(value))
    if action.dest == "chunk_ms" and type(value) is int:
        return str(value)
    if action.dest in LISTS and isinstance(value, list):
        if not all(isinstance(each, str) and "," not in each for each in value):
            raise ValueError("a list of strings")
        return ",".join(value)
    word = WORDS.get(action.type)
    if action.type in (int, float) or word is not None:
        whole = action.type not in (float, seconds_or_off)
        if isinstance(value, int if whole else int | float) and not isinstance(value, bool):
            return repr(value)
        if word is None or value != word:
            raise ValueError(
                ("a whole number" if whole else "a number") + (f", or {word!r}" if word else "")
            )
        return word
    if not isinstance(value, str):
        raise ValueError("a string" + (", or a list of them" if action.dest in LISTS else ""))
    return _placed(action.dest, value, folder)


def _spelled_table(key: str, value: Any, folder: Path) -> str:
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        example = {"model": 'en = "models/en"', "alias": 'whisper-1 = "en"'}[key]
        raise ValueError(f"a table: [{key}] and below it {example}")
    named = {name: _placed(key, each, folder) for name, each in value.items()}
    spelled = [f"{name}={each}" for name, each in named.items()]
    if any("," in each for each in spelled):
        raise ValueError("names and paths without commas")
    return ",".join(spelled)


def _toml(action: argparse.Action, value: Any) -> str | None:
    """Return a parsed value as TOML; None for one that is not set."""
    if value is None:
        word = WORDS.get(action.type)
        return None if word is None else json.dumps(word)
    if action.nargs == 0:
        return "true" if value not in ("", False) else "false"
    if isinstance(value, int | float):
        return repr(value)
    if action.dest in LISTS:
        return json.dumps([each.strip() for each in value.split(",")])
    return _quoted(action.dest, value)


def _quoted(key: str, value: Any) -> str:
    """Return a string in quotes; a path as one that is the same from any folder."""
    return json.dumps(_placed(key, str(value), Path.cwd()), ensure_ascii=False)


def _placed(key: str, value: str, folder: Path) -> str:
    """Return a value, a path as one from a folder; the name of a bundled model stays, where there is no such path."""
    path = folder / value
    named = key == "model" and value in NAMES and not path.exists()
    return str(path) if key in PATHS and not named else value


def _shown(value: Any) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
