"""Filterbank: which filters turn a spectrum into the 80 bins of a frame, as a specification says it.

    {"window": 400, …, "front_end": {"mel": "learned", "spectrum": "magnitude"}}

A fixed bank is computed (`stream.front_end.log_mel.mel_bank`). A learned one begins as that bank and is an array
of the model, `MEL`, (80, 257). Serving costs the same: one product with a matrix of that size.

No weight of a learned bank is negative:

1. Frames are logarithms of energies above a floor. A sum of both signs may cancel: what is left of it is rounding,
   which differs between machines and, unlike that of a sum of positive terms, is not small in the logarithm.
2. Under the floor there is no gradient. A filter whose sum is negative would stay there and never learn again.
3. Levels in dB (`stream.front_end.gate`, `gain_control`) are those of energies.

Training keeps them so by projection: after an update, what fell below 0 is 0 (`train.mel`). So weights outside a
filter's triangle, which begin at 0, can grow, which a square or an exponential of parameters would not let them.
"""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.front_end.log_mel import Spectrum, mel_bank

MEL = "front_end.mel"  # name of the array


class Filterbank(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Filters and what they are applied to.

    Attributes:
        mel: "fixed", Slaney's bank, or "learned", an array of the model that begins as that bank.
        spectrum: of power, or of magnitude, whose filtered sum is squared: frames are the logarithm of a
            power either way, and the floor and all levels mean the same.
    """

    mel: Literal["fixed", "learned"] = "fixed"
    spectrum: Spectrum = "power"


def distance(bank: NDArray[np.float32], spectrum: Spectrum) -> float:
    """Return how far learned filters, (80, 257), are from the fixed ones: a share of these, mean over filters."""
    fixed = mel_bank(spectrum)
    moved = np.linalg.norm(bank - fixed, axis=1) / np.linalg.norm(fixed, axis=1)
    return float(moved.mean())


def check_bank(bank: NDArray[np.float32]) -> None:
    """Check a learned bank, (80, 257).

    Raises:
        ValueError: a weight is negative.
    """
    if (negative := np.argwhere(bank < 0.0)).size:
        row, column = negative[0].tolist()
        raise ValueError(
            f"{MEL} is {bank[row, column]:g} at [{row}, {column}], and a filter has no weight below 0"
        )
