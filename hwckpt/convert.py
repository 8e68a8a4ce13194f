"""`python -m hwckpt.convert`: make a hardware checkpoint of a training checkpoint and its files.

python -m hwckpt.convert --ckpt RNN-T_best_checkpoint.pt --config base.yaml --format 1.14
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hwckpt.conversion import ALPHA, convert
from hwckpt.reader import network_of
from hwckpt.writer import VERSIONS, card_notes, write_checkpoint
from stream.process import reports_errors, run_main


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rill convert",
        description="Convert one of Myrtle's training checkpoints to a hardware checkpoint.",
        epilog="example: rill convert --ckpt RNN-T_best_checkpoint.pt "
        "--config base.yaml --format 1.14",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--ckpt", type=Path, required=True, metavar="F", help="training checkpoint")
    add("--config", type=Path, required=True, metavar="F", help="its YAML")
    add("--format", choices=list(VERSIONS), required=True, help="the generation that wrote both")
    add(
        "--statistics",
        type=Path,
        nargs="+",
        metavar="PATH",
        help="folder with melmeans.pt and melvars.pt, or those two files "
        "(default with 1.14: the YAML's stats_path)",
    )
    add("--tokenizer", type=Path, metavar="F", help="SentencePiece model (default: the YAML's)")
    add("--ngram", type=Path, metavar="F", help="KenLM binary (default: the YAML's, if any)")
    add("--melalpha", type=float, metavar="A", help=f"EWMA weight (default: {ALPHA}; 1.14 has 0)")
    add("--output", type=Path, metavar="F", help="file to write (default: <ckpt stem>.hw.pt)")
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    """Convert and write; 0 done, 2 bad command line, 3 a file is not what it should be."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    statistics = arguments.statistics
    if statistics is not None:
        if len(statistics) > 2:
            parser.error(f"--statistics names {len(statistics)} paths, wants a folder or two files")
        statistics = statistics[0] if len(statistics) == 1 else tuple(statistics)
    output = arguments.output or arguments.ckpt.with_name(f"{arguments.ckpt.stem}.hw.pt")
    checkpoint = convert(
        arguments.ckpt,
        arguments.config,
        arguments.format,
        statistics=statistics,
        tokenizer=arguments.tokenizer,
        ngram=arguments.ngram,
        alpha=arguments.melalpha,
    )
    notes = card_notes(network_of(checkpoint).specification, arguments.format)
    write_checkpoint(checkpoint, output)
    for note in notes:
        print(f"warning: {note}", file=sys.stderr)
    print(f"{output}: version {checkpoint.version}, {len(checkpoint.state_dict)} tensors")
    return 0


if __name__ == "__main__":
    run_main(main)
