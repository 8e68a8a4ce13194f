"""From a batch of audio to what a model learns from: features, a channel's statistics, SpecAugment.

The processes that draw batches compute this, too (`FramedBatches`), so that an accelerator waits for neither; but for
filters that are learned, whose gradient the training process needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from stream.encoders.family import Encoder
from stream.front_end.log_mel import FrontEnd
from stream.front_end.normaliser import Normaliser
from stream.stage import Stage
from train.config.run import Config
from train.data.augmentation import spec_augment
from train.data.features import log_mel, normalised, normalised_by_themselves, stacked
from train.data.history import histories
from train.data.rows import Batch, Drawn, Rows


class Inputs(NamedTuple):
    """A batch as `Objective` takes it.

    Attributes:
        x: (B, S, inputs) float32 normalised input frames, whole chunks; lengths: (B,) int64.
        tokens: (B, U) int64, padded; token_lengths: (B,) int64.
    """

    x: Tensor
    lengths: Tensor
    tokens: Tensor
    token_lengths: Tensor


@dataclass(frozen=True)
class InputFrames:
    """The input frames of a run's batches.

    Attributes:
        config: of the run.
        rows: which knows the generators of a batch and the recordings of noise.
        normaliser: with the statistics of the data set, which rows start from, where there are any.
        encoder: that takes them.
        device: where they are computed, and learned from.
    """

    config: Config
    rows: Rows
    normaliser: Stage
    encoder: Encoder
    device: torch.device = torch.device("cpu")

    def of(self, batch: Batch, front_end: FrontEnd, stream_share: float = 1.0) -> Inputs:
        """Return the inputs of a batch, with their gradient where the front end's filters have one.

        Args:
            batch: where it has its frames, they are only brought to the device.
            stream_share: of normalisation by a stream's statistics; the rest is by a row's own.
        """
        tokens = torch.from_numpy(batch.tokens), torch.from_numpy(batch.token_lengths)
        if batch.frames is None:
            frames = self._frames(batch, front_end, stream_share)
        else:
            x, lengths = map(torch.from_numpy, batch.frames)
            frames = x, lengths
        return Inputs(*(tensor.to(self.device) for tensor in (*frames, *tokens)))

    def _frames(
        self, batch: Batch, front_end: FrontEnd, stream_share: float
    ) -> tuple[Tensor, Tensor]:
        """Return (B, S, inputs) normalised input frames and those of each row, (B,)."""
        key = batch.number + 1
        # Spectra are float64's, which MPS has not.
        where = torch.device("cpu") if self.device.type == "mps" else self.device
        frames, counts = log_mel(
            torch.from_numpy(batch.audio).to(where), torch.from_numpy(batch.samples), front_end
        )
        statistics = None
        if isinstance(self.normaliser, Normaliser):
            statistics = self._beginnings(self.normaliser, frames, counts, key, front_end)
        z = normalised(frames, counts, self.normaliser, statistics)
        if stream_share < 1.0:
            own = normalised_by_themselves(frames, counts)
            z = stream_share * z + (1.0 - stream_share) * own
        z = spec_augment(z, counts, self.config.augmentation, self.rows.generator(key))
        return stacked(z, counts, self.encoder)

    @torch.no_grad()  # what a channel heard before is given, not learned
    def _beginnings(
        self,
        normaliser: Normaliser,
        frames: Tensor,
        counts: Tensor,
        key: int,
        front_end: FrontEnd,
    ) -> tuple[Tensor, Tensor]:
        """Return the statistics that rows start from, (B, 80) each."""
        mean, variance = (
            torch.from_numpy(statistic).to(frames.device).expand(len(frames), -1)
            for statistic in (normaliser.mean, normaliser.variance)
        )
        drawn = self.rows.generator(key, stream=3).standard_normal((len(frames), 1), np.float32)
        jitter = self.config.statistics_jitter * torch.from_numpy(drawn).to(frames.device)
        return histories(
            (mean + jitter * variance.sqrt(), variance),
            frames,
            counts,
            self.rows.noise,
            self.config.history,
            front_end,
            normaliser.alpha,
            self.rows.generator(key, stream=2),
        )


@dataclass(frozen=True)
class FramedBatches:
    """Batches with their input frames in place of their audio, for the processes that draw them.

    Attributes:
        batches: that are drawn.
        frames: of them; on the CPU.
        front_end: whose filters stay as they are.
        stream_share: of an update, from 1.
        parts: batches in an update.
    """

    batches: Drawn
    frames: InputFrames
    front_end: FrontEnd
    stream_share: Callable[[int], float]
    parts: int

    def batch(self, turn: int) -> Batch:
        """Return a batch."""
        torch.set_num_threads(1)  # of each process; there are as many as draw
        batch = self.batches.batch(turn)
        share = self.stream_share(turn // self.parts + 1)
        x, lengths, *_ = self.frames.of(batch, self.front_end, share)
        return replace(batch, audio=batch.audio[:, :0], frames=(x.numpy(), lengths.numpy()))
