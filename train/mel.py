"""Learned mel filters in training: a parameter that begins as the mel bank and is never negative.

The parameter holds each filter in units of a power of two near its largest weight, so all are numbers of about 1:
the 2 or 3 weights of a low filter are ten times as large as those of a high one, and one step of an optimiser
suits both. A power of two changes no bit, so filters are the same after a round trip through a `Network`.
Why they are not negative, and why by projection, says `stream.front_end.filterbank`.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from stream.front_end.log_mel import Spectrum, mel_bank


class LearnedMel(nn.Module):
    """The filters of a model, (80, 257).

    Args:
        spectrum: that they are applied to.
    """

    scale: Tensor

    def __init__(self, spectrum: Spectrum) -> None:
        super().__init__()
        bank = mel_bank(spectrum).astype(np.float32)
        scale = np.exp2(np.floor(np.log2(bank.max(axis=1, keepdims=True))))
        self.register_buffer("scale", torch.from_numpy(scale), persistent=False)
        self.weight = nn.Parameter(torch.from_numpy(bank / scale))

    def forward(self) -> Tensor:
        """Return the filters as the front end takes them."""
        return self.scale * self.weight

    @torch.no_grad()
    def project(self) -> None:
        """Make weights that an update made negative 0."""
        self.weight.clamp_(min=0.0)

    @torch.no_grad()
    def load(self, bank: Tensor) -> None:
        """Take the filters of a network."""
        self.weight.copy_(bank / self.scale)
