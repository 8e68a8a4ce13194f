"""`python -m train.curves`: the curves of runs as a picture, and where each run stands."""

from __future__ import annotations

import argparse
from pathlib import Path

from stream.process import reports_errors, run_main

PICTURES = (".svg", ".png")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m train.curves`."""
    parser = argparse.ArgumentParser(
        prog="rill curves",
        description="Plot loss, WER, learning rate and emission latency of runs, finished or not, from "
        "their metrics.jsonl.",
        epilog="example: rill curves runs/soft runs/hard --output curves.svg",
        allow_abbrev=False,
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run")
    parser.add_argument(
        "--output",
        metavar="F",
        help="picture, .svg or .png (default: RUN/curves.svg of the first run)",
    )
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    folders = [Path(run) for run in arguments.runs]
    output = Path(arguments.output) if arguments.output else folders[0] / "curves.svg"
    if output.suffix not in PICTURES:
        parser.error(f"--output is {output}; it has to end in .svg or .png")
    from train.report.curves import draw
    from train.report.metrics import read_runs

    runs = read_runs(folders)
    draw(runs, output)
    for run in runs:
        print(run.summary())
    print(output)
    return 0


if __name__ == "__main__":
    run_main(main)
