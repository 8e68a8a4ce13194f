"""The integer rules with every choice in them open: one function a rule, each choice a field of `Rules`.

`Rules()` is the specification, that of `stream.integer.fixed`; `hwckpt.conformance.board.faults` has others. Rules by
number: docs/integer.md and docs/integer-front-end.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwckpt.hardware_bundle import Bundle, LayerEntry
from stream.integer import fixed

Ints = NDArray[Any]  # of integers
Rounding = Callable[[Ints, int], Ints]
GATES = "ifgo"


def half_up(a: Ints, s: int) -> Ints:
    """Return a / 2^s, halves rounded up."""
    rounded: Ints = a if s == 0 else (a + (1 << (s - 1))) >> s
    return rounded


def half_away(a: Ints, s: int) -> Ints:
    """Return a / 2^s, halves rounded away from zero."""
    rounded: Ints = np.sign(a) * half_up(np.abs(a), s)
    return rounded


def downwards(a: Ints, s: int) -> Ints:
    """Return a / 2^s rounded down, as a shift does alone."""
    return a >> s


def to_zero(a: Ints, s: int) -> Ints:
    """Return a / 2^s rounded to zero, as C's division does."""
    rounded: Ints = np.sign(a) * (np.abs(a) >> s)
    return rounded


ROUNDINGS: Mapping[str, Rounding] = {
    "half to even": fixed.rhe,
    "half up": half_up,
    "half away from zero": half_away,
    "down": downwards,
    "to zero": to_zero,
}


def wrapped(a: Ints, bits: int) -> Ints:
    """Return the low bits as a signed integer, as a register keeps them."""
    half = 1 << (bits - 1)
    return ((a + half) & ((1 << bits) - 1)) - half


@dataclass(frozen=True)
class Rules:
    """Every choice that the rules make; an attribute that is named after a value is its rounding.

    Attributes:
        z, c, h, e, a, x: roundings, names of `ROUNDINGS`.
        shifts: how far the right shift of a value is off, by its name; of `x` and `h` in front, the left shift
            of that product.
        wraps: values that wrap around instead of saturating.
        gates: the order in which the rows of an LSTM layer are taken.
        one: the most of a sigmoid.
        cell_clamped: whether h is of clamp(c).
        bias: factor of it.
        unsigned: operands of products that are taken as unsigned bytes: "weights", "x", "h".
        signed_a: whether the joint's hidden vector is taken as signed.
        transposed: whether W_hh is.
        without: of a layer: "x", "h" or "c", which is taken as zeros.
        in_place: whether rows read the h that rows before them have written.
        relu: of the joint.
        most_a: the most of the joint's hidden vector.
        newer_first: whether the newer frame of a pair comes first.
        old_statistics: whether a frame is normalised before it updates the statistics.
        updates: whether statistics are updated.
        gated: whether the gate keeps frames from them.
        inclusive: whether a frame that just reaches a threshold is a tone, or speech.
        old_gain: whether the gain is that of the state before the frame.
        gain_bounded: whether it is kept within 0 and its most.
        tones_silenced: whether tones are taken out.
    """

    z: str = "half to even"
    c: str = "half to even"
    h: str = "half to even"
    e: str = "half to even"
    a: str = "half to even"
    x: str = "half to even"
    lift: str = "half to even"
    level: str = "half to even"
    mean: str = "half to even"
    variance: str = "half to even"
    shifts: Mapping[str, int] | None = None
    wraps: frozenset[str] = frozenset()
    gates: str = GATES
    one: int = fixed.ONE_Q15
    cell_clamped: bool = True
    bias: int = 1
    unsigned: frozenset[str] = frozenset()
    signed_a: bool = False
    transposed: bool = False
    without: str = ""
    in_place: bool = False
    relu: bool = True
    most_a: int = fixed.UNSIGNED_MOST
    newer_first: bool = False
    old_statistics: bool = False
    updates: bool = True
    gated: bool = True
    inclusive: bool = False
    old_gain: bool = False
    gain_bounded: bool = True
    tones_silenced: bool = True

    def rounded(self, name: str, a: Ints, s: int) -> Ints:
        """Round a value by its name."""
        shift = s + (self.shifts or {}).get(name, 0)
        return ROUNDINGS[getattr(self, name)](a, shift) if shift >= 0 else a << -shift

    def left(self, name: str, a: Ints, s: int) -> Ints:
        """Shift a product left."""
        shift = s + (self.shifts or {}).get(f"{name} product", 0)
        return a << shift if shift >= 0 else a >> -shift

    def narrow(self, name: str, a: Ints, bits: int) -> Ints:
        """Saturate a value by its name."""
        return wrapped(a, bits) if name in self.wraps else fixed.saturate(a, bits)

    def operand(self, name: str, a: Ints) -> Ints:
        """Return an operand of a product as it is taken."""
        wide = a.astype(np.int64)
        return wide & 255 if name in self.unsigned else wide


def lstm(
    bundle: Bundle, layer: LayerEntry, x: Ints, h: Ints, c: Ints, rules: Rules
) -> dict[str, Ints]:
    """Compute one step of an LSTM layer, x (I,), h and c (H,) (rule 3): acc, z, c, h."""
    weights = {
        key: rules.operand("weights", bundle.array(f"{layer.name}.{key}"))
        for key in ("weight_ih", "weight_hh")
    }
    if rules.transposed:
        blocks = weights["weight_hh"].reshape(4, layer.outputs, layer.outputs)
        weights["weight_hh"] = blocks.transpose(0, 2, 1).reshape(-1, layer.outputs)
    bias = rules.bias * bundle.array(f"{layer.name}.bias").astype(np.int64)
    if rules.newer_first:
        x = np.concatenate(np.split(x, 2)[::-1])
    taken = {"x": x, "h": h, "c": c.astype(np.int64)}
    if rules.without:
        taken[rules.without] = np.zeros_like(taken[rules.without])
    of_x = rules.left("x", weights["weight_ih"] @ rules.operand("x", taken["x"]), layer.shift_x)

    def finish(hidden: Ints) -> dict[str, Ints]:
        of_h = rules.left("h", weights["weight_hh"] @ rules.operand("h", hidden), layer.shift_h)
        acc = of_x + of_h + bias
        z = rules.narrow("z", rules.rounded("z", acc, layer.shift), 16)
        parts = dict(zip(rules.gates, np.split(z, 4), strict=True))
        i, f, o = (np.clip(parts[gate] + fixed.HALF_Q15, 0, rules.one) for gate in "ifo")
        p = f * taken["c"] + i * fixed.hard_tanh(parts["g"])
        cell = rules.narrow("c", rules.rounded("c", p, fixed.GATE_BITS), 16)
        u = o * (fixed.hard_tanh(cell) if rules.cell_clamped else cell)
        after = rules.narrow("h", rules.rounded("h", u, fixed.HIDDEN_SHIFT), 8)
        return {"acc": acc, "z": z, "c": cell, "h": after}

    values = finish(taken["h"])
    if not rules.in_place:
        return values
    hidden, cell = taken["h"].astype(np.int64), np.zeros_like(taken["c"])
    for unit in range(layer.outputs):
        of_unit = finish(hidden)
        hidden[unit], cell[unit] = of_unit["h"][unit], of_unit["c"][unit]
    return {**values, "c": cell, "h": hidden}


def projection(bundle: Bundle, layer: LayerEntry, h: Ints, rules: Rules) -> dict[str, Ints]:
    """Compute one projection of h (rule 5): acc, e."""
    weight = rules.operand("weights", bundle.array(f"{layer.name}.weight"))
    bias = rules.bias * bundle.array(f"{layer.name}.bias").astype(np.int64)
    acc = rules.left("x", weight @ rules.operand("x", h), layer.shift_x) + bias
    return {"acc": acc, "e": rules.narrow("e", rules.rounded("e", acc, layer.shift), 16)}


def joint(bundle: Bundle, e: Ints, g: Ints, rules: Rules) -> dict[str, Ints]:
    """Compute the joint's hidden vector of e and g (rule 6): a."""
    total = e.astype(np.int64) + g
    positive = np.maximum(total, 0) if rules.relu else total
    a = rules.rounded("a", positive, fixed.JOINT_SHIFT)
    return {"a": (a if "a" in rules.wraps else np.minimum(a, rules.most_a)) & 255}


def output(bundle: Bundle, layer: LayerEntry, a: Ints, rules: Rules) -> dict[str, Ints]:
    """Compute the logits of a (rule 7)."""
    weight = rules.operand("weights", bundle.array(f"{layer.name}.weight"))
    taken = wrapped(a.astype(np.int64), 8) if rules.signed_a else a.astype(np.int64)
    bias = rules.bias * bundle.array(f"{layer.name}.bias").astype(np.int64)
    return {"logits": (weight @ taken << layer.shift_x) + bias}
