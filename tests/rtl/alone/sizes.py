"""Sizes that `rill_external` works out from its parameters."""

from __future__ import annotations

from pathlib import Path

from tests.rtl.alone.replay import replay
from tests.rtl.simulators import Parameters, Simulator

__all__ = ["SIZES", "run_sizes"]

# Parameters that differ from those of the bench; words of the largest group, and banks of 2048 bytes of the embedding.
SIZES: tuple[tuple[Parameters, list[int]], ...] = (
    ({}, [240 + 16, 1]),
    ({"HIDDEN": 128}, [2 * 128 + 128, 1]),
    ({"JOINT": 264}, [264, 1]),
    ({"PREDICTION_HIDDEN": 136}, [2 * 136, 2]),
    ({"PREDICTION_HIDDEN": 512, "CLASSES": 4}, [2 * 512, 1]),
    ({"PREDICTION_HIDDEN": 683, "CLASSES": 3}, [2 * 683, 2]),
)


def run_sizes(simulator: Simulator, folder: Path, parameters: Parameters) -> list[int]:
    """Return for how many words of a group there is room, and how many banks the embedding has."""
    (found,) = replay(simulator, folder, "sizes_bench", parameters, [])
    return found
