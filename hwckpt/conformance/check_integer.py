"""Checks of the integer arithmetic: `stream.integer.fixed`, the integer backend and its ONNX graphs, every bit.

Files of `hwckpt.conformance.integer` and `hwckpt.conformance.integer_transducer`. Rules by number: docs/integer.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from hwckpt.conformance import integer_trace
from hwckpt.conformance.comparison import (
    Arrays,
    Row,
    VectorError,
    compare,
    exact,
    installed,
    load,
    skipped,
)
from hwckpt.conformance.integer_transducer import integers
from stream.backends import Backend
from stream.backends.integer import BlasLayer, BlasLinear, IntegerBackend
from stream.backends.integer_onnx import graph_state
from stream.backends.onnx import OnnxBackend
from stream.backends.session import open_session
from stream.decoding.greedy import Greedy
from stream.integer import fixed
from stream.integer import network as integer
from stream.integer.network import IntegerLayer, IntegerLinear, IntegerNetwork
from stream.model.network import Network
from stream.model.specification import Specification
from stream.stage import State, map_state

__all__ = ["inputs", "joint", "lstm", "projection", "transducer", "weights"]

FIXED, BACKEND, GRAPHS = "fixed", "integer", "integer-onnx"
ZERO = 128  # of signed activations in graphs
JOINT = 10  # exponent of e and g; it changes no integer
LAYER = ("weight_ih", "weight_hh", "bias", "shift_x", "shift_h", "shift", "bound")
LINEAR = ("weight", "bias", "shift_in", "shift_out", "exponent", "bound")


def _equal(stage: str, backend: str, got: Any, want: Any) -> Row:
    return compare(stage, backend, got, want, 0.0)


def weights(path: Path) -> Iterator[Row]:
    """integer_weights: tensors to integers and exponents (rule 1)."""
    z = load(path)
    for n in range(z["num"]):
        q, exponent = integer.quantise_weight(z[f"weight_{n}"], z[f"bits_{n}"])
        yield _equal(f"weights {n}", FIXED, q, z[f"q_{n}"])
        yield _equal(f"exponent {n}", FIXED, exponent, z[f"exponent_{n}"])


def inputs(path: Path) -> Iterator[Row]:
    """integer_input: the encoder's input (rule 2)."""
    z = load(path)
    for n in range(z["num"]):
        got = fixed.quantise_input(z[f"z_{n}"], z[f"exponent_{n}"])
        yield _equal(f"input 2^-{z[f'exponent_{n}']}", FIXED, got, z[f"x_{n}"])


def lstm(path: Path) -> Iterator[Row]:
    """integer_lstm: a layer from a given state, every value of every frame (rules 3 and 9)."""
    z = load(path)
    layer = IntegerLayer(**{name: z[name] for name in LAYER})
    products = ((layer.weight_ih, layer.shift_x), (layer.weight_hh, layer.shift_h))
    bound = integer.accumulator_bound(layer.bias, products, integer.SIGNED)
    yield _equal("LSTM bound", FIXED, bound, layer.bound)
    h, c = z["h0"].astype(np.int64), z["c0"].astype(np.int64)
    frames = []
    for frame in z["x"]:
        acc = fixed.gate_sums(layer, frame, h)
        inner = fixed.gate_inputs(acc, layer.shift)
        values = fixed.cell_values(inner, c)
        h, c = fixed.lstm_step(layer, frame, h, c)
        yield from _same_step(values, h, c)
        frames.append({"acc": acc, "z": inner, **values._asdict()})
    for name in frames[0]:
        got = np.stack([frame[name] for frame in frames])
        yield _equal(f"LSTM {name}", FIXED, got, z[name])
    fast = BlasLayer(layer)
    y, (_, c) = fast.step(z["x"].transpose(1, 0, 2), (z["h0"], z["c0"]))
    yield _equal("LSTM h", BACKEND, y.transpose(1, 0, 2), z["h"])
    yield _equal("LSTM last c", BACKEND, c, z["c"][-1])
    yield from _lstm_graph(layer, z)


def _lstm_graph(layer: IntegerLayer, z: Arrays) -> Iterator[Row]:
    if not installed("onnx"):
        yield skipped("LSTM", GRAPHS, "onnx is not installed")
        return
    from export.onnx.lstm import layer_graph

    session = open_session(layer_graph(layer))
    h, c = graph_state((z["h0"], z["c0"]))
    states = []
    for frame in z["x"]:
        inputs = {"x": (frame.astype(np.int16) + ZERO).astype(np.uint8), "h.0": h, "c.0": c}
        h, c = session.run(["h.0.after", "c.0.after"], inputs)
        states.append((h, c))
    got_h, got_c = (np.stack(leaf) for leaf in zip(*states, strict=True))
    yield _equal("LSTM h", GRAPHS, got_h.astype(np.int64) - ZERO, z["h"])
    yield _equal("LSTM c", GRAPHS, got_c, z["c"])


def _same_step(values: Any, h: Any, c: Any) -> Iterator[Row]:
    """Yield a row where a whole step is not its parts."""
    if not (np.array_equal(values.h, h) and np.array_equal(values.c, c)):
        yield _equal("LSTM step", FIXED, np.stack([h, c]), np.stack([values.h, values.c]))


def projection(path: Path) -> Iterator[Row]:
    """integer_projection: e of h (rules 5 and 9)."""
    z = load(path)
    linear = _linear(z)
    bound = integer.accumulator_bound(
        linear.bias, ((linear.weight, linear.shift_in),), integer.SIGNED
    )
    yield _equal("projection bound", FIXED, bound, linear.bound)
    yield _equal("projection acc", FIXED, fixed.accumulate(linear, z["h"]), z["acc"])
    yield _equal("projection e", FIXED, fixed.project(linear, z["h"]), z["e"])
    yield _equal("projection e", BACKEND, BlasLinear(linear).project(z["h"]), z["e"])
    if not installed("onnx"):
        yield skipped("projection", GRAPHS, "onnx is not installed")
        return
    from export.onnx.integer import projection_graph

    h = (z["h"].astype(np.int16) + ZERO).astype(np.uint8)
    (e,) = open_session(projection_graph(linear)).run(["e"], {"h": h})
    yield _equal("projection e", GRAPHS, np.ldexp(e, linear.exponent), z["e"])


def joint(path: Path) -> Iterator[Row]:
    """integer_joint: hidden vector, logits, the best class (rules 6, 7 and 9)."""
    z = load(path)
    linear = _linear(z)
    bound = integer.accumulator_bound(linear.bias, ((linear.weight, 0),), integer.UNSIGNED)
    yield _equal("joint bound", FIXED, bound, linear.bound)
    a = fixed.hidden(z["e"], z["g"])
    yield _equal("joint a", FIXED, a, z["a"])
    values = fixed.logits(linear, a)
    yield _equal("joint logits", FIXED, values, z["logits"])
    yield _equal("joint best class", FIXED, fixed.best_class(values), z["best"])
    yield _equal("joint logits", BACKEND, BlasLinear(linear).accumulate(z["a"]), z["logits"])
    if not installed("onnx"):
        yield skipped("joint", GRAPHS, "onnx is not installed")
        return
    from export.onnx.joint import joint_graph

    inputs = {name: np.ldexp(z[key].astype(np.float32), -JOINT) for name, key in ("fe", "gg")}
    (found,) = open_session(joint_graph(linear, JOINT)).run(["logits"], inputs)
    yield _equal("joint logits", GRAPHS, np.ldexp(found, linear.exponent), z["logits"])


def _linear(z: Arrays) -> IntegerLinear:
    return IntegerLinear(**{name: z[name] for name in LINEAR})


def transducer(path: Path) -> Iterator[Row]:
    """integer_transducer: float weights to integers, and all that is computed with them."""
    z = load(path)
    try:
        specification = msgspec.json.decode(z["specification"], type=Specification)
    except msgspec.DecodeError as error:
        raise VectorError(f"{path}: its specification is not understood: {error}") from error
    arrays = {name[2:]: value for name, value in z.items() if name.startswith("w:")}
    network = Network(specification, arrays, z["tokenizer"].tobytes(), path=path)
    made = integer.quantise(network)
    for name, value in integers(made).items():
        yield _equal(name, FIXED, value, z[f"q:{name}"])
    for name, value in integer_trace.trace(made, z["z"], z["present"], z["tokens"]).items():
        yield _equal(name, FIXED, value, z[name])
    for row in range(len(z["z"])):
        tokens, frames = integer_trace.greedy(made, z["e"][row].astype(np.int64))
        yield exact(f"greedy {row}", FIXED, tokens, z[f"greedy_tokens_{row}"].tolist())
        yield exact(f"greedy {row} frames", FIXED, frames, z[f"greedy_frames_{row}"].tolist())
    yield from _backend(z, made, BACKEND, IntegerBackend(made))
    if not installed("onnx"):
        yield skipped("transducer", GRAPHS, "onnx is not installed")
        return
    from export.build import build_integers

    graphs = build_integers(made, inside=True)
    yield from _backend(z, made, GRAPHS, OnnxBackend(network, graphs))


def _backend(z: Arrays, made: IntegerNetwork, name: str, backend: Backend) -> Iterator[Row]:
    """Hold a backend against the file."""
    encoder, state = backend.initial_state(len(z["z"]))
    f, encoder = backend.encode(z["z"], encoder, z["present"])
    yield _equal("e", name, np.ldexp(f, made.joint_encoder.exponent), z["e"])
    start = np.full((len(f), 1), made.specification.blank)
    outputs = []
    for token in np.concatenate([start, z["tokens"]], axis=1).T:
        g, state = backend.predict(token, state)
        outputs.append(g)
    of_prediction = np.stack(outputs, axis=1)
    yield _equal("g", name, np.ldexp(of_prediction, made.joint_prediction.exponent), z["g"])
    leaves = _leaves(encoder) + _leaves(state)
    states = [
        f"{stack}.{n}.{leaf}"
        for stack in ("pre", "post", "prediction")
        for n in range(len(getattr(made, stack)))
        for leaf in "hc"
    ]
    for key, leaf in zip(states, leaves, strict=True):
        yield _equal(f"last {key}", name, leaf, z[key][:, -1])
    pairs = np.broadcast_arrays(f[:, :, None], of_prediction[:, None])
    flat = (np.ascontiguousarray(each).reshape(-1, each.shape[-1]) for each in pairs)
    values = np.ldexp(backend.join(*flat), made.joint_output.exponent)
    yield _equal("logits", name, values.reshape(z["logits"].shape), z["logits"])
    greedy = Greedy(backend)
    found, _ = greedy.step(f, greedy.initial_state(len(f)))
    for row, tokens in enumerate(found):
        want = z[f"greedy_tokens_{row}"].tolist()
        yield exact(f"greedy {row}", name, [token.id for token in tokens], want)
        want = z[f"greedy_frames_{row}"].tolist()
        yield exact(f"greedy {row} frames", name, [token.step for token in tokens], want)


def _leaves(state: State) -> list[Any]:
    """Return the arrays of a state as integers, those of a graph less their zero point."""
    leaves: list[Any] = []
    map_state(leaves.append, state)
    return [leaf.astype(np.int64) - (ZERO if leaf.dtype == np.uint8 else 0) for leaf in leaves]
