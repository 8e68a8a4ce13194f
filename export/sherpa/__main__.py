"""`python -m export.sherpa`: write a model for sherpa-onnx, verified (`export.sherpa.directory`)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from export.errors import ExportError
from export.sherpa.directory import export
from stream.front_end.log_mel import SAMPLE_RATE
from stream.model.network import open_model
from stream.process import reports_errors, run_main


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rill export sherpa",
        description="Write a model for sherpa-onnx (1.13.5 or later), and verify it by running it.",
        epilog="example: rill export sherpa --ckpt models/en-commands --output sherpa/en-commands",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--ckpt", required=True, metavar="MODEL", help="checkpoint or model directory"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="new folder to write")
    parser.add_argument(
        "--head", choices=["transducer", "ctc"], help="of a model with both (default: transducer)"
    )
    parser.add_argument(
        "--chunk-ms",
        type=int,
        metavar="MS",
        help="length of a chunk, one that the model is trained with (default: the model's own)",
    )
    parser.add_argument(
        "--int8", action="store_true", help="with the int8 graphs of a model directory"
    )
    parser.add_argument(
        "--signed-weights",
        action="store_true",
        help="leave the weights of --int8 signed: faster on CPUs with VNNI or AMX, wrong on others of x86",
    )
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.signed_weights and not arguments.int8:
        parser.error("--signed-weights goes with --int8")
    output = Path(arguments.output)
    network = open_model(arguments.ckpt)
    if arguments.chunk_ms is not None:
        network = network.with_chunk(arguments.chunk_ms)
    if padding := network.specification.final_padding:
        print(
            f"note: sherpa-onnx adds nothing at the end of a stream: have clients send {padding / SAMPLE_RATE:g} s "
            "of zeros before they end it, or its last word may be lost",
            file=sys.stderr,
        )
    try:
        compared = export(
            network,
            output,
            head=arguments.head,
            int8=arguments.int8,
            signed_weights=arguments.signed_weights,
        )
    except ExportError as error:
        raise ExportError(f"{arguments.ckpt}: {error}. Nothing was written.") from error
    size = sum(file.stat().st_size for file in output.iterdir()) / 1e6
    print(f"{output}: {size:.1f} MB, verified: {compared} tokens are the model's")
    return 0


if __name__ == "__main__":
    run_main(main)
