"""`python -m export.onnx`: a model directory for ONNX Runtime, run before it is called done.

What was written is reopened, its arrays compared, and its graphs held against the NumPy reference: on
random frames, on random chunkings of the bundled recordings, and for looking ahead. If any of it
differs nothing is left behind.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import safetensors.numpy

from export.graphs import build_graphs
from stream import directory
from stream.audio import read_audio
from stream.backends import Backend, load_backend
from stream.bundled import recordings
from stream.causality import CausalityError, check_causal
from stream.features import BINS, STACK
from stream.network import TIME_STACK, ModelError, Network, open_model
from stream.recogniser import Recogniser

__all__ = ["ExportError", "export", "verify"]

TOLERANCE = 1e-4  # of encoder outputs and logits, against the NumPy reference
CHUNKS = 40  # 2.4 s
ROWS = 3


class ExportError(RuntimeError):
    """An artefact that does not compute what the model computes."""


def export(network: Network, output: Path) -> float:
    """Write and verify a model directory.

    Args:
        network: the model, of number format float32.
        output: folder to write; an older model directory there is replaced.
    Returns:
        the largest difference from the NumPy reference.
    Raises:
        ExportError: what was written computes something else; nothing was left behind.
        CausalityError: the model looks ahead.
        ModelError: the model cannot be written as float32 graphs.
    """
    arrays = {name: np.ascontiguousarray(a) for name, a in network.arrays.items()}
    graphs = build_graphs(network, safetensors.numpy.save(arrays))
    output.parent.mkdir(parents=True, exist_ok=True)
    trial = Path(tempfile.mkdtemp(prefix=f".{output.name}-", dir=output.parent))
    try:
        directory.write(network, trial / "model", graphs)
        largest = verify(network, trial / "model")
    finally:
        shutil.rmtree(trial)
    directory.write(network, output, graphs)
    return largest


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
            raise ExportError(f"{written}: array {name} is not the model's")
    if read.specification != network.specification or read.tokenizer != network.tokenizer:
        raise ExportError(f"{written}: specification or tokenizer is not the model's")
    reference, graphs = load_backend("numpy", network), load_backend("onnx", read)
    for backend, name in ((reference, "model"), (graphs, "ONNX graph")):
        check_causal(_encoder(backend), name)
    largest = _compare(reference, graphs)
    _compare_tokens(network, read)
    return largest


def _encoder(backend: Backend):  # type: ignore[no-untyped-def]
    return lambda x: backend.encode(x, backend.initial_state(1)[0])[0]


def _compare(reference: Backend, graphs: Backend) -> float:
    """Run both on random frames and tokens, states carried on."""
    rng = np.random.default_rng(0)
    blank = reference.specification.blank
    x = rng.standard_normal((ROWS, CHUNKS * TIME_STACK, STACK * BINS)).astype(np.float32)
    present = np.ones(x.shape[:2], np.bool_)
    present[-1, -1] = False  # a stream that ends within a pair
    tokens = np.concatenate([np.full((1, ROWS), blank), rng.integers(0, blank, (CHUNKS - 1, ROWS))])
    found = []
    for backend in (reference, graphs):
        encoder, prediction = backend.initial_state(ROWS)
        f, _ = backend.encode(x, encoder, present)
        logits = []
        for step, token in enumerate(tokens):
            g, prediction = backend.predict(token, prediction)
            logits.append(backend.join(f[:, step], g))
        found.append((f, np.stack(logits)))
    for name, want, got in zip(("encoder output", "logits"), *found, strict=True):
        largest = float(np.abs(want - got).max())
        if not largest <= TOLERANCE:
            raise ExportError(f"{name} differs by {largest:.2e}, allowed is {TOLERANCE:.0e}")
    return max(float(np.abs(a - b).max()) for a, b in zip(*found, strict=True))


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
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    arguments = build_parser().parse_args(argv)
    output = Path(arguments.output)
    began = time.perf_counter()
    try:
        largest = export(open_model(arguments.ckpt), output)
    except (ExportError, CausalityError) as error:
        print(f"{arguments.ckpt}: {error}. Nothing was written.", file=sys.stderr)
        return 1
    except (ModelError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 3
    size = sum(file.stat().st_size for file in output.iterdir()) / 1e6
    print(
        f"{output}: {size:.1f} MB in {time.perf_counter() - began:.1f} s, verified: "
        f"largest difference {largest:.1e}, tokens of {len(recordings())} recordings equal"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
