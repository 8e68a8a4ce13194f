"""`python -m export.card`: write the card of a model directory, its README.md (`export.card.page`)."""

from __future__ import annotations

import argparse
from pathlib import Path

from export.card.page import CARD, TEXT, card
from stream.errors import DifferenceError, InputError
from stream.files.atomic import replace_file
from stream.files.text import TextError, read_text
from stream.model import directory
from stream.process import reports_errors, run_main


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rill export card",
        description="Write the card of a model directory from its notes: error rates and scenarios that rill "
        "validate --record kept, hours learned from by corpus, runs, licences.",
        epilog="example: rill export card models/mine --text mine.md",
        allow_abbrev=False,
    )
    parser.add_argument("model", metavar="MODEL", help="model directory")
    parser.add_argument(
        "--text",
        metavar="MD",
        help="Markdown of your own, kept in the notes: what comes before its first ## opens the card, the rest ends it",
    )
    parser.add_argument("--output", metavar="F", help=f"file to write (default: MODEL/{CARD})")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 if the file differs"
    )
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    arguments = parser.parse_args(argv)
    model = Path(arguments.model)
    if arguments.check and arguments.text:
        parser.error("--text changes the notes, and --check writes nothing: leave one out")
    if arguments.text:
        try:
            text = read_text(Path(arguments.text)).strip()
        except TextError as error:
            raise InputError(f"{arguments.text}: {error}") from error
        directory.note(model, lambda notes: {**notes, TEXT: text})
    page = card(model)
    output = Path(arguments.output) if arguments.output else model / CARD
    if not arguments.check:
        replace_file(output, page.encode())
        print(output)
    elif not output.is_file() or output.read_bytes() != page.encode():
        raise DifferenceError(f"{output} is not the card of {model}: rill export card {model}")
    return 0


if __name__ == "__main__":
    run_main(main)
