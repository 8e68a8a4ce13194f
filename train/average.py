"""`python -m train.average`: average checkpoints of a run into one model."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stream.process import reports_errors, run_main


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rill average",
        description="Average the weights of several checkpoints of a run into one that "
        "can be validated, exported and fine-tuned.",
        epilog="example: rill average runs/soft --best 5 --output runs/soft/averaged.pt",
        allow_abbrev=False,
    )
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="RUN",
        help="folder of a run; or two or more checkpoints",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--last", type=int, metavar="N", help="average the last N updates kept")
    which.add_argument(
        "--best",
        type=int,
        metavar="N",
        help="average the N updates with the lowest dev WER, in a run with keep = true",
    )
    parser.add_argument("--output", required=True, metavar="CKPT", help="checkpoint to write")
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    arguments = parser.parse_args(argv)
    paths, output = [Path(path) for path in arguments.paths], Path(arguments.output)
    count = arguments.last if arguments.last is not None else arguments.best
    if count is not None and count < 1:
        parser.error(f"--last or --best is {count}; want 1 or more")
    if count is not None and len(paths) != 1:
        parser.error("--last and --best choose in the folder of one run")
    if count is None and len(paths) < 2:
        parser.error("name --last N or --best N of a run, or the checkpoints themselves")
    if not output.parent.is_dir():
        parser.error(f"--output {output}: there is no folder {output.parent}")

    from train import checkpoint
    from train.checkpoints.average import average, best, last

    if count is not None:
        paths = (last if arguments.last is not None else best)(paths[0], count)
    for path in paths:
        print(path, file=sys.stderr)
    checkpoint.save(average(paths), output)
    print(output)
    return 0


if __name__ == "__main__":
    run_main(main)
