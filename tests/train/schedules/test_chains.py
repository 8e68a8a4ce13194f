"""Chains of updates: drawn by their weights, cut at checkpoints, the same whoever asks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from train.schedules.chains import Chains


def chains(weights: Any, start: int = 0, every: int = 1000, seed: int = 1) -> Chains:
    return Chains(weights, start, lambda update: update % every == 0, seed)


def lengths(own: Chains, updates: int) -> list[int]:
    begins = [n for n in range(1, updates + 2) if not own.continues(n)]
    return np.diff(begins).tolist()


def test_without_longer_chains_every_update_begins() -> None:
    assert set(lengths(chains([1.0]), 50)) == {1}
    assert set(lengths(chains([1.0, 0.0]), 50)) == {1}


def test_chains_are_as_often_as_their_weights_say() -> None:
    found = lengths(chains([2.0, 0.0, 1.0], every=10_000), 3000)
    assert set(found) == {1, 3}
    assert found.count(3) / len(found) == pytest.approx(1 / 3, abs=0.05)


def test_a_chain_begins_again_after_a_checkpoint_and_late() -> None:
    own = chains([0.0, 0.0, 1.0], start=3, every=8)
    assert [n for n in range(1, 20) if own.continues(n)] == [4, 5, 7, 8, 10, 11, 13, 14, 16, 18, 19]
    assert not own.is_continued(8) and own.is_continued(9)


def test_a_chain_is_a_function_of_seed_and_update() -> None:
    one, again, other = chains([1.0, 1.0]), chains([1.0, 1.0]), chains([1.0, 1.0], seed=2)
    wanted = [one.continues(n) for n in range(1, 200)]
    assert [again.continues(n) for n in reversed(range(1, 200))] == wanted[::-1]
    assert [other.continues(n) for n in range(1, 200)] != wanted
