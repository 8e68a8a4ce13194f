"""Fixed point: the integer arithmetic of a model, one operator per rule. This file is the specification.

Rules by number: docs/integer.md. Arrays are NumPy int64, (B, ...) with the batch first; smaller types
are taken and widened. No value leaves int32 (rule 9), so the operators give the same on int32
arrays, which `stream.backends.integer` makes use of. Slow: NumPy multiplies int64 matrices without BLAS.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stream.integer.network import IntegerLayer, IntegerLinear
from stream.stage import Mask

Ints: TypeAlias = NDArray[Any]  # of integers

ONE_Q15 = 32768  # 1 as a gate; kept, for a forget gate of 1 holds the cell
HALF_Q15 = 16384
ONE_Q12 = 4096  # 1 as a cell
GATE_BITS = 15  # fraction bits of a gate
HIDDEN_SHIFT = 20  # 15 of the gate and 12 of the cell to 7 of h
JOINT_SHIFT = 6  # from e and g to the joint's hidden vector
UNSIGNED_MOST = 255


def rhe(a: Ints, s: int) -> Ints:
    """Return a / 2^s, rounded half to even."""
    if s == 0:
        return a
    rounded: Ints = (a + ((1 << (s - 1)) - 1) + ((a >> s) & 1)) >> s
    return rounded


def saturate(a: Ints, bits: int) -> Ints:
    """Return a, clamped to what a signed integer of so many bits holds."""
    return _clamp(a, -(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def quantise_input(z: NDArray[np.floating[Any]], exponent: int) -> Ints:
    """Return normalised log-mel, finite, as int8 values (rule 2)."""
    return saturate(np.rint(np.ldexp(z, exponent)), 8).astype(np.int64)


def gate_sums(layer: IntegerLayer, x: Ints, h: Ints) -> Ints:
    """Return the accumulators (B, 4H) of an LSTM layer (rule 3).

    Args:
        x: (B, I) int8 values.
        h: (B, H) int8 values.
    """
    of_x: Ints = _wide(x) @ _wide(layer.weight_ih).T
    of_h: Ints = _wide(h) @ _wide(layer.weight_hh).T
    return _wide((of_x << layer.shift_x) + (of_h << layer.shift_h) + layer.bias)


def gate_inputs(acc: Ints, shift: int) -> Ints:
    """Return z, int16 values, Q12, of the accumulators (rule 3).

    Args:
        shift: S, from the accumulators to Q12.
    """
    return saturate(rhe(acc, shift), 16)


def hard_sigmoid(z: Ints) -> Ints:
    """Return clamp(z / 8 + 1/2, 0, 1) in Q15 of z in Q12 (rule 3): the slope is the change of scale."""
    return _clamp(z + HALF_Q15, 0, ONE_Q15)


def hard_tanh(z: Ints) -> Ints:
    """Return clamp(z, -1, 1) in Q12 (rule 3)."""
    return _clamp(z, -ONE_Q12, ONE_Q12)


class CellValues(NamedTuple):
    """All values of one step of a cell, (B, H) each (rule 3).

    Attributes:
        i, f, g, o: gates; g Q12, the others Q15.
        p: f c + i g, Q27.
        c: the cell after, int16, Q12.
        u: o times the clamped cell, Q27.
        h: the hidden state after, int8, Q7.
    """

    i: Ints
    f: Ints
    g: Ints
    o: Ints
    p: Ints
    c: Ints
    u: Ints
    h: Ints


def cell_values(z: Ints, c: Ints) -> CellValues:
    """Return all values of one step of a cell (rule 3).

    Args:
        z: (B, 4H) inputs of the gates i, f, g, o.
        c: (B, H) the cell before, int16 values, Q12.
    """
    z_i, z_f, z_g, z_o = np.split(z, 4, axis=-1)
    i, f, g, o = hard_sigmoid(z_i), hard_sigmoid(z_f), hard_tanh(z_g), hard_sigmoid(z_o)
    p = f * c + i * g
    after = saturate(rhe(p, GATE_BITS), 16)
    u = o * hard_tanh(after)
    return CellValues(i, f, g, o, p, after, u, saturate(rhe(u, HIDDEN_SHIFT), 8))


def lstm_cell(acc: Ints, c: Ints, shift: int) -> tuple[Ints, Ints]:
    """Return h and c after a step (rule 3).

    Args:
        acc: (B, 4H) accumulators.
        c: (B, H) the cell before.
        shift: as of `gate_inputs`.
    """
    values = cell_values(gate_inputs(acc, shift), c)
    return values.h, values.c


def lstm_step(layer: IntegerLayer, x: Ints, h: Ints, c: Ints) -> tuple[Ints, Ints]:
    """Return h and c of an LSTM layer after one frame (rule 3); arguments as `gate_sums`."""
    return lstm_cell(gate_sums(layer, x, h), _wide(c), layer.shift)


def pair(older: Ints, newer: Ints, present: Mask) -> Ints:
    """Join two frames of h, (B, H) each, the older first; an absent newer one is 0 (rule 4).

    Args:
        present: (B,) whether the newer one lies within the stream.
    """
    return np.concatenate([older, np.where(present[:, None], newer, 0)], axis=1)


def accumulate(linear: IntegerLinear, x: Ints) -> Ints:
    """Return the accumulators (B, N) of a linear layer (rules 5 and 7); x is (B, K)."""
    product: Ints = _wide(x) @ _wide(linear.weight).T
    return _wide((product << linear.shift_in) + linear.bias)


def project(linear: IntegerLinear, h: Ints) -> Ints:
    """Return e, or g, (B, J) int16 values, of h (rule 5)."""
    return saturate(rhe(accumulate(linear, h), linear.shift_out), 16)


def joint_hidden(e: Ints, g: Ints) -> Ints:
    """Return the joint's hidden vector, (B, J) u8 values (rule 6)."""
    return _clamp(rhe(np.maximum(_wide(e) + g, 0), JOINT_SHIFT), 0, UNSIGNED_MOST)


def logits(linear: IntegerLinear, a: Ints) -> Ints:
    """Return the logits, (B, C) int32 values, of the hidden vector (rule 7)."""
    return accumulate(linear, a)


def best_class(values: Ints) -> Ints:
    """Return the class of the largest logit of each row, the lowest on ties (rule 7)."""
    best: Ints = values.argmax(axis=-1)
    return best


def _wide(a: Ints) -> Ints:
    return a.astype(np.int64)


def _clamp(a: Ints, low: int, high: int) -> Ints:
    clamped: Ints = np.clip(a, low, high)
    return clamped
