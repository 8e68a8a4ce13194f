"""How many recordings a training set has of each corpus, and how long they are: as provenance says it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
UNNAMED = "unnamed"  # the corpus of utterances that name none


@dataclass(frozen=True)
class Recordings:
    """The recordings of a training set, before augmentation.

    Attributes:
        seconds: the duration of each, by corpus.
    """

    seconds: Mapping[str, NDArray[np.float32]]

    @classmethod
    def of(cls, groups: Iterable[tuple[str | None, NDArray[np.float32]]]) -> Recordings:
        """Return those whose corpora and durations come in groups, as they come."""
        found: dict[str, list[NDArray[np.float32]]] = {}
        for corpus, durations in groups:
            found.setdefault(corpus or UNNAMED, []).append(durations)
        return cls({corpus: np.concatenate(each) for corpus, each in found.items()})

    @property
    def hours(self) -> float:
        """The length of all of them."""
        return float(sum(each.sum(dtype=np.float64) for each in self.seconds.values())) / 3600

    def notes(self) -> dict[str, Any]:
        """Return what a model's notes say: number, hours and percentiles of the duration, by corpus."""
        return {
            corpus: {
                "recordings": len(each),
                "hours": round(float(each.sum(dtype=np.float64)) / 3600, 4),
                "percentiles": {
                    str(percent): round(float(seconds), 2)
                    for percent, seconds in zip(
                        PERCENTILES, np.percentile(each, PERCENTILES), strict=True
                    )
                },
            }
            for corpus, each in sorted(self.seconds.items())
            if len(each)
        }
