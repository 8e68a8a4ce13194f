"""Normalise log-mel frames by running statistics (EWMA) or by fixed ones: NUMERICS 2.

One stage serves both generations: with alpha = 0 the recursion leaves mean and variance untouched,
which is normalisation by the data set's global statistics. Statistics are state, (batch, bins) each,
so a stream carries them on, a new one starts from the data set's, and training sees what serving does.
With a `Gate` only frames near speech update them (`stream.front_end.gate`), and its state is part of theirs.
`train.mel_stats` measures the data set's statistics.
"""

from __future__ import annotations

import numpy as np
from array_api_compat import array_namespace, device

from stream.errors import ArgumentError
from stream.front_end.gain_control import LOUDEST
from stream.front_end.gate import DECIBEL, FRAMES_PER_SECOND, Gate, open_frames
from stream.stage import Array, Floats, State


class Normaliser:
    """Normalise each mel bin by its exponentially weighted mean and variance.

    Args:
        mean: (bins,) float32, the data set's mean log-mel vector: where a stream starts.
        variance: (bins,) float32, > 0.
        alpha: weight of a new frame, 0 <= alpha < 1; 0 keeps the statistics fixed.
        gate: which frames count; None: all.
    Raises:
        ValueError: alpha is out of range, or a variance is not positive.
    """

    block = 1

    def __init__(
        self, mean: Floats, variance: Floats, alpha: float, gate: Gate | None = None
    ) -> None:
        if not 0.0 <= alpha < 1.0:
            raise ArgumentError(f"normaliser: alpha is {alpha}, wants 0 <= alpha < 1")
        bad = np.flatnonzero(~(variance > 0.0) | ~np.isfinite(mean))
        if bad.size:
            raise ValueError(
                f"normaliser: bin {bad[0]} has mean {mean[bad[0]]} and variance {variance[bad[0]]}; "
                "wants a finite mean and a positive variance. Measure them with train.mel_stats."
            )
        self.mean, self.variance, self.alpha, self.gate = mean, variance, alpha, gate

    def initial_state(self, batch: int) -> State:
        """Return (mean, variance), each (batch, bins), of the data set, and the gate's state."""
        statistics = np.tile(self.mean, (batch, 1)), np.tile(self.variance, (batch, 1))
        if self.gate is None:
            return statistics
        return (*statistics, self.gate.initial_state(batch, np.float32(LOUDEST)))

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Update the statistics with each frame, then normalise it by them.

        Args:
            x: (batch, frames, bins), natural log of mel power.
            state: mean and variance, each (batch, bins); variance > 0; and the gate's.
        Returns:
            y, shape and dtype of x, and the state after the last frame.
        Source: NUMERICS 2.2; Finch (2009), with the variance updated by the *old* mean's difference.
        """
        xp = array_namespace(x)
        mean, variance, *gate = state
        if self.alpha == 0.0:
            return (x - mean[:, None, :]) / xp.sqrt(variance)[:, None, :], state
        if x.shape[1] == 0:
            return x, state
        weights, rests, gate = self._weights(x, gate)
        means, variances = [], []
        for frame in range(x.shape[1]):
            difference = x[:, frame, :] - mean
            mean = mean + weights[frame] * difference
            variance = rests[frame] * (variance + weights[frame] * difference * difference)
            means.append(mean)
            variances.append(variance)
        return (x - xp.stack(means, axis=1)) / xp.sqrt(xp.stack(variances, axis=1)), (
            mean,
            variance,
            *gate,
        )

    def _weights(self, x: Array, state: list[State]) -> tuple[Array, Array, list[State]]:
        """Return for each frame its weight and that of what was before, and the gate's state after.

        A weight is a number, or (batch, 1) with a gate: 0 and 1 keep the statistics as they are, exactly.
        """
        if self.gate is None:
            return [self.alpha] * x.shape[1], [1.0 - self.alpha] * x.shape[1], state
        xp = array_namespace(x)
        counts, after = open_frames(
            xp.mean(x, axis=2),
            state[0],
            self.gate.margin * DECIBEL,
            self.gate.rise * DECIBEL / FRAMES_PER_SECOND,
            self.gate.frames,
            lambda difference: 0.25 * difference,
        )
        counts = xp.permute_dims(counts, (1, 0))[:, :, None]
        ones = xp.ones(counts.shape, dtype=x.dtype, device=device(x))
        weights = xp.where(counts, self.alpha * ones, 0.0 * ones)
        return weights, xp.where(counts, (1.0 - self.alpha) * ones, ones), [after]


def utterance_normalise(x: Array) -> Array:
    """Normalise x, (batch, frames, bins), by its own mean and population deviation (NUMERICS 2.1).

    Not causal: for the first phase of a training run only, as in generation 1.14.
    """
    xp = array_namespace(x)
    return (x - xp.mean(x, axis=1, keepdims=True)) / xp.std(x, axis=1, keepdims=True)
