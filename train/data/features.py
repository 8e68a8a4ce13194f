"""Batches of whole utterances to normalised input frames, through the lines that a stream runs.

(B, samples) float audio, zero-padded at the rows' ends -> (B, S, inputs). What a batch adds to the
stages of `stream` is only the bookkeeping of lengths: past its own end a row is zero in the
normalised domain, whatever its neighbours' lengths are.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stream.encoders.family import Encoder
from stream.front_end.log_mel import HOP, FrontEnd, frame_count, streamed_log_mel
from stream.front_end.normaliser import utterance_normalise
from stream.front_end.stacking import stack
from stream.stage import Stage, State, constant_like, map_state
from train.model import lengths_to_mask

ROWS = 8  # transformed at once on a CPU: their spectra stay in the cache, worth a factor of 3


def log_mel(audio: Tensor, samples: Tensor, front_end: FrontEnd) -> tuple[Tensor, Tensor]:
    """Compute log-mel frames of a padded batch.

    Args:
        audio: (B, N) float in [-1, 1], zero past each row's samples.
        samples: (B,) int64 real samples of each row.
    Returns:
        frames (B, F, 80), and the frames of each row, (B,) int64.
    """
    counts = [frame_count(int(n), front_end) for n in samples]
    together = ROWS if audio.device.type == "cpu" else None
    frames = streamed_log_mel(audio, front_end, together)[:, : max(counts, default=0)]
    for row, (n, count) in enumerate(zip(samples.tolist(), counts, strict=True)):
        if count and 0 < n + front_end.final_padding < front_end.window:
            # A row too short for one window is zero-filled after pre-emphasis, the batch before it.
            alone = streamed_log_mel(audio[row : row + 1, : int(n)], front_end)
            frames = frames.clone()
            frames[row, :count] = alone[0]
    return frames, torch.tensor(counts, dtype=torch.int64).to(audio.device)


def normalised(
    frames: Tensor,
    counts: Tensor,
    normaliser: Stage,
    statistics: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Normalise the frames of a batch, (B, F, 80), and set those past a row's end to zero.

    Args:
        statistics: mean and variance at the start, each (B, 80); None: the data set's, or there are none.
    """
    state: State = map_state(
        lambda leaf: constant_like(leaf, frames), normaliser.initial_state(len(frames))
    )
    if statistics is not None:
        state = (*statistics, *state[2:])
    z, _ = normaliser.step(frames, state)
    mask = lengths_to_mask(counts, z.shape[1])[:, :, None]
    return torch.where(mask, z, torch.zeros_like(z))


def normalised_by_themselves(frames: Tensor, counts: Tensor) -> Tensor:
    """Normalise each row of a batch, (B, F, 80), by its own statistics (NUMERICS 2.1).

    Past a row's end, and in a bin that never changes, the result is zero.
    """
    z = torch.zeros_like(frames)
    for row, count in enumerate(counts.tolist()):
        own = frames[row : row + 1, :count]
        changes = own.detach().std(1, correction=0) > 0.0
        if changes.any():
            # A ramp stands in for a bin that never changes: 0 / 0 has no gradient, not even where it is not used.
            ramp = torch.arange(count, device=own.device)[:, None].to(own)
            standing_in = utterance_normalise(torch.where(changes[:, None], own, ramp))
            z[row, :count] = torch.where(changes[:, None], standing_in, 0.0)[0]
    return z


def stacked(z: Tensor, counts: Tensor, encoder: Encoder) -> tuple[Tensor, Tensor]:
    """Stack the frames of a batch as an encoder takes them.

    Args:
        z: (B, F, 80) log-mel frames; counts, (B,) of each row.
        encoder: that takes them.
    Returns:
        (B, S, inputs) input frames, whole chunks, and those of each row, (B,).
    """
    block = encoder.chunk_samples // HOP
    z = nn.functional.pad(z, (0, 0, 0, -z.shape[1] % block))
    return stack(z, encoder.stack), (counts + encoder.stack - 1) // encoder.stack
