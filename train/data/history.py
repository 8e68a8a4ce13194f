"""What a channel heard before a row begins: the running statistics that training starts a row from.

A stream rarely starts from the data set's statistics: another speaker was heard, or minutes of a room
that no gate kept out (no card has one). An exponential mean and variance are those of a mixture: after
n frames of one kind, w = (1 - alpha)^n of what was before and 1 - w of that kind. So we need not simulate
minutes of audio; with mean m and variance v of the kind, the result follows in closed form:

    mean' = w mean + (1 - w) m
    variance' = w variance + (1 - w) v + w (1 - w) (m - mean)^2

The silence after an utterance is no part of it: a stream's statistics are those before its ending
(`stream.engine.endings`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stream.front_end.gate import FRAMES_PER_SECOND
from stream.front_end.log_mel import HOP, SAMPLE_RATE, FrontEnd, streamed_log_mel
from train.config.batches import HistoryConfig
from train.data.augmentation import room
from train.data.features import ROWS

NOISE_SAMPLES = 2 * SAMPLE_RATE  # of which a room's statistics are measured


def histories(
    state: tuple[Tensor, Tensor],
    frames: Tensor,
    counts: Tensor,
    noise: list[NDArray[np.float32]],
    config: HistoryConfig,
    front_end: FrontEnd,
    alpha: float,
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """Return the statistics that the rows of a batch begin with.

    Args:
        state: mean and variance, (B, 80) each, that they would begin with.
        frames: (B, F, 80) log-mel of the batch; counts, (B,), frames of each row.
        noise: recordings without speech, (samples,) float32.
        config: see there.
        front_end: of the frames.
        alpha: weight of a new frame in the running statistics.
        rng: draws what rows heard.
    """
    means, variances = (leaf.clone() for leaf in state)
    if alpha == 0.0:
        return means, variances
    padding, unpadded = front_end.final_padding // HOP, replace(front_end, final_padding=0)
    # A row, the seconds heard before it, and for the first of which other row.
    behind_rows: list[tuple[int, float, int]] = []
    behind_rooms: list[tuple[int, float]] = []
    rooms = []
    for row in range(len(frames)):
        drawn, seconds = rng.random(), np.exp(rng.uniform(*np.log(config.seconds)))
        if drawn < config.rows:
            behind_rows.append((row, seconds, int(rng.integers(len(frames)))))
        elif drawn < config.rows + config.noise:
            behind_rooms.append((row, seconds))
            rooms.append(room(NOISE_SAMPLES, rng, noise, config.noise_dbfs))
    before = [
        (row, seconds, frames[other, : max(int(counts[other]) - padding, 0)])
        for row, seconds, other in behind_rows
    ]
    if rooms:
        heard_rooms = streamed_log_mel(torch.from_numpy(np.stack(rooms)), unpadded, ROWS).to(frames)
        before += [(*where, heard) for where, heard in zip(behind_rooms, heard_rooms, strict=True)]
    for row, seconds, heard in before:
        if len(heard) == 0:
            continue
        kept = (1.0 - alpha) ** (FRAMES_PER_SECOND * seconds)
        mean, variance = heard.mean(0), heard.var(0, correction=0)
        between = mean - means[row]
        variances[row] = (
            kept * variances[row] + (1.0 - kept) * variance + kept * (1.0 - kept) * between**2
        )
        means[row] += (1.0 - kept) * between
    # A bin that only the floor was heard in has next to no variance, and no stream is there that long.
    return means, torch.maximum(variances, 1e-3 * state[1])
