"""rill token: add a named token to a token file, or list its tokens.

A new secret is printed once, on stdout; the file has its hash only. A running server reads the change
within two seconds. To change limits or withdraw a token, edit the file.
"""

from __future__ import annotations

import argparse
import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from server.tokens.file import (
    NAME,
    NAME_TEXT,
    Token,
    digest,
    given,
    new_secret,
    parse_tokens,
    read_tokens,
    table_of,
)
from stream.errors import ArgumentError
from stream.files.atomic import locked, replacing
from stream.files.text import read_text
from stream.process import reports_errors, run_main

FILE = "tokens.toml"
MOST_DAYS = 36_500
LIMITS = {
    "streams": (int, "streams at a time"),
    "audio-seconds-per-minute": (float, "seconds of audio within a minute"),
    "audio-seconds-per-day": (float, "seconds of audio within a day, UTC"),
    "stream-seconds": (float, "longest stream"),
}


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rill token",
        description="Add named tokens to a file for `rill serve --token-file`, or list those in it. The "
        "file has hashes: a secret is printed once and cannot be read again.",
        epilog="Example: rill token new call-centre --streams 20. To withdraw a token, delete its table "
        "from the file or write `disabled = true` into it.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    new = commands.add_parser(
        "new",
        prog="rill token new",
        description="Add a token to the file and print its secret, once.",
        allow_abbrev=False,
    )
    new.add_argument("name", metavar="NAME", help="name of the token in logs and metrics")
    for flag, (kind, text) in LIMITS.items():
        new.add_argument(
            f"--{flag}",
            type=kind,
            metavar=flag.upper().split("-")[-1],
            help=f"{text} (default: no limit)",
        )
    new.add_argument(
        "--expires-days", type=float, metavar="DAYS", help="days until it expires (default: never)"
    )
    new.add_argument("--metrics", action="store_true", help="allow it to read /metrics")
    new.add_argument("--note", default="", help="a note for readers of the file")
    shown = commands.add_parser(
        "list",
        prog="rill token list",
        description="List the tokens of a file and their limits.",
        allow_abbrev=False,
    )
    for command in (new, shown):
        command.add_argument(
            "--file",
            type=Path,
            default=Path(os.environ.get("RILL_TOKEN_FILE", FILE)),
            help=f"the token file (default: $RILL_TOKEN_FILE, or {FILE})",
        )
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
    if arguments.file.suffix != ".toml":
        raise ArgumentError(f"{arguments.file}: named tokens are in a file that ends in .toml")
    if arguments.command == "list":
        for name, token in read_tokens(arguments.file).items():
            print(_line(name, token))
        return 0
    print(add(arguments.file, arguments.name, arguments))
    return 0


def add(path: Path, name: str, limits: argparse.Namespace) -> str:
    """Add a token to a file, creating it if necessary; return the secret."""
    if not NAME.fullmatch(name):
        raise ArgumentError(f"the name is {name!r}; {NAME_TEXT}")
    secret = new_secret()
    wanted = {flag.replace("-", "_"): getattr(limits, flag.replace("-", "_")) for flag in LIMITS}
    expires = None
    if limits.expires_days is not None:
        if not 0 < limits.expires_days <= MOST_DAYS:
            raise ArgumentError(
                f"--expires-days is {limits.expires_days:g}; want more than 0, {MOST_DAYS} at most"
            )
        now = datetime.now(UTC).replace(microsecond=0)
        expires = now + timedelta(days=limits.expires_days)
    try:
        token = Token(
            sha256=digest(secret),
            note=limits.note,
            metrics=limits.metrics,
            expires=expires,
            **wanted,
        )
    except ValueError as error:
        raise ArgumentError(str(error)) from error
    with locked(path.parent):
        before = read_text(path) if path.exists() else ""
        if name in parse_tokens(before, str(path)):
            raise ArgumentError(
                f"{path} has a token {name!r} already; delete its table for a new secret"
            )
        text = "\n\n".join(filter(None, (before.rstrip(), table_of(name, token)))) + "\n"
        parse_tokens(text, str(path))
        _write(path, text)
    return secret


def _write(path: Path, text: str) -> None:
    """Replace the file, keeping its mode and owner; a new one is readable by its owner only."""
    with replacing(path) as partial:
        partial.touch(mode=0o600)
        partial.write_text(text, encoding="utf-8")
        if path.exists():
            there = path.stat()
            partial.chmod(there.st_mode & 0o7777)
            with suppress(PermissionError):  # only root may give files away
                os.chown(partial, there.st_uid, there.st_gid)


def _line(name: str, token: Token) -> str:
    said = [
        f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in given(token).items()
        if key != "sha256"
    ]
    return f"{name}: {', '.join(said) or 'no limits'}"


if __name__ == "__main__":
    run_main(main)
