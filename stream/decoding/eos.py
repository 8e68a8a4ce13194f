"""EOS rules: how a decoder treats the `<EOS>` token (NUMERICS 4.3).

"predict" scales its log-probability and may drop it, "blank" gives its probability to blank, "ignore"
forbids it. A rule changes two columns of the log-probabilities before the decoder chooses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stream.errors import ArgumentError

EOS = "<EOS>"  # the piece


@dataclass(frozen=True)
class EosRule:
    """A rule for the `<EOS>` token.

    Attributes:
        id: of the token.
        mode: "predict" multiplies its log-probability by `alpha` and drops the token where the
            product is not above log(`beta`); "blank" adds its probability to blank's; "ignore"
            forbids it.
        alpha: factor, positive; below 1 the token comes more often.
        beta: probability below which it is dropped; 0 = never.
        terminal: whether decoding ends with it (a beam's rule; greedy leaves that to endpointing).
    Raises:
        ValueError: a number is out of its range.
    """

    id: int
    mode: Literal["predict", "blank", "ignore"] = "predict"
    alpha: float = 1.0
    beta: float = 0.0
    terminal: bool = False

    def __post_init__(self) -> None:
        if self.id < 0:
            raise ValueError(f"eos: id is {self.id}, wants the id of a piece")
        if self.mode not in ("predict", "blank", "ignore"):
            raise ValueError(f"eos: mode is {self.mode!r}, wants predict, blank or ignore")
        if not 0.0 < self.alpha < np.inf:
            raise ArgumentError(f"eos: alpha is {self.alpha}, wants a positive number")
        if not 0.0 <= self.beta < 1.0:
            raise ArgumentError(f"eos: beta is {self.beta}, wants a probability below 1")

    def apply(self, log_probabilities: NDArray[Any], blank: int) -> None:
        """Change the columns of `<EOS>` and blank in place.

        Args:
            log_probabilities: (B, C) floating, natural log.
            blank: id of blank.
        """
        eos = log_probabilities[:, self.id].copy()
        log_probabilities[:, self.id] = -np.inf
        if self.mode == "blank":
            log_probabilities[:, blank] = np.logaddexp(log_probabilities[:, blank], eos)
        elif self.mode == "predict":
            weighted = eos * self.alpha
            kept = weighted > np.log(self.beta) if self.beta > 0.0 else np.ones(len(eos), np.bool_)
            log_probabilities[kept, self.id] = weighted[kept]
