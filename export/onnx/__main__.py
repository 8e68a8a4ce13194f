"""`python -m export.onnx`: a model directory for ONNX Runtime, run before it is called done.

It has float32 graphs, int8 graphs unless they are declined, and integer graphs where the model has a
quantisation. What was written is reopened and held against the model by `export.checks.verification`; then
recordings are streamed, and int8 and integers may lose no more words than is allowed. Only then does the
folder get its name: if anything differs, or too much is lost, nothing is left behind.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from export.calibration import Calibration
from export.checks.precision import Baseline, Precision, Progress
from export.checks.sensitivity import PrecisionError, int8_error, integer_error
from export.checks.verification import verify
from export.post_training import calibrated
from export.word_delay import measured
from stream.backends import load_backend
from stream.bundled import recordings
from stream.errors import ArgumentError, DifferenceError
from stream.integer.network import quantise
from stream.manifest import Utterance, read_manifest
from stream.model import directory
from stream.model.network import Network, open_model
from stream.process import reports_errors, run_main

__all__ = ["MOST_LOSS", "Exported", "export"]

MOST_LOSS = 0.003  # by which a WER may be above that of float32


@dataclass(frozen=True)
class Exported:
    """What an export found.

    Attributes:
        difference: the largest from the NumPy reference, of encoder outputs and logits.
        int8, integers: what they lose; None where they were not written.
    """

    difference: float
    int8: Precision | None
    integers: Precision | None


def export(
    network: Network,
    output: Path,
    *,
    calibration: Sequence[Utterance] | None = None,
    validation: Sequence[Utterance] | None = None,
    most_loss: float = MOST_LOSS,
    int8: bool = True,
    integers: bool = False,
    float_layers: Sequence[str] = (),
    standard: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Write and verify a model directory.

    Args:
        network: the model, of number format float32.
        output: folder to write; an older model directory there is replaced.
        calibration: recordings that give int8 and integers their scales; None: those of the validation.
            A model with a quantisation has scales and takes none.
        validation: recordings on which WER is measured, and how late words are where they say enough of
            them (`export.word_delay`); None: the bundled ones.
        most_loss: by which WER may rise, a fraction.
        int8: whether to write int8 graphs.
        integers: whether to give a model without a quantisation one that suits it on `calibration`.
        float_layers: to keep in float32 there, by `Specification.layer_names`.
        standard: write int8 and integers with operators of ONNX alone.
        progress: called as recordings are streamed.
    Raises:
        PrecisionError: int8 or integers lose more; it says which layers do.
        ExportError: what was written computes something else; nothing was left behind, here as there.
        CausalityError: the model looks ahead.
        ModelError: the model cannot be written as float32 graphs, or its integers may overflow.
        AudioError: a recording cannot be decoded.
        ArgumentError: the arguments contradict each other or the model.
    """
    given = network.specification.quantisation
    quantised = integers or given is not None
    network.specification.check_layers(float_layers, "--float-layers")
    if quantised and float_layers:
        raise ArgumentError("--float-layers: the model's integers know no float; leave it out")
    if given is not None and calibration is not None:
        raise ArgumentError(
            "--calibrate: the model has a quantisation and with it scales; leave it out"
        )
    # What was measured of an older export says nothing of this one.
    notes = {name: value for name, value in network.notes.items() if name != "export"}
    network = replace(network, notes=notes)
    validation = recordings() if validation is None else validation
    calibration = validation if calibration is None else calibration

    def calibrating(done: int, total: int) -> None:
        if progress:
            progress("calibration", done, total)

    if quantised and given is None:
        network = calibrated(network, calibration, progress=calibrating)

    def timing(done: int, total: int) -> None:
        if progress:
            progress("word delay", done, total)

    network = measured(network, validation, timing)
    # By name: the package onnx comes with rill-asr[train] only, and `main` says so.
    graphs: dict[str, bytes] = importlib.import_module("export.onnx.graph").build_graphs(
        network, directory.serialise(network)
    )
    of_chip: dict[str, bytes] = {}
    if quantised:
        module = importlib.import_module("export.onnx.integer_graph")
        of_chip = module.build_integer(quantise(network), standard=standard)
    ranges = _ranges(network, calibration, calibrating) if int8 else None

    def build(kept: Sequence[str]) -> dict[str, bytes]:
        """Return the files of float32 and int8."""
        module = importlib.import_module("export.onnx.int8")
        made = module.build_int8(network, ranges, kept, standard=standard)
        return {**graphs, **made}

    files = {**(build(float_layers) if int8 else graphs), **of_chip}
    with directory.writing(network, output, files) as written:
        difference = verify(network, written)
        if not int8 and not quantised:
            return Exported(difference, None, None)
        read = open_model(written)
        baseline = Baseline(read, validation, progress)
        found = of_integers = None
        if int8:
            found = baseline.hold(read, "int8", "int8")
            if not found.loss <= most_loss:
                raise int8_error(network, build, baseline, most_loss, found, float_layers)
        if quantised:
            of_integers = baseline.hold(read, "integer-onnx", "integers")
            if not of_integers.loss <= most_loss:
                raise integer_error(network, baseline, most_loss, of_integers)
        if baseline.words:
            of = {"float32": baseline.wer}
            of |= {"int8": found.wer} if found else {}
            of |= {"integers": of_integers.wer} if of_integers else {}
            directory.note(written, export={"recordings": len(validation), "wer": of})
        return Exported(difference, found, of_integers)


def _ranges(
    network: Network, utterances: Sequence[Utterance], progress: Callable[[int, int], None]
) -> Any:
    """Return the ranges of the int8 graphs, `export.onnx.int8.Ranges`."""
    ranges = importlib.import_module("export.onnx.int8").Ranges
    if (quantisation := network.specification.quantisation) is not None:
        return ranges.of(quantisation)
    backend = load_backend("numpy", network)
    calibration = Calibration(network, backend, utterances, progress)
    return ranges(calibration.x, calibration.joint(backend))


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m export.onnx`."""
    parser = argparse.ArgumentParser(
        prog="python -m export.onnx",
        description="Write a model directory for ONNX Runtime, and verify it by running it.",
        epilog="example: python -m export.onnx --ckpt runs/hard/best.pt --output models/mine "
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
        help="layers of the int8 graphs to keep in float32, such as encoder.pre.0,joint.output",
    )
    parser.add_argument(
        "--integers",
        action="store_true",
        help="write integer graphs of a model that was not trained for them, too; the recordings of "
        "--calibrate give the formats",
    )
    parser.add_argument("--no-int8", action="store_true", help="write no int8 graphs")
    parser.add_argument(
        "--standard-operators",
        action="store_true",
        help="write int8 and integer graphs with operators of ONNX alone, for importers that do not know "
        "ONNX Runtime's own; slower in ONNX Runtime",
    )
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if not 0.0 <= arguments.most_loss <= 100.0:
        parser.error(f"--most-loss is {arguments.most_loss}; want 0 to 100")
    for flag in ("calibrate", "float_layers"):
        if arguments.no_int8 and not arguments.integers and getattr(arguments, flag) is not None:
            parser.error(f"--{flag.replace('_', '-')} is for int8: leave it or --no-int8 out")
    output = Path(arguments.output)
    layers = arguments.float_layers.split(",") if arguments.float_layers is not None else []
    began = time.perf_counter()
    try:
        calibration, validation = (
            read_manifest(Path(name)) if name else None
            for name in (arguments.calibrate, arguments.manifest)
        )
        exported = export(
            open_model(arguments.ckpt),
            output,
            calibration=calibration,
            validation=validation,
            most_loss=arguments.most_loss / 100,
            int8=not arguments.no_int8,
            integers=arguments.integers,
            float_layers=layers,
            standard=arguments.standard_operators,
            progress=_show if sys.stderr.isatty() else None,
        )
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


def _show(name: str, done: int, total: int) -> None:
    """Show on stderr how far a backend is."""
    end = "\n" if done == total else ""
    print(f"\r{name}: {done} of {total}", end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    run_main(main)
