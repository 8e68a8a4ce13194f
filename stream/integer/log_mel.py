"""Log-mel in fixed point: 16-bit samples to log2 of mel power, integers throughout, bit for bit.

The front end of NUMERICS 1 as a chip computes it, and its specification: one function per rule,
numbered as in docs/integer-front-end.md. Values are NumPy int64 of stated width; Q.n has n fraction
bits. A frame is the *binary* logarithm of its 80 mel powers in Q.10: the normaliser takes the factor
ln 2 away. Rules that round use half to even. Normalising is in `stream.integer.normaliser`.

Samples come as int16, or as floats of full scale 1: float32 of what came from 16 bits is exact, other
audio is rounded and clamped to 16 bits, as a chip would get it.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from stream.front_end.log_mel import BINS, FFT, HOP, hann, mel_matrix
from stream.integer.fixed import Ints, rhe
from stream.stage import Array, State

FRACTION = 10  # fraction bits of a log2 mel power
QUIETEST, LOUDEST = -72, 16  # log2 mel powers lie between: the smallest floor, above full scale
ONE_SAMPLE = 15  # fraction bits of a sample
EMPHASIS = 31785  # 0.97 in Q.15
ONE_WINDOW = 15  # fraction bits of the window
PRODUCT_BITS = 46  # magnitude of sample times window, Q.45
MANTISSA_BITS = 23  # magnitude of a mantissa: 24 bits with its sign
HEADROOM = 14  # a frame's largest value is kept 2^-14 below full scale: butterflies cannot overflow
ONE_TWIDDLE = 17  # fraction bits of a twiddle: 18 bits with its sign
STAGES = 9  # of butterflies; FFT = 2^STAGES
ONE_MEL = 20  # fraction bits of a mel weight
ENERGY_BITS = 63  # magnitude of a mel sum
# An energy M of a frame of exponent n is M 2^(2n - 138) of mel power: twice the mantissa's scale of
# -45 - 23 and the transform's 9 halvings, and the mel weight's.
ENERGY_SCALE = 2 * (2 * ONE_SAMPLE + ONE_WINDOW + MANTISSA_BITS - STAGES) + ONE_MEL
TABLE_BITS = 6  # of a mantissa, that address the logarithm's table
LINE_BITS = 10  # of a mantissa, that interpolate between its entries
ONE_TABLE = 16  # fraction bits of the table


def log2_of(power: float) -> int:
    """Return log2 of a mel power in Q.10 (rule 10.11)."""
    return int(np.rint(np.ldexp(np.log2(power), FRACTION)))


def decibels(value: float, fraction: int) -> int:
    """Return dB of mel power in units of log2, with so many fraction bits."""
    return int(np.rint(np.ldexp(value / (10.0 * np.log10(2.0)), fraction)))


def bit_length(a: Ints) -> Ints:
    """Return the bits that a >= 0 needs, 0 for 0: 64 less its leading zeros."""
    rest, length = a.astype(np.int64), np.zeros(a.shape, np.int64)
    for step in (32, 16, 8, 4, 2, 1):
        high = rest >> step
        some = high > 0
        length += step * some
        rest = np.where(some, high, rest)
    return length + rest


@functools.cache
def window_weights(window: int) -> Ints:
    """Return the Hann window in Q.15, (window,), 0 to 32768 (rule 10.4)."""
    return np.rint(np.ldexp(hann(window), ONE_WINDOW)).astype(np.int64)


@functools.cache
def twiddles() -> Ints:
    """Return -cos and -sin of each butterfly, (stages, 2, 256) in Q.17, 18 bits (rule 10.6).

    Negated, since -1 fits 18 bits and 1 does not. Butterfly i of stage t turns by
    floor(i / 2^(8-t)) / 2^(t+1) of a circle.
    """
    stage, butterfly = np.arange(STAGES)[:, None], np.arange(FFT // 2)
    turn = (butterfly >> (STAGES - 1 - stage)) / (2 << stage)
    angle = 2.0 * np.pi * turn
    negated = -np.stack([np.cos(angle), np.sin(angle)], axis=1)
    table: Ints = np.rint(np.ldexp(negated, ONE_TWIDDLE)).astype(np.int64)
    return table


@functools.cache
def mel_weights() -> Ints:
    """Return the mel filterbank in Q.20, (257, 80), 15 bits (rule 10.9)."""
    return np.ascontiguousarray(np.rint(np.ldexp(mel_matrix().T, ONE_MEL)).astype(np.int64))


@functools.cache
def log2_table() -> Ints:
    """Return log2(1 + i / 64) in Q.16, i = 0 to 64 (rule 10.10)."""
    entries = np.arange((1 << TABLE_BITS) + 1) / (1 << TABLE_BITS)
    return np.rint(np.ldexp(np.log2(1.0 + entries), ONE_TABLE)).astype(np.int64)


@functools.cache
def _bit_reversed() -> Ints:
    indices = np.arange(FFT)
    return sum(((indices >> bit) & 1) << (STAGES - 1 - bit) for bit in range(STAGES))  # type: ignore[return-value]


def samples_of(x: Array) -> NDArray[np.int16]:
    """Return samples as int16 (rule 10.1).

    Args:
        x: any shape, int16, or float with full scale 1.
    """
    if x.dtype == np.int16:
        return np.asarray(x)
    return np.clip(np.rint(np.asarray(x) * 32768.0), -32768, 32767).astype(np.int16)


def emphasise(x: Ints, previous: Ints) -> Ints:
    """Return x - 0.97 x[-1], exact, in 32 bits, Q.30 (rule 10.2); both are int16 values."""
    return (x.astype(np.int64) << ONE_SAMPLE) - EMPHASIS * previous.astype(np.int64)


def block(p: Ints) -> tuple[Ints, Ints]:
    """Give the windowed samples of a frame one exponent (rule 10.5).

    Args:
        p: (..., window) windowed samples, Q.45, |p| < 2^46.
    Returns:
        mantissas, (..., window) in 24 bits, and the exponents n, (...), 0 to 46: a mantissa a stands
        for a 2^(n - 68).
    """
    largest = np.abs(p).max(axis=-1)
    n = bit_length(largest + (largest >> HEADROOM))
    return rhe(p << (PRODUCT_BITS - n)[..., None], PRODUCT_BITS - MANTISSA_BITS), n


def spectrum(a: Ints) -> tuple[Ints, Ints]:
    """Return the 512-point transform of mantissas, divided by 512 (rules 10.6 and 10.7).

    Radix 2, decimation in time, nine equal stages of 256 butterflies: the values 2i and 2i + 1
    become those at i and i + 256. Every output is halved and rounded, once.

    Args:
        a: (..., window) in 24 bits.
    Returns:
        real and imaginary parts, (..., 257) each, in 24 bits.
    """
    re = np.zeros((*a.shape[:-1], FFT), np.int64)
    re[..., : a.shape[-1]] = a
    re = re[..., _bit_reversed()]
    im = np.zeros_like(re)
    for c, s in twiddles():
        b_re, b_im = re[..., 1::2], im[..., 1::2]
        # The negated twiddles give -w b, which is subtracted above and added below.
        re, im = (
            _halves(a_part[..., 0::2] << ONE_TWIDDLE, turned)
            for a_part, turned in ((re, c * b_re + s * b_im), (im, c * b_im - s * b_re))
        )
    return re[..., : FFT // 2 + 1], im[..., : FFT // 2 + 1]


def _halves(a: Ints, minus_b: Ints) -> Ints:
    """Return (a + b) / 2, then (a - b) / 2, of a and -b with a twiddle's fraction bits."""
    both = np.concatenate([a - minus_b, a + minus_b], axis=-1)
    return rhe(both, ONE_TWIDDLE + 1)


def power(re: Ints, im: Ints) -> Ints:
    """Return re^2 + im^2, in 47 bits (rule 10.8)."""
    squares: Ints = re * re + im * im
    return squares


def mel_power(of: Ints) -> Ints:
    """Return the sums (..., 80) over the filterbank of powers (..., 257), in 63 bits (rule 10.9)."""
    sums: Ints = of @ mel_weights()
    return sums


def log2(energy: Ints, n: Ints, floor: int) -> Ints:
    """Return log2 of mel power in Q.10, at least the floor (rules 10.10 and 10.11).

    Args:
        energy: (..., 80) sums of rule 10.9.
        n: (...) exponents of the frames.
        floor: in Q.10.
    """
    whole = bit_length(energy) - 1  # -1 for no energy
    mantissa = (energy << (ENERGY_BITS - 1 - whole)) >> (ENERGY_BITS - 1 - TABLE_BITS - LINE_BITS)
    entry = (mantissa >> LINE_BITS) & ((1 << TABLE_BITS) - 1)
    table = log2_table()
    low, rise = table[entry], table[entry + 1] - table[entry]
    line = (low << LINE_BITS) + rise * (mantissa & ((1 << LINE_BITS) - 1))
    scale = (2 * n - ENERGY_SCALE)[..., None]
    exact = ((whole + scale) << FRACTION) + rhe(line, ONE_TABLE + LINE_BITS - FRACTION)
    return np.where(energy > 0, np.maximum(exact, floor), floor)


class LogMelValues(NamedTuple):
    """All values of some frames, (batch, frames, ...), in the order of the rules.

    Attributes:
        mantissas: (window,) 24 bits; exponent: () of the frame.
        re, im: (257,) 24 bits; power: (257,) 47 bits.
        energy: (80,) 63 bits; frames: (80,) log2 mel power, Q.10.
    """

    mantissas: Ints
    exponent: Ints
    re: Ints
    im: Ints
    power: Ints
    energy: Ints
    frames: Ints


class FixedPreEmphasis:
    """Rule 10.2 over (batch, samples) int16, to int32 Q.30; state: the last sample, (batch, 1) int16."""

    block = 1

    def initial_state(self, batch: int) -> State:
        """Return the zero before the first sample."""
        return np.zeros((batch, 1), np.int16)

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Emphasise the samples x, (batch, samples) int16."""
        joined = np.concatenate([state, x], axis=1)
        y = emphasise(joined[:, 1:], joined[:, :-1])
        return y.astype(np.int32), joined[:, joined.shape[1] - 1 :]


class FixedLogMel:
    """Emphasised samples (batch, 160 n) int32, Q.30 -> log2-mel frames (batch, n, 80) int32, Q.10.

    State: the last window - 160 emphasised samples, (batch, window - 160) int32.

    Args:
        window: in samples, 161 to 512.
        floor: smallest mel power, at least 2^-72.
    Raises:
        ValueError: the floor is out of range.
    """

    block = HOP

    def __init__(self, window: int, floor: float) -> None:
        if not 2.0**QUIETEST <= floor < 1.0:
            raise ValueError(f"fixed log-mel: the floor is {floor}, wants 2^{QUIETEST} to 1")
        self.window = window
        self.floor = log2_of(floor)

    def initial_state(self, batch: int) -> State:
        """Return the zeros before the first sample."""
        return np.zeros((batch, self.window - HOP), np.int32)

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Compute the frames that end within x, (batch, 160 n) emphasised samples.

        Raises:
            ValueError: the number of samples is not a multiple of 160.
        """
        batch, samples = x.shape
        if samples % HOP:
            raise ValueError(f"log-mel: {samples} samples are not a multiple of the hop, {HOP}")
        y = np.concatenate([state, x], axis=1)
        if samples == 0 or batch == 0:
            return np.zeros((batch, samples // HOP, BINS), np.int32), y
        return self.values(y).frames.astype(np.int32), y[:, samples:]

    def values(self, y: Ints) -> LogMelValues:
        """Compute all values of the windows in y, (batch, 160 n + window - 160), rule by rule."""
        windows = sliding_window_view(y, self.window, axis=1)[:, ::HOP]  # rule 10.3
        mantissas, exponent = block(windows * window_weights(self.window))
        re, im = spectrum(mantissas)
        of = power(re, im)
        energy = mel_power(of)
        frames = log2(energy, exponent, self.floor)
        return LogMelValues(mantissas, exponent, re, im, of, energy, frames)
