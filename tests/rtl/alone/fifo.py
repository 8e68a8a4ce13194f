"""What comes to both ends of a queue, and a simulation of `rill_fifo`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.rtl.alone.replay import Ints, replay
from tests.rtl.simulators import Simulator

__all__ = ["DEPTHS", "check_fifo", "run_fifo", "traffic"]

DEPTHS = (1, 3, 4)
SHARES = (
    (1.0, 0.0),
    (0.0, 1.0),
    (1.0, 1.0),
    (0.8, 0.3),
    (0.3, 0.8),
    (0.5, 0.5),
)  # of valid, of ready
CLOCKS = 60  # of each


def traffic() -> Ints:
    """Return a row a clock: whether a word comes, the word, whether one is taken."""
    rng = np.random.default_rng(0)
    words = np.arange(len(SHARES) * CLOCKS) % 251
    valid, ready = (
        (rng.random((len(SHARES), CLOCKS, 2)) < np.array(SHARES)[:, None]).reshape(-1, 2).T
    )
    return np.stack([valid, words, ready], axis=1)


def run_fifo(simulator: Simulator, folder: Path, depth: int, rows: Ints) -> Ints:
    """Return a row a clock: ready, valid, the word that waits, empty."""
    return np.array(replay(simulator, folder, "fifo_bench", {"DEPTH": depth}, rows.tolist()))


def check_fifo(depth: int, rows: Ints, answers: Ints) -> int:
    """Assert that no word is lost, doubled, changed, overtaken or late; returns how many passed."""
    inside: list[int] = []
    waited = passed = 0
    for (comes, word, taken), (ready, valid, shown, empty) in zip(
        rows.tolist(), answers.tolist(), strict=True
    ):
        assert empty == (not inside)
        assert ready or len(inside) >= depth
        waited = waited + 1 if inside else 0
        assert valid or waited < 2  # a clock after it has come to its head, a word is shown
        if valid:
            assert shown == inside[0]
        if valid and taken:
            del inside[0]
            waited, passed = 0, passed + 1
        if comes and ready:
            inside.append(word)
        assert len(inside) <= depth + 1
    return passed
