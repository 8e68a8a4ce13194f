"""The point-wise half of a step of the integer LSTM, forward and backward, as fused kernels.

Rule 3 of docs/integer.md on int32, int16 and int8 arrays; it must equal `stream.integer.fixed`. Each sum
and product is cast to int32, which never overflows (rule 9). Numba would otherwise use int64, halving the
SIMD lanes. In the backward pass the derivative of every rounding is 1.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from train.encoders.compiled_cells import quarters

_jit: Any = numba.njit(cache=True, error_model="numpy")
_float_jit: Any = numba.njit(cache=True, fastmath={"contract", "nsz"}, error_model="numpy")
_int32 = np.int32

HALF = np.int32(16384)  # of a gate, Q15
ONE = np.int32(32768)  # a gate's 1, Q15
UNIT = np.int32(4096)  # 1 of g and of the cell, Q12
LEAST, MOST = np.int32(-32768), np.int32(32767)  # int16


@_jit
def _clamp(a: Any, low: Any, high: Any) -> Any:
    return low if a < low else (high if a > high else a)


@_jit
def _gate_input(x: Any, h: Any, bias: Any, left_x: Any, left_h: Any, right: Any) -> Any:
    """Return z, int16 values in Q12, of the two products of a unit and a gate."""
    acc = _int32(_int32(_int32(x << left_x) + _int32(h << left_h)) + bias)
    # rhe(acc, right); right = 0 adds nothing
    odd = _int32(_int32(acc >> right) & _int32(right > 0))
    below = _int32(_int32(_int32(1 << right) >> 1) - _int32(right > 0))
    return _clamp(_int32(_int32(_int32(acc + below) + odd) >> right), LEAST, MOST)


@_jit
def cell(
    share: Any,
    product: Any,
    bias: Any,
    left_x: Any,
    left_h: Any,
    right: Any,
    c: Any,
    z: Any,
    c_new: Any,
    h_new: Any,
) -> None:
    """Turn the two products of a step into the gates' inputs, the cell and the hidden state.

    Args:
        share, product: (B, 4H) int32, W_ih x and W_hh h.
        bias: (4H,) int32.
        left_x, left_h, right: shifts, int32.
        c: (B, H) int16, before.
        z, c_new, h_new: written; (B, 4H) int16, (B, H) int16, (B, H) int8.
    """
    b_i, b_f, b_g, b_o = quarters(bias)
    for b in range(len(c)):
        x_i, x_f, x_g, x_o = quarters(share[b])
        r_i, r_f, r_g, r_o = quarters(product[b])
        z_i, z_f, z_g, z_o = quarters(z[b])
        c_b, c_new_b, h_new_b = c[b], c_new[b], h_new[b]
        for n in range(len(c_b)):
            i = _gate_input(x_i[n], r_i[n], b_i[n], left_x, left_h, right)
            f = _gate_input(x_f[n], r_f[n], b_f[n], left_x, left_h, right)
            g = _gate_input(x_g[n], r_g[n], b_g[n], left_x, left_h, right)
            o = _gate_input(x_o[n], r_o[n], b_o[n], left_x, left_h, right)
            z_i[n], z_f[n], z_g[n], z_o[n] = i, f, g, o
            i = _clamp(_int32(i + HALF), _int32(0), ONE)
            f = _clamp(_int32(f + HALF), _int32(0), ONE)
            g = _clamp(g, _int32(-UNIT), UNIT)
            o = _clamp(_int32(o + HALF), _int32(0), ONE)
            p = _int32(_int32(f * _int32(c_b[n])) + _int32(i * g))
            odd = _int32(_int32(p >> _int32(15)) & _int32(1))
            s = _clamp(_int32(_int32(_int32(p + _int32(16383)) + odd) >> _int32(15)), LEAST, MOST)
            u = _int32(o * _clamp(s, _int32(-UNIT), UNIT))
            odd = _int32(_int32(u >> _int32(20)) & _int32(1))
            h = _int32(_int32(_int32(u + _int32(524287)) + odd) >> _int32(20))
            c_new_b[n] = s
            h_new_b[n] = _clamp(h, _int32(-128), _int32(127))


@_float_jit
def cell_backward(z: Any, c: Any, c_new: Any, d_out: Any, dh: Any, dc: Any, da: Any) -> None:
    """Turn the gradients of a step's h and c into those of the gates' inputs and of c before.

    Args:
        z: (B, 4H) int16; c, c_new: (B, H) int16, before and after.
        d_out, dh: (B, H) floats, the two of h.
        dc: (B, H), of c after; that of c before is written over it.
        da: (B, 4H), written: of the gates' inputs, as real numbers.
    """
    number = da.dtype.type
    zero, eighth = number(0.0), number(0.125)
    to_gate, to_cell = number(2.0**-15), number(2.0**-12)
    for b in range(len(c)):
        z_i, z_f, z_g, z_o = quarters(z[b])
        d_i, d_f, d_g, d_o = quarters(da[b])
        c_b, c_new_b, d_out_b, dh_b, dc_b = c[b], c_new[b], d_out[b], dh[b], dc[b]
        for n in range(len(c_b)):
            i = _clamp(_int32(_int32(z_i[n]) + HALF), _int32(0), ONE)
            f = _clamp(_int32(_int32(z_f[n]) + HALF), _int32(0), ONE)
            g = _clamp(_int32(z_g[n]), _int32(-UNIT), UNIT)
            o = _clamp(_int32(_int32(z_o[n]) + HALF), _int32(0), ONE)
            s = _int32(c_new_b[n])
            u = _clamp(s, _int32(-UNIT), UNIT)
            gate_i, gate_f, gate_o = number(i) * to_gate, number(f) * to_gate, number(o) * to_gate
            d = dh_b[n] + d_out_b[n]
            d_cell = dc_b[n] + (d * gate_o if -UNIT < s < UNIT else zero)
            d_cell = d_cell if LEAST < s < MOST else zero
            # The derivative is 0 where a value equals a bound.
            scaled = d_cell * eighth
            d_i[n] = scaled * (number(g) * to_cell) if 0 < i < ONE else zero
            d_f[n] = scaled * (number(_int32(c_b[n])) * to_cell) if 0 < f < ONE else zero
            d_g[n] = d_cell * gate_i if -UNIT < g < UNIT else zero
            d_o[n] = d * (number(u) * to_cell) * eighth if 0 < o < ONE else zero
            dc_b[n] = d_cell * gate_f
