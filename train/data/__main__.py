"""`python -m train.data`: look at, convert and prepare what a model is trained on."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Protocol

from stream.process import reports_errors, run_main
from train.data.commands import (
    align,
    bench,
    check,
    convert,
    mounted,
    prepare,
    rewrite,
    split,
    stats,
    synthesise,
    verify,
)


class Command(Protocol):
    """A module of `train.data.commands`; the first line of its docstring is its help."""

    __doc__: str | None
    EXAMPLE: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments of the command."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Run the command; returns its exit code."""


COMMANDS: Mapping[str, Command] = {
    "verify": verify,
    "prepare": prepare,
    "synthesise": synthesise,
    "check": check,
    "stats": stats,
    "split": split,
    "convert": convert,
    "rewrite": rewrite,
    "align": align,
    "bench": bench,
    "mounted": mounted,
}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m train.data` with those of its subcommands."""
    parser = argparse.ArgumentParser(
        prog="rill data",
        description="Check, convert and prepare training data. "
        "rill data COMMAND --help explains a command.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        description = (command.__doc__ or "").partition("\n")[0]
        added = commands.add_parser(
            name,
            help=description,
            description=description,
            epilog=f"example: rill data {name} {command.EXAMPLE}",
            allow_abbrev=False,
        )
        command.add_arguments(added)
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    arguments = build_parser().parse_args(argv)
    return COMMANDS[arguments.command].run(arguments)


if __name__ == "__main__":
    run_main(main)
