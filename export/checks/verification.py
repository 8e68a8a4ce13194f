"""Verification: a model directory is checked against the network that it was written from.

Before it is moved into place, file by file and backend by backend:

1. Arrays, specification, tokenizer and n-gram model equal the network's.
2. Nothing looks ahead: the front end, the NumPy reference, the encoder of each backend. A row's encoder
   output does not depend on the other rows of its batch.
3. Float32 graphs give the reference's outputs and logits within `TOLERANCE`, on random frames and on
   the bundled recordings: the reference computes them whole, the graphs in random chunks. In chunks the
   reference gives the same of random frames.
4. int8 weights equal the network's within half a step (`export.checks.dequantised`). Rounded activations
   keep the graphs near to float32 with these weights: outputs and states on the frames of 3, and
   logits of random joint vectors within their range, differ by at most `NEAR` of their deviation.
   Scales are those of the network's integers where it has any. What int8 costs in words is measured by
   `export.checks.precision`.
5. Integers equal the network's weights within half a step and are as near, except for states, whose
   cells saturate. The graphs hold these integers and equal the NumPy integers bit for bit: on the
   frames of 3, and on random states that include the ends of all ranges.
6. The bundled recordings, streamed in random pieces as a server streams them, give the input frames and the
   tokens that they give whole, without an engine (`export.checks.streaming`): tokens of the NumPy reference,
   or of the NumPy integers, where a backend must equal it.

A model that was trained with several lengths of chunk is checked with each of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from export.checks.dequantised import check_weights, dequantise_int8, dequantise_integers
from export.checks.streaming import check_streaming
from export.checks.tracer import batches
from export.errors import ExportError
from stream.backends import Backend, load_backend
from stream.backends.integer import IntegerBackend
from stream.backends.integer_onnx import check_equal
from stream.bundled import recordings
from stream.causality import check_causal, check_features_causal
from stream.decoding.options import WHOLE, decoding_of
from stream.integer.network import to_integers
from stream.model.directory import INT8_WEIGHTS, INTEGER_WEIGHTS
from stream.model.network import Network, open_model
from stream.model.specification import ModelError
from stream.stage import Floats, leaves_of

TOLERANCE = 1e-4  # of encoder outputs and logits, against the NumPy reference; relative above 1
NEAR = 0.4  # deep random models differ by 0.17, trained ones by 0.05; a Conformer by 0.33 on random frames
STEPS = 40  # chunks of random frames
CHUNKS = 8  # parts that frames are encoded in, several chunks each
STATE_ERROR = 0.02  # of states that hardly differ from 0
UNIT, ZERO = 1.0 / 127.0, 128  # of h in int8
ROWS = 3
LOUD = 100  # times that other rows are louder
ALONE = 0.25  # of a row's distance from the reference: what it may move with the other rows
ENCODER, PREDICTION = "encoder output", "prediction output"
BATCHES = (1, 2, 8, 33)  # kernels of integer products differ by the number of rows

Result = TypeVar("Result")
Frames = dict[str, Floats]


def verify(network: Network, written: Path) -> float:
    """Check a model directory against the network that it was written from.

    Args:
        written: the directory, with float32 graphs; int8 and integer files as there are.
    Returns:
        the largest difference of float32 encoder outputs and logits.
    Raises:
        ExportError: something in it is not the model, or computes something else.
        CausalityError: the model looks ahead.
        ModelError: a file cannot be read, or a graph cannot be run.
    """
    read = open_model(written)
    for name, array in network.arrays.items():
        if not np.array_equal(array, read.arrays[name]):
            raise ExportError(f"array {name} is not the model's")
    for part in ("specification", "tokenizer", "ngram"):
        if getattr(read, part) != getattr(network, part):
            raise ExportError(f"{part} is not the model's")
    check_features_causal(network.front_end, network.normaliser)
    lengths = network.specification.encoder.chunk_lengths
    return max(_verify(network.with_chunk(ms), read.with_chunk(ms), written) for ms in lengths)


def _verify(network: Network, read: Network, written: Path) -> float:
    """Check the graphs with chunks of one length."""
    encoder = network.specification.encoder
    shape = ROWS, STEPS * encoder.chunk_inputs, encoder.inputs
    frames = {
        "random frames": np.random.default_rng(0).standard_normal(shape, np.float32),
        "bundled recordings": next(batches(network, recordings())).x,
    }
    largest = _verify_float32(network, read, frames)
    if (written / INT8_WEIGHTS).exists():
        _verify_int8(network, read, frames, written / INT8_WEIGHTS)
    if (written / INTEGER_WEIGHTS).exists():
        _verify_integers(network, read, frames, written / INTEGER_WEIGHTS)
    return largest


@dataclass(frozen=True)
class Outputs:
    """Outputs by name, (B, T, J) or (B, T, C), and h and c of each LSTM layer at the end."""

    parts: dict[str, NDArray[Any]]
    states: list[NDArray[Any]]


def _verify_float32(network: Network, read: Network, frames: Frames) -> float:
    reference, graphs = load_backend("numpy", network), load_backend("onnx", read)
    for backend, name in ((reference, "model"), (graphs, "ONNX graph")):
        check_causal(encoding_by(backend), network.specification.encoder, name)
    whole = {name: outputs(reference, x) for name, x in frames.items()}
    in_chunks = outputs(reference, frames["random frames"], CHUNKS)
    _close("random frames in chunks", whole["random frames"], in_chunks)
    largest = max(
        _close(name, want, outputs(graphs, frames[name], CHUNKS)) for name, want in whole.items()
    )
    _rows_alone("ONNX graph", reference, graphs, frames["random frames"])
    for head in network.specification.heads:
        decoding = decoding_of(network, replace(WHOLE, head=head))
        check_streaming(read, graphs, reference, decoding, recordings())
    return largest


def _verify_int8(network: Network, read: Network, frames: Frames, weights: Path) -> None:
    stored = safetensors.numpy.load_file(weights)
    dequantised, allowed = dequantise_int8(network, stored)
    _checked("int8", lambda: check_weights(network, dequantised, allowed))
    if chosen := network.specification.quantisation:
        for name, exponent in (("x.scale", chosen.input), ("joint.scale", chosen.joint)):
            if (scale := stored[name].item()) != 2.0**-exponent:
                raise ExportError(f"int8: {name} is {scale:.4g}, the model's is 2^{-exponent}")
    try:
        reference, graphs = load_backend("numpy", dequantised), load_backend("int8", read)
    except ModelError as error:
        raise ModelError(f"{error}, or export with --no-int8") from error
    check_causal(encoding_by(graphs), network.specification.encoder, "int8 graph")
    _rows_alone("int8 graph", reference, graphs, frames["random frames"])
    for name, x in frames.items():
        want, got = outputs(reference, x), outputs(graphs, x, CHUNKS)
        _near(f"int8: {name}", want, got)
        _near_states(f"int8: {name}", want, got)
    if "joint.scale" in stored:
        _near_joint("int8", reference, graphs, 255 * stored["joint.scale"].item())
    for head in network.specification.heads:
        decoding = decoding_of(read, replace(WHOLE, head=head))
        check_streaming(read, graphs, graphs, decoding, recordings(), "int8: whole, they are")


def _verify_integers(network: Network, read: Network, frames: Frames, weights: Path) -> None:
    from export.build import integer_arrays

    integers = to_integers(network)
    dequantised, allowed = dequantise_integers(network, integers)
    _checked("integers", lambda: check_weights(network, dequantised, allowed))
    stored = safetensors.numpy.load_file(weights)
    for name, array in integer_arrays(integers).items():
        if name not in stored or not np.array_equal(array, stored[name]):
            raise ExportError(f"integers: array {name} of {weights.name} is not the model's")
    reference, of_dequantised = IntegerBackend(integers), load_backend("numpy", dequantised)
    graphs = _checked("integers", lambda: load_backend("integer-onnx", read))
    if isinstance(graphs, IntegerBackend):
        raise ExportError("integers: this machine's integer products are wrong: export on another")
    check_causal(encoding_by(graphs), network.specification.encoder, "integer graph")
    largest = 2.0 ** (8 - integers.quantisation.joint)  # of the joint's hidden vector
    _near_joint("integers", of_dequantised, graphs, largest)
    for rows in BATCHES:
        _checked("integers", functools.partial(check_equal, integers, graphs, rows, seed=rows))
    for name, x in frames.items():
        want = outputs(reference, x)
        _near(f"integers: {name}", outputs(of_dequantised, x), want, 2.0 * largest)
        _equal(f"integers: {name}", want, outputs(graphs, x, CHUNKS))
    check_streaming(read, graphs, reference, decoding_of(read), recordings(), "the integers' are")


def _checked(name: str, check: Callable[[], Result]) -> Result:
    """Run a check that raises ValueError where it finds a difference."""
    try:
        return check()
    except ValueError as error:
        raise ExportError(f"{name}: {error}") from error


def encoding_by(backend: Backend) -> Callable[[Floats], Floats]:
    """Return the encoder of a backend as `stream.causality` takes it."""
    return lambda x: backend.encode(x, backend.initial_state(1)[0])[0]


def outputs(backend: Backend, x: Floats, chunks: int = 1) -> Outputs:
    """Run a backend on frames, (B, S, inputs), in chunks of random length, and on random tokens.

    The last row ends within its last chunk; encoder outputs after its end, which count for nothing, are zeros.
    """
    rng = np.random.default_rng(0)
    blank, heads = backend.specification.blank, backend.specification.heads
    family, rows = backend.specification.encoder, len(x)
    present = np.ones(x.shape[:2], np.bool_)
    present[-1, -max(1, 2 * family.chunk_inputs // 3) :] = False
    heard = int(family.frames(int(present[-1].sum())))
    length = int(family.frames(x.shape[1]))
    tokens = np.concatenate([np.full((1, rows), blank), rng.integers(0, blank, (length - 1, rows))])
    ends = rng.integers(0, x.shape[1] // family.chunk_inputs, chunks - 1, endpoint=True)
    ends = family.chunk_inputs * np.sort(ends)
    encoder, prediction = backend.initial_state(rows)
    encoded, predicted = [], []
    logits: list[NDArray[Any]] = []
    for part, there in zip(np.split(x, ends, axis=1), np.split(present, ends, axis=1), strict=True):
        f, encoder = backend.encode(part, encoder, there)
        encoded.append(f)
    f = np.concatenate(encoded, axis=1)
    f[-1, heard:] = 0.0
    parts: dict[str, NDArray[Any]] = {ENCODER: f}
    for step, token in enumerate(tokens if "transducer" in heads else ()):
        g, prediction = backend.predict(token, prediction)
        predicted.append(g)
        logits.append(backend.join(f[:, step], g))
    if logits:
        parts |= {PREDICTION: np.stack(predicted, axis=1), "logits": np.stack(logits, axis=1)}
    if "ctc" in heads:
        parts["CTC's log-probabilities"] = backend.ctc(f)
    states = ((family, encoder), (backend.specification.prediction, prediction))
    of_lstms = tuple(state for part, state in states if part.family == "lstm")
    return Outputs(parts, leaves_of(of_lstms))


def _close(name: str, want: Outputs, got: Outputs) -> float:
    """Refuse float32 outputs beyond `TOLERANCE`; returns the largest difference."""
    differences = []
    for part, a in want.parts.items():
        b = got.parts[part]
        largest = float((np.abs(a - b) / np.maximum(np.abs(a), 1.0)).max())
        if not largest <= TOLERANCE:
            raise ExportError(
                f"{name}: {part} differs by {largest:.2e} from the NumPy reference, "
                f"allowed is {TOLERANCE:.0e}"
            )
        differences.append(largest)
    return max(differences)


def _rows_alone(name: str, reference: Backend, graphs: Backend, x: Floats) -> None:
    """Refuse an encoder whose output for a row depends on the others, as with scales taken from a batch.

    What float products round differently in another batch may move it by a part of its distance from the
    reference.
    """
    beside = np.concatenate([x[:1], LOUD * x[1:]])
    want, alone, together = (
        backend.encode(rows, backend.initial_state(len(rows))[0])[0][:1]
        for backend, rows in ((reference, x[:1]), (graphs, x[:1]), (graphs, beside))
    )
    allowed = ALONE * _rms(want - alone) + TOLERANCE
    if not (error := _rms(alone - together)) <= allowed:
        raise ExportError(
            f"{name}: a row's encoder output moves by {error:.2e} (rms) with the other rows of its batch, "
            f"allowed is {allowed:.2e}"
        )


def _near(name: str, want: Outputs, got: Outputs, most: float = np.inf) -> None:
    """Refuse outputs of rounded activations that differ by more than these do.

    Args:
        name: of what was run.
        want: float32, whose outputs are clipped to `most`.
        got: of the backend.
        most: largest magnitude that outputs of the backend can have.
    """
    for part in (ENCODER, PREDICTION):  # for its logits, tokens at random leave the ranges
        if part not in want.parts:
            continue
        a, b = want.parts[part], got.parts[part]
        a = np.clip(a, -most, most)
        _refuse_far(f"{name}: {part}", a, b, NEAR * _rms(a - a.mean(axis=(0, 1))))


def _near_states(name: str, want: Outputs, got: Outputs) -> None:
    """Refuse int8 states that differ from float32 ones by more than rounding makes them."""
    for n, (a, b) in enumerate(zip(want.states, got.states, strict=True)):
        dequantised = UNIT * (b.astype(np.float32) - ZERO) if b.dtype == np.uint8 else b
        part = f"{'hc'[n % 2]} of LSTM layer {n // 2}"
        _refuse_far(f"{name}: {part}", a, dequantised, NEAR * _rms(a) + STATE_ERROR)


def _near_joint(name: str, reference: Backend, backend: Backend, largest: float) -> None:
    """Refuse a joint that differs on random hidden vectors up to the largest element."""
    shape = 2, 64, reference.specification.joint
    f, g = np.random.default_rng(0).uniform(-largest / 2, largest / 2, shape).astype(np.float32)
    want = reference.join(f, g)
    allowed = NEAR * _rms(want - want.mean(axis=0))
    _refuse_far(f"{name}: logits", want, backend.join(f, g), allowed)


def _rms(a: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean(a.astype(np.float64) ** 2)))


def _refuse_far(name: str, want: NDArray[Any], got: NDArray[Any], allowed: float) -> None:
    if not (error := _rms(want - got)) <= allowed:
        raise ExportError(
            f"{name} differs by {error:.2e} (rms) from float32 with the same weights, "
            f"allowed is {allowed:.2e}"
        )


def _equal(name: str, want: Outputs, got: Outputs) -> None:
    """Refuse outputs that are not the same, bit for bit."""
    for part, a in want.parts.items():
        b = got.parts[part]
        if not np.array_equal(a, b):
            at = [int(n) for n in np.argwhere(a != b)[0]]
            raise ExportError(
                f"{name}: {part} of the graph is not that of the integers, first at {at}"
            )
