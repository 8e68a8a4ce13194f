"""The cell of the LSTM layer in compiled loops over float32, for the CPU; gate order i, f, g, o.

Arrays of NumPy, all float32: z, a, da (B, 4H); bias (4H,); c, c_new, h_new and the rest (B, H). The soft functions are
written out, since loops that call the C library's are not compiled to SIMD: within 2e-7 of the true values.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

# Full fastmath would drop NaN, which the causality check needs to see.
_jit: Any = numba.njit(cache=True, fastmath={"contract", "nsz"}, error_model="numpy")
_inlined: Any = numba.njit(fastmath={"contract", "nsz"}, error_model="numpy", inline="always")

HALF, ONE, TWO = np.float32(0.5), np.float32(1.0), np.float32(2.0)
# exp(x) = 2^n exp(r) with n = round(x / ln 2), r = x - n ln 2, and a polynomial for exp(r); Cephes' expf.
LARGEST = np.float32(87.0)  # beyond which 2^n leaves float32
PER_LN2 = np.float32(1.44269504088896341)
LN2_HIGH, LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
EXP = tuple(
    map(
        np.float32,
        (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5),
    )
)
# tanh(x) = x + x^3 P(x^2) for |x| < 0.625; Cephes' tanhf.
TANH = tuple(
    map(
        np.float32,
        (
            -5.70498872745e-3,
            2.06390887954e-2,
            -5.37397155531e-2,
            1.33314422036e-1,
            -3.33332819422e-1,
        ),
    )
)
NEAR = np.float32(0.625)


@_inlined
def _exp(x: Any) -> Any:
    x = -LARGEST if x < -LARGEST else (LARGEST if x > LARGEST else x)
    n = np.floor(x * PER_LN2 + HALF)
    r = x - n * LN2_HIGH - n * LN2_LOW
    p = ((((EXP[0] * r + EXP[1]) * r + EXP[2]) * r + EXP[3]) * r + EXP[4]) * r + EXP[5]
    power = np.int32((np.int32(n) + np.int32(127)) << np.int32(23))
    return (p * r * r + r + ONE) * power.view(np.float32)


@_inlined
def _sigmoid(x: Any) -> Any:
    return ONE / (ONE + _exp(-x))


@_inlined
def _tanh(x: Any) -> Any:
    square = x * x
    p = (((TANH[0] * square + TANH[1]) * square + TANH[2]) * square + TANH[3]) * square + TANH[4]
    far = ONE - TWO / (ONE + _exp(TWO * x))
    return p * square * x + x if abs(x) < NEAR else far


@_jit
def quarters(row: Any) -> Any:
    """Return views of the gates i, f, g, o in a row (4H,): loops over views run in SIMD, loops over
    row[H + n] test every index for its sign and do not."""
    hidden = len(row) // 4
    return (
        row[:hidden],
        row[hidden : 2 * hidden],
        row[2 * hidden : 3 * hidden],
        row[3 * hidden :],
    )


@_jit
def hard_cell(z: Any, bias: Any, c: Any, a: Any, c_new: Any, h_new: Any) -> None:
    """Turn pre-activations z, less the bias, into the gates' values a (both (B, 4H)), c and h."""
    zero, one, half, eighth = (
        z.dtype.type(0.0),
        z.dtype.type(1.0),
        z.dtype.type(0.5),
        z.dtype.type(0.125),
    )
    bias_i, bias_f, bias_g, bias_o = quarters(bias)
    for b in range(len(c)):
        z_i, z_f, z_g, z_o = quarters(z[b])
        a_i, a_f, a_g, a_o = quarters(a[b])
        c_b, c_new_b, h_new_b = c[b], c_new[b], h_new[b]
        for n in range(len(c_b)):
            i = (z_i[n] + bias_i[n]) * eighth + half
            f = (z_f[n] + bias_f[n]) * eighth + half
            g = z_g[n] + bias_g[n]
            o = (z_o[n] + bias_o[n]) * eighth + half
            # Comparisons, not min and max: NaN must pass.
            i = zero if i < zero else (one if i > one else i)
            f = zero if f < zero else (one if f > one else f)
            g = -one if g < -one else (one if g > one else g)
            o = zero if o < zero else (one if o > one else o)
            s = f * c_b[n] + i * g
            u = -one if s < -one else (one if s > one else s)
            a_i[n] = i
            a_f[n] = f
            a_g[n] = g
            a_o[n] = o
            c_new_b[n] = s
            h_new_b[n] = o * u


@_jit
def hard_cell_backward(a: Any, c: Any, c_new: Any, d_out: Any, dh: Any, dc: Any, da: Any) -> None:
    zero, one, eighth = a.dtype.type(0.0), a.dtype.type(1.0), a.dtype.type(0.125)
    for b in range(len(c)):
        a_i, a_f, a_g, a_o = quarters(a[b])
        d_i, d_f, d_g, d_o = quarters(da[b])
        c_b, c_new_b, d_out_b, dh_b, dc_b = c[b], c_new[b], d_out[b], dh[b], dc[b]
        for n in range(len(c_b)):
            i, f, g, o = a_i[n], a_f[n], a_g[n], a_o[n]
            s = c_new_b[n]
            u = -one if s < -one else (one if s > one else s)
            d = dh_b[n] + d_out_b[n]
            d_cell = dc_b[n] + (d * o if -one < u < one else zero)
            # The derivative is 0 where the output equals a bound.
            d_i[n] = d_cell * g * eighth if zero < i < one else zero
            d_f[n] = d_cell * c_b[n] * eighth if zero < f < one else zero
            d_g[n] = d_cell * i if -one < g < one else zero
            d_o[n] = d * u * eighth if zero < o < one else zero
            dc_b[n] = d_cell * f


@_jit
def soft_cell(z: Any, bias: Any, c: Any, a: Any, c_new: Any, h_new: Any) -> None:
    """As `hard_cell`, with the sigmoid and tanh."""
    bias_i, bias_f, bias_g, bias_o = quarters(bias)
    for b in range(len(c)):
        z_i, z_f, z_g, z_o = quarters(z[b])
        a_i, a_f, a_g, a_o = quarters(a[b])
        c_b, c_new_b, h_new_b = c[b], c_new[b], h_new[b]
        for n in range(len(c_b)):
            i = _sigmoid(z_i[n] + bias_i[n])
            f = _sigmoid(z_f[n] + bias_f[n])
            g = _tanh(z_g[n] + bias_g[n])
            o = _sigmoid(z_o[n] + bias_o[n])
            s = f * c_b[n] + i * g
            a_i[n] = i
            a_f[n] = f
            a_g[n] = g
            a_o[n] = o
            c_new_b[n] = s
            h_new_b[n] = o * _tanh(s)


@_jit
def soft_cell_backward(
    a: Any, c: Any, squashed: Any, d_out: Any, dh: Any, dc: Any, da: Any
) -> None:
    one = a.dtype.type(1.0)
    for b in range(len(c)):
        a_i, a_f, a_g, a_o = quarters(a[b])
        d_i, d_f, d_g, d_o = quarters(da[b])
        c_b, squashed_b, d_out_b, dh_b, dc_b = c[b], squashed[b], d_out[b], dh[b], dc[b]
        for n in range(len(c_b)):
            i, f, g, o = a_i[n], a_f[n], a_g[n], a_o[n]
            u = squashed_b[n]
            d = dh_b[n] + d_out_b[n]
            d_cell = dc_b[n] + d * o * (one - u * u)
            d_i[n] = d_cell * g * i * (one - i)
            d_f[n] = d_cell * c_b[n] * f * (one - f)
            d_g[n] = d_cell * i * (one - g * g)
            d_o[n] = d * u * o * (one - o)
            dc_b[n] = d_cell * f
