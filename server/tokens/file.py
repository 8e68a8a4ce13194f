"""The token file: one TOML table per token, which has the hash of its secret and its limits.

    [call-centre]
    sha256 = "9f2c…"                  # of the secret, which is nowhere else
    streams = 20                      # at a time
    audio_seconds_per_day = 36000

`rill token new` adds a table. A secret is 32 random bytes, which nobody can search for, so a plain
SHA-256 protects it as well as a slow hash would. A file whose name does not end in .toml has a token
itself on each line; those have no limits and are named by their place.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import re
import secrets
import stat
import tomllib
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import msgspec

from stream.errors import InputError
from stream.files.text import TextError, read_text

MOST = 1000  # tokens of a file: each has its own series in the metrics
PREFIX = "rill_"  # of secrets, so that scanners of source code can find lost ones
SECRET_BYTES = 32
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
NAME_TEXT = "want 1 to 64 letters, digits, dots, dashes and underscores, a letter or digit first"


class TokenFileError(InputError):
    """A token file that cannot be used; the message has a line for each fault."""


class Token(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token, without its name.

    Attributes:
        sha256: of the secret, in hexadecimal.
        note: for those who read the file.
        streams: live streams and uploads at a time; None: any number.
        audio_seconds_per_minute, audio_seconds_per_day: audio within a minute, and within a day of UTC.
        stream_seconds: longest live stream, and longest time for an upload's recognition.
        models: names of models that it may use; None: all.
        protocols: that it may use; None: all.
        metrics: whether it may read /metrics, which names all tokens.
        expires: when it stops admitting new streams.
        disabled: whether it admits no new streams, and its open ones are ended.
    """

    sha256: str
    note: str = ""
    streams: int | None = None
    audio_seconds_per_minute: float | None = None
    audio_seconds_per_day: float | None = None
    stream_seconds: float | None = None
    models: tuple[str, ...] | None = None
    protocols: tuple[str, ...] | None = None
    metrics: bool = False
    expires: datetime | None = None
    disabled: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise ValueError("sha256 is not 64 hexadecimal digits; `rill token new` prints them")
        if self.streams is not None and self.streams < 0:
            raise ValueError(f"streams is {self.streams}; want 0 or more")
        for key in ("audio_seconds_per_minute", "audio_seconds_per_day", "stream_seconds"):
            value = getattr(self, key)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{key} is {value:g}; want more than 0")


def digest(secret: str) -> str:
    """Return the SHA-256 of a secret, in hexadecimal."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def plain_token(secret: str) -> Token:
    """Return the token without limits that a secret alone stands for."""
    return Token(sha256=digest(secret), metrics=True)


def new_secret() -> str:
    """Return a new secret."""
    return PREFIX + secrets.token_urlsafe(SECRET_BYTES)


def read_tokens(
    path: Path, models: Collection[str] = (), protocols: Collection[str] = ()
) -> dict[str, Token]:
    """Read a token file; returns the tokens by name.

    Args:
        path: of the file.
        models, protocols: the known names; if empty, any name is accepted.
    Raises:
        OSError: it cannot be read.
        TokenFileError: it has faults; the message names each.
    """
    try:
        text = read_text(path)
    except TextError as error:
        raise TokenFileError(f"{path}: {error}") from error
    if path.suffix != ".toml":
        lines = (line.strip() for line in text.splitlines())
        found = [line for line in lines if line and not line.startswith("#")]
        tokens = {f"token-{n}": plain_token(secret) for n, secret in enumerate(found, 1)}
    else:
        tokens = parse_tokens(text, str(path), models, protocols)
    if not tokens:
        raise TokenFileError(f"{path}: no token in it; `rill token new NAME` adds one")
    if len(tokens) > MOST:
        raise TokenFileError(f"{path}: {len(tokens)} tokens; want {MOST} or fewer")
    return tokens


def parse_tokens(
    text: str, name: str, models: Collection[str] = (), protocols: Collection[str] = ()
) -> dict[str, Token]:
    """Return the tokens of a TOML text; see `read_tokens`.

    Raises:
        TokenFileError: the text has faults; the message begins with the file's name.
    """
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TokenFileError(f"{name}: not TOML: {error}") from error
    tokens: dict[str, Token] = {}
    faults: list[str] = []
    known = {"models": models, "protocols": protocols}
    for key, table in tree.items():
        try:
            if not NAME.fullmatch(key):
                raise ValueError(f"the name is {key!r}; {NAME_TEXT}")
            if not isinstance(table, dict):
                raise ValueError("is not a table; tokens are written as [name]")
            faults += (f"{key}: {fault}" for fault in _unknown(table))
            tokens[key] = token = _token(table)
            faults += (f"{key}: {fault}" for fault in _missing(token, known))
        except ValueError as error:
            faults.append(f"{key}: {error}")
    owner: dict[str, str] = {}
    for key, token in tokens.items():
        if (first := owner.setdefault(token.sha256, key)) != key:
            faults.append(f"{key}: sha256 is the same as that of {first}")
    if faults:
        raise TokenFileError("\n    ".join(f"{name}: {fault}" for fault in faults))
    return tokens


def given(token: Token) -> dict[str, object]:
    """Return what differs from the defaults, by key."""
    values = {key: getattr(token, key) for key in token.__struct_fields__}
    return {
        key: value
        for key, value in values.items()
        if value not in (None, "") and value is not False
    }


def table_of(name: str, token: Token) -> str:
    """Return a token as a table of the file."""
    head = json.dumps(name) if "." in name else name
    return "\n".join([f"[{head}]", *map(_line, given(token).items())])


def permission_fault(path: Path, readable: bool) -> str | None:
    """Return what is wrong with the permissions of a file of secrets or of rights.

    Args:
        readable: whether others may read it, since it holds hashes only.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"{path} can be written by others (mode {mode:04o}); chmod 600 it"
    if mode & stat.S_IROTH and not readable:
        return f"{path} holds secrets and can be read by everybody (mode {mode:04o}); chmod 600 it"
    return None


def _line(item: tuple[str, object]) -> str:
    key, value = item
    if isinstance(value, datetime):
        return f"{key} = {value.isoformat()}"
    # For strings without control characters, booleans, numbers and lists, JSON is TOML.
    return f"{key} = {json.dumps(value, ensure_ascii=False)}"


def _token(table: Mapping[str, Any]) -> Token:
    table = {key: value for key, value in table.items() if key in Token.__struct_fields__}
    expires = table.get("expires")
    if isinstance(expires, datetime) and expires.tzinfo is None:
        raise ValueError(f"expires is {expires} without an offset; write {expires.isoformat()}Z")
    if isinstance(expires, date) and not isinstance(expires, datetime):
        table["expires"] = datetime.combine(expires, time(), UTC)
    if "sha256" not in table:
        raise ValueError("sha256 is missing, the hash of the secret; `rill token new` makes one")
    try:
        return msgspec.convert(table, Token)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `$.")
        raise ValueError(f"{place.rstrip('`')}: {what}" if place else what) from error


def _unknown(table: Mapping[str, Any]) -> Iterator[str]:
    for key in table.keys() - set(Token.__struct_fields__):
        near = difflib.get_close_matches(key, Token.__struct_fields__, 1)
        yield f"unknown key {key}" + (f" (did you mean {near[0]}?)" if near else "")


def _missing(token: Token, known: Mapping[str, Collection[str]]) -> Iterator[str]:
    """Yield a fault for each unknown name."""
    for key, names in known.items():
        for name in getattr(token, key) or ():
            if names and name not in names:
                yield f"{key} has {name!r}; there are {', '.join(names)}"
