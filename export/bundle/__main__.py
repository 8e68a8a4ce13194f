"""`python -m export.bundle`: check a model directory, report its size, and write it as one archive."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

from export.bundle import archive
from export.bundle.contents import check, report, total
from stream.errors import DifferenceError
from stream.files.atomic import replacing
from stream.process import reports_errors, run_main


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rill export bundle",
        description="Check a model directory, report the size of its files, and write them as one .tar.gz, the "
        "same bytes every time. rill verify checks it where it arrives.",
        epilog="example: rill export bundle models/mine --archive mine.tar.gz",
        allow_abbrev=False,
    )
    parser.add_argument("model", metavar="MODEL", help="model directory")
    parser.add_argument(
        "--archive", metavar="F", help="archive to write (default: none, only the report)"
    )
    parser.add_argument(
        "--most-mb",
        type=float,
        metavar="N",
        help="largest total size of the files; if it is larger, exit with 1 and write nothing",
    )
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.most_mb is not None and not arguments.most_mb > 0:
        parser.error(f"--most-mb is {arguments.most_mb:g}; want more than 0")
    model = Path(arguments.model)
    if not model.exists():
        raise FileNotFoundError(f"{model}: no such model directory")
    output = Path(arguments.archive) if arguments.archive else None
    if output is not None and output.resolve().parent == model.resolve():
        parser.error(f"--archive {output} is in the model directory; choose a place outside it")
    if output is not None and not output.parent.is_dir():
        parser.error(f"--archive {output}: there is no folder {output.parent}")
    files = check(model)
    print("\n".join(report(files)))
    if arguments.most_mb is not None and total(files) > 1e6 * arguments.most_mb:
        raise DifferenceError(
            f"{model}: {total(files) / 1e6:.2f} MB, more than --most-mb {arguments.most_mb:g}"
        )
    if output is not None:
        with replacing(output) as partial:
            archive.write(model, partial)
            with archive.unpacked(partial) as written:
                check(written)
        digest = hashlib.sha256(output.read_bytes()).hexdigest()
        print(f"{output}: {output.stat().st_size / 1e6:.2f} MB, SHA-256 {digest}; read back: equal")
    return 0


if __name__ == "__main__":
    run_main(main)
