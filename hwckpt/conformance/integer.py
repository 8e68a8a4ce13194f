"""Vectors of the integer arithmetic: `stream.integer.fixed`, the integer backend and its ONNX graphs, every bit.

Rules by number: docs/integer.md. Inputs, weights and sizes are random; directed values reach every
saturation and every rounding tie of the rules, which random ones hardly do. A directed layer has them in
its biases: its first frame is zeros, so that its accumulators are its biases, on both sides of every
bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwckpt.conformance.comparison import (
    Arrays,
    Kind,
    Rng,
    Row,
    Vectors,
    compare,
    computed,
    on_each,
)
from stream.backends.integer import BlasLayer, BlasLinear
from stream.backends.integer_onnx import graph_state
from stream.backends.session import open_session
from stream.integer import fixed
from stream.integer import network as integer
from stream.integer.network import IntegerLayer, IntegerLinear

Ints = NDArray[np.int64]

FIXED, BACKEND, GRAPHS = "fixed", "integer", "integer-onnx"
ZERO = 128  # of signed activations in graphs
JOINT = 10  # exponent of e and g; it changes no integer
LAYER = ("weight_ih", "weight_hh", "bias", "shift_x", "shift_h", "shift", "bound")
LINEAR = ("weight", "bias", "shift_in", "shift_out", "exponent", "bound")

ROWS, FRAMES = 3, 6
OPEN, CLOSED = 16384, -16384  # z of a gate of 1 and of 0
ONE = 4096  # z of a candidate of 1; a cell of 1
PARITIES = (0, 1, -2, -1)  # quotients that are even, odd, and so below zero
TYPES = {"z": np.int16, "g": np.int16, "c": np.int16, "h": np.int8, "e": np.int16, "a": np.uint8}


def _narrow(values: Arrays) -> dict[str, Any]:
    """Return arrays as the types that files have them in."""
    return {name: value.astype(TYPES.get(name, np.int32)) for name, value in values.items()}


def _weights(rng: Rng) -> dict[str, Any]:
    """Draw tensors of both widths."""
    tie = np.array([[n + 0.5 for n in PARITIES] + [6.5, -6.5, 0.0]], np.float32)
    size = tuple(int(n) for n in rng.integers(4, 9, 2))
    cases: list[tuple[Any, int]] = []
    for bits in (8, 4):
        most = 2 ** (bits - 1)
        noise = rng.normal(0.0, 0.2, size)
        cases += [
            (noise, bits),
            (noise * 2.0**-19, bits),
            (noise * 2.0**22, bits),
            (np.zeros(size), bits),
            # The largest weight is a power of two, which is cut to the largest integer; so is what
            # rounds to it.
            (np.append(tie, [[most, -most, most - 0.5, 0.5 - most]], axis=1) / 2.0**9, bits),
            (np.append(tie, [[most - 1.0, 0.0]], axis=1) / 2.0**5, bits),
            (np.append(tie, [[most + 0.5, 0.0]], axis=1) / 2.0**5, bits),
        ]
    arrays: dict[str, Any] = {"num": len(cases)}
    for n, (weight, bits) in enumerate(cases):
        arrays |= {f"weight_{n}": np.asarray(weight, np.float32), f"bits_{n}": bits}
    return arrays


def _quantised(z: Arrays) -> dict[str, Any]:
    """Rule 1."""
    values: dict[str, Any] = {}
    for n in range(z["num"]):
        q, exponent = integer.quantise_weight(z[f"weight_{n}"], z[f"bits_{n}"])
        values |= {f"q_{n}": q, f"exponent_{n}": exponent}
    return values


def _inputs(rng: Rng) -> dict[str, Any]:
    """Draw inputs of exponents from the least to the most."""
    ties = [*PARITIES, 126, 127, -127, -128, -129]
    steps = np.array([n + 0.5 for n in ties] + [127.0, 127.4, 200.0, -128.0, -128.6, -200.0])
    arrays: dict[str, Any] = {"num": 3}
    for n, exponent in enumerate((0, 4, 7)):
        z = np.concatenate([steps, rng.normal(0.0, 60.0, 40)]) / 2.0**exponent
        arrays |= {f"z_{n}": z.astype(np.float32), f"exponent_{n}": exponent}
    return arrays


def _quantised_inputs(z: Arrays) -> dict[str, Any]:
    """Rule 2."""
    exponents = {n: z[f"exponent_{n}"] for n in range(z["num"])}
    return {f"x_{n}": fixed.quantise_input(z[f"z_{n}"], e) for n, e in exponents.items()}


def _noise(rng: Rng, shape: tuple[int, ...], bits: int, gain: float = 1.0) -> NDArray[np.int8]:
    """Draw integers of so many bits that hardly saturate with a gain of 1."""
    largest = 2 ** (bits - 1) - 1
    drawn = np.rint(rng.normal(0.0, gain * largest / 3, shape))
    return np.clip(drawn, -largest, largest).astype(np.int8)


def _layer(
    rng: Rng,
    bias: Ints,
    shifts: tuple[int, int, int],
    bits: int = 8,
    gain: float = 1.0,
) -> IntegerLayer:
    """Draw a layer around a bias, (4H,); shifts are those of x, of h, and of the accumulator."""
    inputs, hidden = int(rng.integers(5, 12)), len(bias) // 4
    weight_ih = _noise(rng, (4 * hidden, inputs), bits, gain)
    weight_hh = _noise(rng, (4 * hidden, hidden), bits, gain)
    bound = _layer_bound(weight_ih, weight_hh, bias, *shifts[:2])
    _prove(bound, shifts[2])
    return IntegerLayer(weight_ih, weight_hh, bias.astype(np.int32), *shifts, bound)


def _layer_bound(weight_ih: Any, weight_hh: Any, bias: Any, shift_x: int, shift_h: int) -> Ints:
    products = ((weight_ih, shift_x), (weight_hh, shift_h))
    return integer.accumulator_bound(bias, products, integer.SIGNED).astype(np.int64)


def _prove(bound: Ints, shift: int) -> None:
    if bound.max() + (1 << (shift + 14)) + (1 << shift) >= integer.ACCUMULATOR:
        raise ValueError("a vector's accumulator may overflow: rule 9")


def _steps(layer: IntegerLayer, z: Arrays) -> dict[str, Ints]:
    """Run a layer over the frames of x from its state; returns all values of all frames (rule 3)."""
    h, c = z["h0"].astype(np.int64), z["c0"].astype(np.int64)
    frames = []
    for frame in z["x"]:
        acc = fixed.gate_sums(layer, frame, h)
        inner = fixed.gate_inputs(acc, layer.shift)
        values = fixed.cell_values(inner, c)
        h, c = values.h, values.c
        frames.append({"acc": acc, "z": inner, **values._asdict()})
    return {name: np.stack([frame[name] for frame in frames]) for name in frames[0]}


def _with_steps(layer: IntegerLayer, x: Ints, h: Ints, c: Ints) -> dict[str, Any]:
    given = {**vars(layer), "x": x.astype(np.int8), "h0": h.astype(np.int8)}
    given["c0"] = c.astype(np.int16)
    return given | _narrow(_steps(layer, given))


def _check_lstm(z: Vectors) -> Iterator[Row]:
    """Check a layer from a given state, every value of every frame (rules 3 and 9)."""
    layer = IntegerLayer(**{name: z[name] for name in LAYER})
    bound = _layer_bound(*(z[name] for name in LAYER[:5]))
    yield from z.close(FIXED, {"bound": bound} | _steps(layer, z))
    h, c = z["h0"].astype(np.int64), z["c0"].astype(np.int64)
    for frame, h_after, c_after in zip(z["x"], z["h"], z["c"], strict=True):
        h, c = fixed.lstm_step(layer, frame, h, c)
        if not (np.array_equal(h, h_after) and np.array_equal(c, c_after)):
            yield compare("step", FIXED, np.stack([h, c]), np.stack([h_after, c_after]), 0.0)
    y, (_, c) = BlasLayer(layer).step(z["x"].transpose(1, 0, 2), (z["h0"], z["c0"]))
    yield compare("h", BACKEND, y.transpose(1, 0, 2), z["h"], 0.0)
    yield compare("last c", BACKEND, c, z["c"][-1], 0.0)
    yield from on_each("LSTM", (GRAPHS,), lambda name: z.close(name, _graph(layer, z)))


def _graph(layer: IntegerLayer, z: Arrays) -> dict[str, Any]:
    from export.onnx.lstm import layer_graph

    session = open_session(layer_graph(layer))
    h, c = graph_state((z["h0"], z["c0"]))
    states = []
    for frame in z["x"]:
        inputs = {"x": _unsigned(frame), "h.0": h, "c.0": c}
        h, c = session.run(["h.0.after", "c.0.after"], inputs)
        states.append((h, c))
    h, c = (np.stack(leaf) for leaf in zip(*states, strict=True))
    return {"h": h.astype(np.int64) - ZERO, "c": c}


def _unsigned(values: Any) -> Any:
    """Return int8 values as graphs have them."""
    return (values.astype(np.int16) + ZERO).astype(np.uint8)


def _int8(rng: Rng, *shape: int) -> Ints:
    """Draw int8 values, both ends among them."""
    drawn = np.clip(np.rint(rng.normal(0.0, 50.0, shape)), -128, 127).astype(np.int64)
    drawn.flat[:2] = -128, 127
    return drawn


def _make_lstm(
    rng: Rng, folder: Path, shifts: tuple[int, int, int], bits: int = 8, gain: float = 1.0
) -> dict[str, Any]:
    """Draw a layer; shifts are those of x, of h, and of the accumulator."""
    hidden = int(rng.integers(6, 14))
    bias = np.rint(rng.normal(0.0, gain * 2048.0 * 2.0 ** shifts[2], 4 * hidden)).astype(np.int64)
    layer = _layer(rng, bias, shifts, bits, gain)
    x = _int8(rng, FRAMES, ROWS, layer.weight_ih.shape[1])
    c = rng.integers(-32768, 32768, (ROWS, hidden))
    return _with_steps(layer, x, _int8(rng, ROWS, hidden), c)


def _make_directed_lstm(rng: Rng, folder: Path) -> dict[str, Any]:
    """Make every tie and bound of rule 3, a unit each; row 0 begins with their cells."""
    shift = int(rng.integers(2, 7))
    units = np.array(_units(rng, shift))
    layer = _layer(rng, units[:, :4].T.ravel(), (1, 0, shift), gain=0.3)
    x = _int8(rng, FRAMES, ROWS, layer.weight_ih.shape[1])
    x[0] = 0
    c = rng.integers(-32768, 32768, (ROWS, len(units)))
    c[0] = units[:, 4]
    return _with_steps(layer, x, np.zeros((ROWS, len(units)), np.int64), c)


def _units(rng: Rng, shift: int) -> list[tuple[int, ...]]:
    """Return the accumulators of i, f, g, o and the cell before of each unit."""
    units: list[tuple[int, ...]] = []

    def unit(c: int = 0, /, **gates: int) -> None:
        """Add a unit by the z of its gates; those not named are open, g is 1."""
        z = {"i": OPEN, "f": OPEN, "g": ONE, "o": OPEN} | gates
        units.append((*(value << shift for value in z.values()), c))

    def exactly(gate: str, acc: int) -> None:
        """Add a unit by the accumulator of one gate."""
        unit()
        units[-1] = tuple(
            acc if name == gate else a for name, a in zip("ifgoc", units[-1], strict=True)
        )

    half, even = 1 << (shift - 1), 2 * int(rng.integers(100, 1000))
    for gate in "ifgo":
        for quotient in (even, even + 1, -even, -even - 1):
            exactly(gate, (quotient << shift) + half)
        for z in (32767, 32768, 40000, -32768, -32769, -40000):
            exactly(gate, z << shift)
        exactly(gate, (32767 << shift) + half)  # a tie that rounds into saturation
        exactly(gate, (-32769 << shift) + half)  # and one that does not
        bound = ONE if gate == "g" else OPEN
        for z in (bound - 1, bound, bound + 1, -bound - 1, -bound, -bound + 1):
            unit(**{gate: z})
    far = int(rng.integers(20, 500))
    for parity in PARITIES:
        quotient = parity + (2 * far if parity >= 0 else -2 * far)
        unit(2 * quotient + 1, f=0, i=CLOSED)  # p = f c
        unit(f=CLOSED, i=0, g=2 * quotient + 1)  # p = i g
        # u of a cell of (2 q + 1) 16 at an open output gate
        quotient = parity + (100 if parity >= 0 else -100)
        unit(32 * quotient + 16, i=CLOSED)
    for c, g in ((32767, 1), (32767, ONE), (-32768, -1), (-32768, -ONE)):
        unit(c, g=g)  # beyond int16
        unit(c, g=0)  # just not
    for c in (4063, 4064, 4079, 4080, 4081, 4095, 4096, 4097, 5000):
        unit(c, i=CLOSED)  # h about 127
        unit(-c, i=CLOSED)  # h about -128
    for c in (100, -100):
        unit(c, f=OPEN - 1, i=CLOSED)  # 1 - 2^-15 holds a small cell too
    return units


def _linear(z: Arrays) -> IntegerLinear:
    return IntegerLinear(**{name: z[name] for name in LINEAR})


def _projected(linear: IntegerLinear, h: Any) -> dict[str, Ints]:
    return {"acc": fixed.accumulate(linear, h), "e": fixed.project(linear, h)}


def _linear_bound(weight: Any, bias: Any, shift_in: int, most: int) -> Ints:
    return integer.accumulator_bound(bias, ((weight, shift_in),), most).astype(np.int64)


def _projection(rng: Rng, bias: Ints, shift_in: int, shift_out: int) -> dict[str, Any]:
    """Draw a projection around a bias, (N,); the first row of h is zeros."""
    inputs = int(rng.integers(5, 14))
    weight = _noise(rng, (len(bias), inputs), 8)
    bound = _linear_bound(weight, bias, shift_in, integer.SIGNED)
    _prove(bound, shift_out)
    exponent = int(rng.integers(6, 12))
    linear = IntegerLinear(weight, bias.astype(np.int32), shift_in, shift_out, exponent, bound)
    h = _int8(rng, 2 * ROWS, inputs)
    h[0] = 0
    return {**vars(linear), "h": h.astype(np.int8)} | _narrow(_projected(linear, h))


def _make_directed_projection(rng: Rng, folder: Path) -> dict[str, Any]:
    """Make every tie and bound of rule 5, an output each."""
    shift = int(rng.integers(2, 7))
    half, even = 1 << (shift - 1), 2 * int(rng.integers(100, 1000))
    ties = [((q << shift) + half) for q in (even, even + 1, -even, -even - 1, 32767, -32769)]
    bounds = [q << shift for q in (32766, 32767, 32768, 50000, -32767, -32768, -32769, -50000)]
    return _projection(rng, np.array(ties + bounds), 0, shift)


def _make_projection(rng: Rng, folder: Path, shift_in: int, shift_out: int) -> dict[str, Any]:
    outputs = int(rng.integers(6, 14))
    bias = rng.integers(-20000 << shift_out, 20000 << shift_out, outputs)
    return _projection(rng, bias, shift_in, shift_out)


def _check_projection(z: Vectors) -> Iterator[Row]:
    """Check e of h (rules 5 and 9)."""
    linear = _linear(z)
    bound = _linear_bound(z["weight"], z["bias"], z["shift_in"], integer.SIGNED)
    yield from z.close(FIXED, {"bound": bound} | _projected(linear, z["h"]))
    yield from z.close(BACKEND, {"e": BlasLinear(linear).project(z["h"])})

    def graph(backend: str) -> Iterator[Row]:
        from export.onnx.integer import projection_graph

        (e,) = open_session(projection_graph(linear)).run(["e"], {"h": _unsigned(z["h"])})
        return z.close(backend, {"e": np.ldexp(e, linear.exponent)})

    yield from on_each("projection", (GRAPHS,), graph)


def _joined(linear: IntegerLinear, z: Arrays) -> dict[str, Ints]:
    a = fixed.joint_hidden(z["e"], z["g"])
    values = fixed.logits(linear, a)
    return {"a": a, "logits": values, "best": fixed.best_class(values)}


def _make_joint(rng: Rng, folder: Path) -> dict[str, Any]:
    """Draw a joint: the first row of sums is directed, in the second all logits are biases."""
    quotients = (4, 5, 254, 255, 256)  # 64 (q + 1/2) is a tie
    sums = [64 * q + 32 + d for q in quotients for d in (-1, 0, 1)]
    sums += [0, -1, 1, 31, 32, 33, -32, -64, 65534, -65536, 40000]
    size = len(sums) + int(rng.integers(0, 6))
    total = np.clip(np.rint(rng.normal(2000.0, 6000.0, (2 * ROWS, size))), -65536, 65534)
    total = total.astype(np.int64)
    total[0, : len(sums)] = sums
    total[1] = -np.abs(total[1])
    e = total // 2
    e[2:] = np.clip(rng.integers(-9000, 9000, e[2:].shape), total[2:] - 32767, total[2:] + 32768)
    classes = int(rng.integers(8, 15))
    weight = _noise(rng, (classes, size), 8)
    bias = rng.integers(-50000, 50000, classes)
    first, second = sorted(rng.choice(classes, 2, replace=False).tolist())
    weight[second] = weight[first]  # so their logits are equal everywhere
    bias[[first, second]] = 50000  # and the largest in the second row
    bound = _linear_bound(weight, bias, 0, integer.UNSIGNED)
    _prove(bound, 0)
    linear = IntegerLinear(weight, bias.astype(np.int32), 0, 0, 10, bound)
    given = {**vars(linear), "e": e.astype(np.int16), "g": (total - e).astype(np.int16)}
    values = _joined(linear, given)
    return given | _narrow(values) | {"best": values["best"]}


def _check_joint(z: Vectors) -> Iterator[Row]:
    """Check the hidden vector, logits, and the best class (rules 6, 7 and 9)."""
    linear = _linear(z)
    bound = _linear_bound(z["weight"], z["bias"], 0, integer.UNSIGNED)
    yield from z.close(FIXED, {"bound": bound} | _joined(linear, z))
    yield from z.close(BACKEND, {"logits": BlasLinear(linear).accumulate(z["a"])})

    def graph(backend: str) -> Iterator[Row]:
        from export.onnx.joint import joint_graph

        session = open_session(joint_graph(linear, JOINT))
        e, g = (np.ldexp(z[key].astype(np.float32), -JOINT) for key in "eg")
        (logits,) = session.run(["logits"], {"f": e, "g": g})
        return z.close(backend, {"logits": np.ldexp(logits, linear.exponent)})

    yield from on_each("joint", (GRAPHS,), graph)


KINDS = (
    computed("integer_weights*.npz", FIXED, _quantised, 0.0, {"integer_weights.npz": _weights}),
    computed(
        "integer_input*.npz",
        FIXED,
        _quantised_inputs,
        0.0,
        {"integer_input.npz": _inputs},
        stored=lambda inputs: {name: x.astype(np.int8) for name, x in inputs.items()},
    ),
    Kind(
        "integer_lstm_*.npz",
        _check_lstm,
        {
            "integer_lstm_directed.npz": _make_directed_lstm,
            "integer_lstm_plain.npz": partial(_make_lstm, shifts=(0, 0, 3)),
            "integer_lstm_shift_x.npz": partial(_make_lstm, shifts=(3, 0, 2)),
            "integer_lstm_shift_h.npz": partial(_make_lstm, shifts=(0, 2, 5)),
            "integer_lstm_unshifted.npz": partial(_make_lstm, shifts=(2, 1, 0)),
            "integer_lstm_saturating.npz": partial(_make_lstm, shifts=(1, 0, 1), gain=3.0),
            "integer_lstm_4bit.npz": partial(_make_lstm, shifts=(4, 0, 1), bits=4),
        },
    ),
    Kind(
        "integer_projection_*.npz",
        _check_projection,
        {
            "integer_projection_directed.npz": _make_directed_projection,
            "integer_projection_shift_in.npz": partial(_make_projection, shift_in=2, shift_out=0),
            "integer_projection_shift_out.npz": partial(_make_projection, shift_in=0, shift_out=3),
        },
    ),
    Kind("integer_joint*.npz", _check_joint, {"integer_joint.npz": _make_joint}),
)
