"""Threads: those that were asked for, or one for each core that is left."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from train.compute import threads
from train.compute.threads import set_threads


@pytest.mark.parametrize(
    ("count", "beside", "cores", "expected"),
    [
        (3, 1, 2, 3),  # as asked
        (None, 0, 2, 2),
        (None, 1, 2, 1),
        (None, 8, 2, 1),
        (None, 8, 6, 3),  # most of many wait
        (None, 0, 64, 4),  # no more than torch would take
    ],
)
def test_there_is_a_thread_for_each_core_that_is_left(
    monkeypatch: pytest.MonkeyPatch, count: int | None, beside: int, cores: int, expected: int
) -> None:
    torch.set_num_threads(4)
    monkeypatch.setattr(threads, "usable_cores", lambda: cores)
    set_threads(count, beside)
    assert torch.get_num_threads() == expected
