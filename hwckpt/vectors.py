"""`python -m hwckpt.vectors --output DIR`: write conformance vectors from our references.

Every wanted value comes from the NumPy references, in float64 where the stage allows; those of training
from torch in float64. Signals, weights and sentences are random. Nobody's recordings or models are in them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from hwckpt.conformance.table import write_set
from stream.process import reports_errors, run_main


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hwckpt.vectors",
        description="Write conformance vectors from Rill's references.",
        epilog="example: python -m hwckpt.vectors --output vectors && "
        "python -m hwckpt.conformance vectors",
        allow_abbrev=False,
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed (default: 0)")
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
    files = write_set(Path(arguments.output), arguments.seed)
    size = sum(file.stat().st_size for file in files) / 1e6
    print(f"{arguments.output}: {len(files)} files, {size:.1f} MB")
    return 0


if __name__ == "__main__":
    run_main(main)
