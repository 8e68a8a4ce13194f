"""The differences of two networks at each stage, from their traces (`export.checks.tracer`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from export.checks.tracer import STAGES, Row
from stream.front_end.log_mel import HOP, SAMPLE_RATE
from stream.stage import Floats


class Difference(msgspec.Struct, frozen=True):
    """The difference of two networks at one stage.

    Attributes:
        largest: magnitude of the largest difference of two elements.
        relative: root mean square of the difference, over that of the reference.
        recording: id of the recording with the largest difference; None where there is none.
        seconds: time of it; None where the stage has no times.
    """

    largest: float
    relative: float
    recording: str | None = None
    seconds: float | None = None


@dataclass
class _Sum:
    largest: float = 0.0
    squares: float = 0.0
    reference: float = 0.0
    recording: str | None = None
    seconds: float | None = None


@dataclass
class Differences:
    """Adds up the differences of rows; a stage whose arrays have other shapes is left out for good.

    Attributes:
        frame_seconds: of an encoder frame of the reference.
        nodes: number of nodes that were compared.
        flips: number of nodes at which the best class is another one.
    """

    frame_seconds: float
    nodes: int = 0
    flips: int = 0
    _sums: dict[str, _Sum] = field(default_factory=lambda: {name: _Sum() for name in STAGES})

    def add(self, reference: list[Row], other: list[Row], names: Sequence[str]) -> None:
        """Compare traces of the same recordings, whose ids are `names`."""
        if [(r.recording, r.offset) for r in reference] != [(r.recording, r.offset) for r in other]:
            self._sums.clear()  # they are muted at different places
            return
        for ours, theirs in zip(reference, other, strict=True):
            for stage in list(self._sums):
                a, b = ours.stages.get(stage), theirs.stages.get(stage)
                if a is None or b is None or a.shape != b.shape:
                    del self._sums[stage]
                elif a.size:
                    self._add(stage, ours, np.abs(b.astype(np.float64) - a), a, names)
            if "logits" in self._sums:
                best = [row.stages["logits"].argmax(axis=1) for row in (ours, theirs)]
                self.nodes += len(best[0])
                self.flips += int((best[0] != best[1]).sum())

    def _add(
        self, stage: str, row: Row, gap: NDArray[np.float64], a: Floats, names: Sequence[str]
    ) -> None:
        found = self._sums[stage]
        found.squares += float((gap**2).sum())
        found.reference += float((a.astype(np.float64) ** 2).sum())
        at = int(gap.max(axis=1).argmax())
        if (largest := float(gap[at].max())) <= found.largest:
            return
        found.largest, found.recording = largest, names[row.recording]
        if stage == "prediction":  # between frames
            return
        if stage == "logits":
            at = int(row.steps[at])
        of_frame = self.frame_seconds if stage in ("encoder", "logits") else HOP / SAMPLE_RATE
        found.seconds = round(row.offset * self.frame_seconds + at * of_frame, 4)

    def by_stage(self) -> dict[str, Difference]:
        """Return the difference at each stage that could be compared."""
        return {
            name: Difference(
                found.largest,
                float(np.sqrt(found.squares / found.reference)) if found.reference else 0.0,
                found.recording,
                found.seconds,
            )
            for name, found in self._sums.items()
        }
