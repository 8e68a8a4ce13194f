"""`python -m export.verify`: check a bundle, or a model directory, as it arrived (`export.bundle`)."""

from __future__ import annotations

import argparse

from export.bundle import archive
from export.bundle.contents import check, report
from stream.model.network import find_model
from stream.process import reports_errors, run_main


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rill verify",
        description="Check a model's archive or directory: sizes and SHA-256 of all files, nothing that does not "
        "belong there, and every graph opens. Exits with 1 and names the file if not.",
        epilog="example: rill verify mine.tar.gz",
        allow_abbrev=False,
    )
    parser.add_argument(
        "path",
        metavar="PATH",
        help="archive of rill export bundle, model directory, or name of a bundled model",
    )
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    path = find_model(build_parser().parse_args(argv).path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such archive or model directory")
    if path.is_dir():
        files = check(path)
    else:
        with archive.unpacked(path) as model:
            files = check(model)
    print("\n".join(report(files)))
    print(f"{path}: verified")
    return 0


if __name__ == "__main__":
    run_main(main)
