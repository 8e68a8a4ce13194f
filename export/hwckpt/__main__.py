"""`python -m export.hwckpt`: write a model as a hardware checkpoint, verified (`export.hwckpt`)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from export.errors import ExportError
from export.hwckpt.checkpoint import export
from export.hwckpt.target import ALPHA, Refusal, choose
from stream.causality import CausalityError
from stream.manifest import read_manifest
from stream.model.network import open_model
from stream.model.specification import ModelError
from stream.process import reports_errors, run_main


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rill export hwckpt",
        description="Write a model as a hardware checkpoint, and verify it by running it.",
        epilog="example: rill export hwckpt --ckpt best.pt --output best.hw.pt",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--ckpt", type=Path, required=True, metavar="F", help="checkpoint or model directory")
    add(
        "--format",
        choices=["1.4", "1.14"],
        help="generation (default: the one whose arithmetic is the model's)",
    )
    add(
        "--melalpha",
        type=float,
        metavar="A",
        help=f"EWMA weight of a new frame (default: the model's, else {ALPHA})",
    )
    add("--output", type=Path, metavar="F", help="file to write (default: <ckpt stem>.hw.pt)")
    add("--convert", action="store_true", help="let the arithmetic change; needs --manifest")
    add("--manifest", type=Path, metavar="M", help="JSONL of utterances to measure the WER on")
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    """Export; 0 done, 1 verification failed, 2 refused or bad command line, 3 bad input file."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.convert and arguments.manifest is None:
        parser.error("--convert needs --manifest M, utterances to measure the change on")
    source: Path = arguments.ckpt
    output: Path = arguments.output or source.with_name(f"{source.stem}.hw.pt")
    utterances = None
    try:
        network = open_model(source)
        target = choose(
            network, arguments.format, convert=arguments.convert, alpha=arguments.melalpha
        )
        if arguments.manifest is not None:
            utterances = read_manifest(arguments.manifest)
        exported = export(network, target, output, utterances)
    except Refusal as error:
        raise Refusal(f"{source}: {error}") from error
    except ExportError as error:
        raise ExportError(f"{output}: {error}; deleted") from error
    except CausalityError as error:
        raise ModelError(str(error)) from error
    for warning in exported.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if exported.rates is not None:
        of = f"{exported.rates.recordings} utterances of {arguments.manifest or 'the bundled recordings'}"
        print(f"WER {exported.rates.model:.2%} as it is, on {of}")
        print(f"WER {exported.rates.card:.2%} under generation {target.format}, on the card")
    checkpoint = exported.checkpoint
    print(
        f"{output}: version {checkpoint.version}, {len(checkpoint.state_dict)} tensors, "
        f"melalpha {checkpoint.melalpha:g}; read back and run: equal"
    )
    return 0


if __name__ == "__main__":
    run_main(main)
