"""Normalise log2-mel frames in fixed point: running or fixed statistics, int8 out, bit for bit.

NUMERICS 2.2 and 2.3 as a chip computes them, after `stream.integer.log_mel`, whose rules continue here: one
function per rule, numbered as in docs/integer-front-end.md. Everything is in units of log2, so the factor
ln 2 of the natural logarithm falls out of the quotient. No division: the inverse square root is a table
with linear interpolation. Statistics are state, as in `stream.front_end.normaliser`: mean int32 in Q.24 and
variance uint32 in Q.20, (batch, bins) each.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stream.front_end.gate import FRAMES_PER_SECOND, Gate, open_frames
from stream.front_end.log_mel import BINS
from stream.front_end.normaliser import Normaliser
from stream.integer.fixed import Ints, rhe
from stream.integer.log_mel import FRACTION, LOUDEST, QUIETEST, bit_length, decibels
from stream.stage import Array, Floats, State

MEAN = 24  # fraction bits of the mean: 32 bits with sign
VARIANCE = 20  # fraction bits of the variance: 32 bits without
DIFFERENCE = 14  # fraction bits of a difference where it is multiplied: 22 bits with sign
ALPHA = 20  # fraction bits of alpha
NEAR_POWER = 1 / 32  # an alpha that is relatively as near to a power of two is that power
MOST_VARIANCE = 2048.0  # to start from; with it no stream's variance reaches 2^12 (rule 10.14)
ROOT_BITS = 32  # a variance is shifted to 31 or 32 bits
TABLE_BITS = 7  # of them, that address the table
LINE_BITS = 15  # of them, that interpolate between its entries
FIRST_ENTRY = 32  # the lower entries belong to smaller numbers than there are
ONE_ROOT = 16  # fraction bits of an inverse root
# Rule 10.16: half the variance's fraction bits and the table's 16 / 2 are the 6 that 2^k counts from.
ROOT_SHIFT = DIFFERENCE + ONE_ROOT + (ROOT_BITS - VARIANCE) // 2
INT8_LEAST, INT8_MOST = -128, 127


def alpha_weight(alpha: float) -> int:
    """Return alpha in Q.20 (rule 10.13): a power of two, hence a shift, where it is near one.

    Raises:
        ValueError: alpha is not 0 and would become 0.
    """
    if alpha == 0.0:
        return 0
    power = 2.0 ** min(np.rint(np.log2(alpha)), -1.0)
    near = power if abs(alpha / power - 1.0) <= NEAR_POWER else alpha
    weight = min(int(np.rint(np.ldexp(near, ALPHA))), (1 << ALPHA) - 1)
    if weight == 0:
        raise ValueError(f"fixed normaliser: alpha is {alpha}, wants 0 or at least 2^-{ALPHA}")
    return weight


@functools.cache
def inverse_root_table() -> Ints:
    """Return 1 / sqrt(i / 128) in Q.16, 18 bits, i = 32 to 128 (rule 10.15)."""
    entries = np.arange(FIRST_ENTRY, (1 << TABLE_BITS) + 1) / (1 << TABLE_BITS)
    return np.rint(np.ldexp(1.0 / np.sqrt(entries), ONE_ROOT)).astype(np.int64)


def update(frame: Ints, mean: Ints, variance: Ints, weight: Ints | int) -> tuple[Ints, Ints]:
    """Return mean and variance after a frame (rules 10.12 and 10.14).

    Args:
        frame: log2 mel power, Q.10; mean: Q.24; variance: Q.20, any equal shape.
        weight: alpha in Q.20, or one for each row, (batch, 1); 0 changes nothing.
    """
    difference = (frame << (MEAN - FRACTION)) - mean
    d = rhe(difference, MEAN - DIFFERENCE)
    grown = variance + rhe(weight * d * d, 2 * DIFFERENCE + ALPHA - VARIANCE)
    shrunk = grown - rhe(weight * grown, ALPHA)
    return mean + rhe(weight * difference, ALPHA), np.maximum(shrunk, 1)


def inverse_root(variance: Ints) -> tuple[Ints, Ints]:
    """Return s and k, 1 / sqrt(variance) = s 2^(k - 22) (rule 10.15).

    Args:
        variance: Q.20, 1 to 2^32 - 1.
    Returns:
        s, Q.16 of 1 to 2, 18 bits, and k, 0 to 15.
    """
    k = (ROOT_BITS - bit_length(variance)) >> 1
    normal = variance << (2 * k)  # 2^30 and more
    entry = (normal >> (ROOT_BITS - TABLE_BITS)) - FIRST_ENTRY
    rest = (normal >> (ROOT_BITS - TABLE_BITS - LINE_BITS)) & ((1 << LINE_BITS) - 1)
    table = inverse_root_table()
    low = table[entry]
    return rhe((low << LINE_BITS) + (table[entry + 1] - low) * rest, LINE_BITS), k


def normalise(frame: Ints, mean: Ints, variance: Ints, exponent: int) -> Ints:
    """Return the frame less its mean over its deviation, int8 values (rule 10.16).

    Args:
        frame: log2 mel power, Q.10; mean: Q.24; variance: Q.20, of one shape.
        exponent: fraction bits of the result.
    """
    d = rhe((frame << (MEAN - FRACTION)) - mean, MEAN - DIFFERENCE)
    s, k = inverse_root(variance)
    return np.clip(rhe((d * s) << k, ROOT_SHIFT - exponent), INT8_LEAST, INT8_MOST)


class FixedNormaliser(Normaliser):
    """`Normaliser` in fixed point: log2 mel power in Q.10 -> int8 values times 2^-exponent.

    Args:
        mean: (bins,) float32, the data set's mean log-mel vector, natural log: where a stream starts.
        variance: (bins,) float32, > 0.
        alpha: weight of a new frame, 0 <= alpha < 1; 0 keeps the statistics fixed.
        exponent: fraction bits of the output, 0 to 7.
        gate: which frames count; None: all.
    Raises:
        ValueError: a value is out of range.
    """

    def __init__(
        self,
        mean: Floats,
        variance: Floats,
        alpha: float,
        exponent: int = 4,
        gate: Gate | None = None,
    ) -> None:
        super().__init__(mean, variance, alpha, gate)
        if not 0 <= exponent <= 7:
            raise ValueError(f"fixed normaliser: the exponent is {exponent}, wants 0 to 7")
        means, variances = mean.astype(np.float64) / np.log(2), variance / np.log(2) ** 2
        inside = (means >= QUIETEST) & (means <= LOUDEST) & (variances <= MOST_VARIANCE)
        if not inside.all():
            bad = int(np.argmin(inside))
            raise ValueError(
                f"fixed normaliser: bin {bad} has mean {mean[bad]} and variance {variance[bad]}; "
                f"wants a mean of {QUIETEST} to {LOUDEST} and a variance up to {MOST_VARIANCE:g} "
                "in units of log2. Measure them with train.mel_stats."
            )
        self.exponent = exponent
        self.weight = alpha_weight(alpha)
        self._mean = np.rint(np.ldexp(means, MEAN)).astype(np.int32)
        self._variance = np.maximum(np.rint(np.ldexp(variances, VARIANCE)), 1).astype(np.uint32)

    def initial_state(self, batch: int) -> State:
        """Return (mean int32 Q.24, variance uint32 Q.20), each (batch, bins), and the gate's state."""
        statistics = np.tile(self._mean, (batch, 1)), np.tile(self._variance, (batch, 1))
        if self.gate is None:
            return statistics
        loudest = np.int32(BINS * (LOUDEST << FRACTION))
        return (*statistics, self.gate.initial_state(batch, loudest))

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Update the statistics with each frame, then normalise it by them.

        Args:
            x: (batch, frames, bins) log2 mel power in Q.10: whole numbers, of any dtype that holds
                them, so that a float32 buffer may carry them.
            state: mean and variance, each (batch, bins), and the gate's.
        Returns:
            y, (batch, frames, bins) float32, int8 values times 2^-exponent, exactly; and the state
            after the last frame.
        """
        q, after = self.quantised(x.astype(np.int64), state)
        return np.ldexp(q.astype(np.float32), -self.exponent), after

    def quantised(self, x: Ints, state: State) -> tuple[NDArray[np.int8], State]:
        """Do the same with x int64, and return the int8 values."""
        mean, variance = (leaf.astype(np.int64) for leaf in state[:2])
        weights, gate = self._fixed_weights(x, state[2:])
        means, variances = (np.empty(x.shape, np.int64) for _ in range(2))
        for frame in range(x.shape[1]):
            mean, variance = update(x[:, frame], mean, variance, weights[frame])
            means[:, frame], variances[:, frame] = mean, variance
        q = normalise(x, means, variances, self.exponent).astype(np.int8)
        return q, (mean.astype(np.int32), variance.astype(np.uint32), *gate)

    def _fixed_weights(self, x: Ints, state: State) -> tuple[Sequence[Ints | int], State]:
        """Return the weight of each frame, and the gate's state after (rule 10.20)."""
        if self.gate is None or not x.shape[1]:
            return [self.weight] * x.shape[1], state
        level, background, left = state[0]
        counts, (level, background, left) = open_frames(
            x.sum(axis=2),
            (level.astype(np.int64), background.astype(np.int64), left),
            BINS * decibels(self.gate.margin, FRACTION),
            decibels(BINS * self.gate.rise / FRAMES_PER_SECOND, FRACTION),
            self.gate.frames,
            lambda difference: rhe(difference, 2),
        )
        after = level.astype(np.int32), background.astype(np.int32), left
        return self.weight * counts.T[:, :, None], (after,)
