"""`python -m export.onnx`: a model directory for ONNX Runtime, run before it is called done.

What was written is reopened, its arrays compared, and its graphs held against the NumPy reference, on
random frames and on the bundled recordings; these are also streamed in random chunks, tokens must be
equal; and none of it may look ahead. Only then does the folder get its name. If anything differs nothing
is left behind. int8 graphs are written too where they lose no more than is allowed, see
`export.precision`.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.precision import Precision, int8_files
from stream import directory
from stream.audio import AudioError, read_audio
from stream.backends import Backend, load_backend
from stream.bundled import recordings
from stream.causality import CausalityError, check_causal, check_features_causal
from stream.features import BINS, STACK, stack, streamed_log_mel
from stream.manifest import ManifestError, Utterance, read_manifest
from stream.network import TIME_STACK, ModelError, Network, open_model
from stream.process import run_main
from stream.recogniser import Recogniser
from stream.stage import whole

__all__ = ["ExportError", "Exported", "export", "verify"]

TOLERANCE = 1e-4  # of encoder outputs and logits, against the NumPy reference; relative above 1
INT8_LOSS = 0.005  # by which int8's WER may be above float32's
CHUNKS = 40  # 2.4 s
ROWS = 3

Floats = NDArray[np.float32]


class ExportError(RuntimeError):
    """An artefact that does not compute what the model computes."""


@dataclass(frozen=True)
class Exported:
    """What an export found.

    Attributes:
        difference: the largest from the NumPy reference, of encoder outputs and logits.
        precision: what int8 loses; None where it was not asked for.
        int8: whether the int8 graphs were written.
    """

    difference: float
    precision: Precision | None
    int8: bool


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
        ModelError: the model cannot be written as float32 graphs.
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
    with directory.writing(network, output, {**graphs, **files}) as written:
        return Exported(verify(network, written), precision, bool(files))


def verify(network: Network, written: Path) -> float:
    """Hold a model directory against the network that it was written from.

    Returns:
        the largest difference of encoder outputs and logits.
    Raises:
        ExportError, CausalityError: as `export`.
    """
    read = open_model(written)
    for name, array in network.arrays.items():
        if not np.array_equal(array, read.arrays[name]):
            raise ExportError(f"array {name} is not the model's")
    if read.specification != network.specification or read.tokenizer != network.tokenizer:
        raise ExportError("specification or tokenizer is not the model's")
    reference, graphs = load_backend("numpy", network), load_backend("onnx", read)
    check_features_causal(network.specification.front_end, network.normaliser)
    for backend, name in ((reference, "model"), (graphs, "ONNX graph")):
        check_causal(_encoder(backend), name)
    rng = np.random.default_rng(0)
    frames = rng.standard_normal((ROWS, CHUNKS * TIME_STACK, STACK * BINS), np.float32)
    largest = max(
        _compare("random frames", frames, reference, graphs),
        _compare("bundled recordings", _stacked(network), reference, graphs),
    )
    _compare_tokens(network, read)
    return largest


def _encoder(backend: Backend) -> Callable[[Floats], Floats]:
    return lambda x: backend.encode(x, backend.initial_state(1)[0])[0]


def _stacked(network: Network) -> Floats:
    """Return the bundled recordings, padded, as the encoder's input, (B, S, 240), S even."""
    audio = [read_audio(utterance.audio) for utterance in recordings()]
    x = np.zeros((len(audio), max(map(len, audio))), np.float32)
    for row, samples in zip(x, audio, strict=True):
        row[: len(samples)] = samples
    z = whole(network.normaliser, streamed_log_mel(x, network.specification.front_end))
    fill = np.zeros((len(z), -z.shape[1] % (STACK * TIME_STACK), BINS), np.float32)
    stacked: Floats = stack(np.concatenate([z, fill], axis=1))
    return stacked


def _compare(name: str, x: Floats, reference: Backend, graphs: Backend) -> float:
    """Run both on frames, (B, S, 240), and random tokens, states carried on."""
    rng = np.random.default_rng(0)
    blank = reference.specification.blank
    present = np.ones(x.shape[:2], np.bool_)
    present[-1, -1] = False  # a stream that ends within a pair
    steps, rows = x.shape[1] // TIME_STACK, len(x)
    tokens = np.concatenate([np.full((1, rows), blank), rng.integers(0, blank, (steps - 1, rows))])
    found = []
    for backend in (reference, graphs):
        encoder, prediction = backend.initial_state(rows)
        f, _ = backend.encode(x, encoder, present)
        logits = []
        for step, token in enumerate(tokens):
            g, prediction = backend.predict(token, prediction)
            logits.append(backend.join(f[:, step], g))
        found.append((f, np.stack(logits)))
    differences = []
    for part, want, got in zip(("encoder output", "logits"), *found, strict=True):
        largest = float((np.abs(want - got) / np.maximum(np.abs(want), 1.0)).max())
        if not largest <= TOLERANCE:
            raise ExportError(
                f"{name}: {part} differs by {largest:.2e} from the NumPy reference, "
                f"allowed is {TOLERANCE:.0e}"
            )
        differences.append(largest)
    return max(differences)


def _compare_tokens(network: Network, read: Network) -> None:
    """Stream the bundled recordings in random chunks through the graphs, whole through NumPy."""
    rng = np.random.default_rng(0)
    reference, graphs = Recogniser(network, "numpy"), Recogniser(read, "onnx")
    for utterance in recordings():
        audio = read_audio(utterance.audio)
        want = [(token.id, token.step) for token in reference.transcribe(audio)[1]]
        results, begin = [], 0
        while begin < len(audio):
            end = begin + int(rng.integers(1, 4000))
            results += graphs.push(audio[begin:end])
            begin = end
        results += graphs.finish()
        graphs.reset()
        got = [(token.id, token.step) for result in results for token in result.tokens]
        if got != want:
            raise ExportError(f"{utterance.id}: streamed tokens {got}, the model's are {want}")


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
    parser.add_argument("--no-int8", action="store_true", help="write float32 graphs only")
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
    return 0


if __name__ == "__main__":
    run_main(main)
