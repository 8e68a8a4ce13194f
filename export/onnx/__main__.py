"""`python -m export.onnx`: write a model directory for ONNX Runtime, verified (`export.model_directory`)."""

from __future__ import annotations

import argparse
import functools
import sys
import time
from dataclasses import replace
from pathlib import Path

import msgspec

from export.checks.precision import MOST_LOSS
from export.checks.sensitivity import PrecisionError
from export.model_directory import export
from stream.bundled import recordings
from stream.errors import DifferenceError
from stream.manifest import read_manifest
from stream.model.network import open_model
from stream.process import reports_errors, run_main
from stream.progress import show_count
from stream.validation.flags import padding_of
from stream.validation.record import NOTES

WRITTEN = {"training", "wer", "export", *NOTES}  # notes that have a form of their own


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rill export onnx",
        description="Write a model directory for ONNX Runtime, and verify it by running it.",
        epilog="example: rill export onnx --ckpt runs/hard/best.pt --output models/mine "
        "--manifest dev.jsonl",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--ckpt", required=True, metavar="MODEL", help="checkpoint or model directory"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="model directory to write")
    parser.add_argument(
        "--manifest",
        metavar="JSONL",
        help="recordings with texts on which the WER of float32, int8 and integers is measured "
        "(default: the bundled ones)",
    )
    parser.add_argument(
        "--calibrate",
        metavar="JSONL",
        help="recordings that give int8 and --integers their scales (default: those of --manifest); a model "
        "trained for integers has scales",
    )
    parser.add_argument(
        "--most-loss",
        type=float,
        default=100 * MOST_LOSS,
        metavar="P",
        help="points by which the WER of int8 or integers, in %%, may be above that of float32; beyond "
        "them nothing is written, and the layers are named that cost most "
        f"(default: {100 * MOST_LOSS:g})",
    )
    parser.add_argument(
        "--float-layers",
        metavar="NAMES",
        help="layers of the int8 graphs to keep in float32, such as encoder.pre.0,joint.output; auto: none, "
        "or those that the limit of --most-loss asks for",
    )
    parser.add_argument(
        "--integers",
        action="store_true",
        help="write integer graphs of a model that was not trained for them, too; the recordings of "
        "--calibrate give the formats",
    )
    parser.add_argument(
        "--note",
        action="append",
        default=[],
        type=_note,
        metavar="NAME=TEXT",
        help="a note for model.json, such as knows='digits and letters' or example='four two', which the "
        "live page shows; in place of the checkpoint's of this name; may be repeated",
    )
    parser.add_argument(
        "--final-padding",
        type=padding_of,
        metavar="S",
        help="silence computed after each stream, so that its last words come, seconds (default: the model's)",
    )
    parser.add_argument("--no-int8", action="store_true", help="write no int8 graphs")
    parser.add_argument(
        "--standard-operators",
        action="store_true",
        help="write int8 and integer graphs with operators of ONNX alone, for importers that do not know "
        "ONNX Runtime's own; slower in ONNX Runtime",
    )
    return parser


def _note(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=TEXT, such as language=en")
    if name in WRITTEN:
        raise argparse.ArgumentTypeError(f"{name}: Rill writes this note itself")
    return name, value


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if not 0.0 <= arguments.most_loss <= 100.0:
        parser.error(f"--most-loss is {arguments.most_loss}; want 0 to 100")
    for flag in ("calibrate", "float_layers"):
        if arguments.no_int8 and not arguments.integers and getattr(arguments, flag) is not None:
            parser.error(f"--{flag.replace('_', '-')} is for int8: leave it or --no-int8 out")
    output = Path(arguments.output)
    automatic = arguments.float_layers == "auto"
    layers = (
        [] if automatic or arguments.float_layers is None else arguments.float_layers.split(",")
    )
    network = open_model(arguments.ckpt)
    if arguments.final_padding is not None:
        changes = {"final_padding": arguments.final_padding}
        specification = msgspec.structs.replace(network.specification, **changes)
        network = replace(network, specification=specification)
    network = replace(network, notes={**network.notes, **dict(arguments.note)})
    began = time.perf_counter()
    try:
        calibration, validation = (
            read_manifest(Path(name)) if name else None
            for name in (arguments.calibrate, arguments.manifest)
        )
        exporting = functools.partial(
            export,
            network,
            output,
            calibration=calibration,
            validation=validation,
            most_loss=arguments.most_loss / 100,
            int8=not arguments.no_int8,
            integers=arguments.integers,
            standard=arguments.standard_operators,
            progress=lambda name, done, total: show_count(done, total, name),
        )
        try:
            exported = exporting(float_layers=layers)
        except PrecisionError as error:
            if not automatic or not error.float_layers:
                raise
            layers = list(error.float_layers)
            print(f"{error}; they are kept in float", file=sys.stderr)
            exported = exporting(float_layers=layers)
    except DifferenceError as error:
        said = f"{arguments.ckpt}: {error}. Nothing was written."
        if isinstance(error, PrecisionError) and not arguments.manifest:
            said += "\nThese were the bundled recordings; the model's own: --manifest"
        raise DifferenceError(said) from error
    size = sum(file.stat().st_size for file in output.iterdir()) / 1e6
    print(
        f"{output}: {size:.1f} MB in {time.perf_counter() - began:.1f} s, verified: "
        f"largest difference {exported.difference:.1e}, tokens of {len(recordings())} recordings equal"
    )
    if exported.int8:
        kept = f"; in float: {', '.join(layers)}" if layers else ""
        print(f"int8: {exported.int8}{kept}")
    if exported.integers:
        print(f"integers: {exported.integers}; graphs and NumPy integers are equal bit for bit")
    return 0


if __name__ == "__main__":
    run_main(main)
