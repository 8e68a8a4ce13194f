"""`python -m export.onnx`: a model directory for ONNX Runtime, run before it is called done.

What was written is reopened and held against the model by `export.verification`. Only then does the
folder get its name; if anything differs nothing is left behind. int8 graphs are written too where they
lose no more than is allowed, see `export.precision`; integer graphs where the model has a quantisation.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from export.precision import Precision, int8_files
from export.verification import ExportError, verify
from stream import directory
from stream.audio import AudioError
from stream.bundled import recordings
from stream.causality import CausalityError
from stream.integer import quantise
from stream.manifest import ManifestError, Utterance, read_manifest
from stream.network import ModelError, Network, open_model
from stream.process import run_main

__all__ = ["Exported", "export"]

INT8_LOSS = 0.005  # by which int8's WER may be above float32's


@dataclass(frozen=True)
class Exported:
    """What an export found.

    Attributes:
        difference: the largest from the NumPy reference, of encoder outputs and logits.
        precision: what int8 loses; None where it was not asked for.
        int8: whether the int8 graphs were written.
        integers: whether the integer graphs were.
    """

    difference: float
    precision: Precision | None
    int8: bool
    integers: bool


def export(
    network: Network,
    output: Path,
    *,
    utterances: Sequence[Utterance] | None = None,
    int8_loss: float | None = INT8_LOSS,
) -> Exported:
    """Write and verify a model directory.

    Args:
        network: the model, of number format float32.
        output: folder to write; an older model directory there is replaced.
        utterances: what int8 is calibrated and measured on; None: the bundled recordings.
        int8_loss: by which its WER may rise for int8 to be written; None: no int8.
    Raises:
        ExportError: what was written computes something else; nothing was left behind.
        CausalityError: the model looks ahead.
        ModelError: the model cannot be written as float32 graphs, or its integers may overflow.
    """
    # By name: the package onnx comes with rill-asr[train] only, and `main` says so.
    graphs = importlib.import_module("export.graphs").build_graphs(
        network, directory.serialise(network)
    )
    precision: Precision | None = None
    files: dict[str, bytes] = {}
    if int8_loss is not None:
        files, precision = int8_files(network, graphs, utterances or recordings())
        if precision.loss > int8_loss:
            files = {}
    integers: dict[str, bytes] = {}
    if network.specification.quantisation is not None:
        module = importlib.import_module("export.integer_graphs")
        integers = module.build_integer(quantise(network))
    with directory.writing(network, output, {**graphs, **files, **integers}) as written:
        return Exported(verify(network, written), precision, bool(files), bool(integers))


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m export.onnx`."""
    parser = argparse.ArgumentParser(
        prog="python -m export.onnx",
        description="Write a model directory for ONNX Runtime, and verify it by running it.",
        epilog="example: python -m export.onnx --ckpt runs/hard/best.pt --output models/mine",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--ckpt", required=True, metavar="MODEL", help="checkpoint or model directory"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="model directory to write")
    parser.add_argument("--no-int8", action="store_true", help="write no int8 graphs")
    parser.add_argument(
        "--int8-loss",
        type=float,
        default=100 * INT8_LOSS,
        metavar="P",
        help="points by which the WER of int8, in %%, may be above that of float32; beyond them it is "
        f"left out (default: {100 * INT8_LOSS:g})",
    )
    parser.add_argument(
        "--manifest",
        metavar="JSONL",
        help="recordings that int8 is calibrated and measured on (default: the bundled ones)",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if not 0.0 <= arguments.int8_loss <= 100.0:
        parser.error(f"--int8-loss is {arguments.int8_loss}; want 0 to 100")
    output, loss = Path(arguments.output), arguments.int8_loss / 100
    began = time.perf_counter()
    try:
        exported = export(
            open_model(arguments.ckpt),
            output,
            utterances=read_manifest(Path(arguments.manifest)) if arguments.manifest else None,
            int8_loss=None if arguments.no_int8 else loss,
        )
    except (ExportError, CausalityError) as error:
        print(f"{arguments.ckpt}: {error}. Nothing was written.", file=sys.stderr)
        return 1
    except (ModelError, ManifestError, AudioError, OSError) as error:
        print(error, file=sys.stderr)
        return 3
    except ModuleNotFoundError as error:
        print(f"needs {error.name}: pip install 'rill-asr[train]'", file=sys.stderr)
        return 4
    except KeyboardInterrupt:
        return 130
    size = sum(file.stat().st_size for file in output.iterdir()) / 1e6
    print(
        f"{output}: {size:.1f} MB in {time.perf_counter() - began:.1f} s, verified: "
        f"largest difference {exported.difference:.1e}, tokens of {len(recordings())} recordings equal"
    )
    if found := exported.precision:
        print(
            f"int8: WER of {found.recordings} recordings {100 * found.wer_float32:.2f} % -> "
            f"{100 * found.wer_int8:.2f} %, {100 * found.changed:.2f} % of the words change: "
            + ("written" if exported.int8 else f"left out, for more than {100 * loss:g} points")
        )
    if exported.integers:
        print("integers: the graphs equal the NumPy integers bit for bit: written")
    return 0


if __name__ == "__main__":
    run_main(main)
