"""Learned mel filters in training: a parameter that begins as the mel bank and is never negative.

An optimiser of Adam's kind moves all numbers of a parameter by steps of about the same size. So the parameter holds
each weight in a unit of its own, a power of two near what it begins as: all of a filter then move by the same share.
Of the 20,560 weights 500 are not 0 at first. The others have a unit `OUTSIDE` below the largest of their filter:
speech has 40 dB more power at low frequencies than at high ones, and of equal steps a few hundred updates made what
leaked into the high filters louder than what they are for (docs/experiments.md has the figures).
A power of two changes no bit, so filters are the same after a round trip through a `Network`.
Why they are not negative, and why by projection, says `stream.front_end.filterbank`.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from stream.front_end.log_mel import Spectrum, mel_bank

OUTSIDE: dict[Spectrum, float] = {"power": 2.0**-12, "magnitude": 2.0**-6}  # both 36 dB of power


class LearnedMel(nn.Module):
    """The filters of a model, (80, 257).

    Args:
        spectrum: that they are applied to.
    """

    unit: Tensor

    def __init__(self, spectrum: Spectrum) -> None:
        super().__init__()
        bank = mel_bank(spectrum).astype(np.float32)
        least = OUTSIDE[spectrum] * bank.max(axis=1, keepdims=True)
        unit = np.exp2(np.floor(np.log2(np.maximum(bank, least))))
        self.register_buffer("unit", torch.from_numpy(unit), persistent=False)
        self.weight = nn.Parameter(torch.from_numpy(bank / unit))

    def forward(self) -> Tensor:
        """Return the filters as the front end takes them."""
        return self.unit * self.weight

    @torch.no_grad()
    def project(self) -> None:
        """Make weights that an update made negative 0."""
        self.weight.clamp_(min=0.0)

    @torch.no_grad()
    def load(self, bank: Tensor) -> None:
        """Take the filters of a network."""
        self.weight.copy_(bank / self.unit)
