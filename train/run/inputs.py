"""From a batch of audio to what a model learns from: features, a channel's statistics, SpecAugment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from stream.front_end.log_mel import FrontEnd
from stream.front_end.normaliser import Normaliser
from stream.stage import Stage
from train.config.run import Config
from train.data.augmentation import spec_augment
from train.data.features import log_mel, normalised, normalised_by_themselves, stacked
from train.data.history import histories
from train.data.rows import Batch, Rows
from train.model import Transducer


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
        device: where they are computed, and learned from.
    """

    config: Config
    rows: Rows
    normaliser: Stage
    device: torch.device = torch.device("cpu")

    def of(self, batch: Batch, key: int, model: Transducer, stream_share: float = 1.0) -> Inputs:
        """Return the inputs of a batch, with their gradient where the model learns its filters.

        Args:
            key: of what is drawn, except for the statistics' jitter, which is drawn with torch's seed.
            model: whose front end it is.
            stream_share: of normalisation by a stream's statistics; the rest is by a row's own.
        """
        # Spectra are float64's, which MPS has not.
        where = torch.device("cpu") if self.device.type == "mps" else self.device
        front_end = model.front_end
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
        x, lengths = stacked(z, counts, model.specification.encoder)
        tokens = torch.from_numpy(batch.tokens), torch.from_numpy(batch.token_lengths)
        return Inputs(*(tensor.to(self.device) for tensor in (x, lengths, *tokens)))

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
        jitter = self.config.statistics_jitter * torch.randn(len(frames), 1).to(frames.device)
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
