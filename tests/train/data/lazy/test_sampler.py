"""Batches are functions of seed and number: every utterance once an epoch, whoever draws them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.train.data.lazy.sets import index
from train.data.batches import number_of
from train.data.lazy.sampler import Sampler

DURATIONS = np.random.default_rng(0).gamma(2.0, 2.0, 1200).clip(0.2, 25.0).tolist()


def sampler(folder: Path, seconds: float = 30.0, seed: int = 1, **limits: float) -> Sampler:
    return Sampler([index(folder, DURATIONS)], [1.0], seconds, seed, **limits)


def drawn(of: Sampler, numbers: range) -> list[tuple[int, int]]:
    return [row for number in numbers for row in of.batch(number)]


def test_an_epoch_holds_every_utterance_once_and_the_next_one_in_another_order(
    tmp_path: Path,
) -> None:
    own = sampler(tmp_path)
    epochs = [drawn(own, range(n * own.epoch, (n + 1) * own.epoch)) for n in range(3)]
    assert own.utterances == len(DURATIONS)
    for epoch in epochs:
        assert sorted(epoch) == [(0, n) for n in range(len(DURATIONS))]
    assert epochs[0] != epochs[1] != epochs[2]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.floats(0.1, 40.0), min_size=1, max_size=60),
    st.floats(1.0, 100.0),
    st.integers(0, 3),
)
def test_any_corpus_comes_once_an_epoch(
    tmp_path_factory: pytest.TempPathFactory, durations: list[float], seconds: float, epoch: int
) -> None:
    own = Sampler([index(tmp_path_factory.mktemp("set"), durations)], [1.0], seconds, 5)
    rows = drawn(own, range(epoch * own.epoch, (epoch + 1) * own.epoch))
    assert sorted(number for _, number in rows) == list(range(len(durations)))


@pytest.mark.parametrize(("ranks", "parts"), [(1, 1), (2, 1), (3, 1), (8, 1), (2, 3)])
def test_ranks_and_parts_share_an_epoch_without_meeting(
    ranks: int, parts: int, tmp_path: Path
) -> None:
    own = sampler(tmp_path)
    numbers = [
        number_of(update, rank, ranks, part, parts)
        for update in range(-(-own.epoch // (ranks * parts)))
        for part in range(parts)
        for rank in range(ranks)
    ]
    assert numbers == list(range(len(numbers)))
    assert sorted(drawn(own, range(own.epoch))) == [(0, n) for n in range(len(DURATIONS))]


def test_two_ranks_see_together_what_one_sees_in_two_parts() -> None:
    for update in range(5):
        ranks = [number_of(update, rank, 2) for rank in range(2)]
        assert ranks == [number_of(update, part=part, parts=2) for part in range(2)]


def test_a_batch_needs_no_other_batch(tmp_path: Path) -> None:
    one, another = sampler(tmp_path), sampler(tmp_path)
    in_order = [one.batch(number) for number in range(40)]
    for number in (39, 3, 17):
        assert another.batch(number) == in_order[number]
    assert sampler(tmp_path, seed=2).batch(3) != in_order[3]


def test_a_batch_is_of_similar_durations_and_fits(tmp_path: Path) -> None:
    own = sampler(tmp_path, seconds=60.0)
    padded, real = 0.0, 0.0
    for number in range(own.epoch):
        seconds = [DURATIONS[row] for _, row in own.batch(number)]
        assert len(seconds) * (max(seconds) + 0.5) <= 60.0 or len(seconds) == 1
        assert max(seconds) <= 1.66 * min(seconds)
        padded, real = padded + len(seconds) * max(seconds), real + sum(seconds)
    assert real / padded > 0.9


def test_utterances_out_of_the_limits_are_left_out(tmp_path: Path) -> None:
    own = sampler(tmp_path, min_seconds=1.0, max_seconds=5.0)
    got = {row for _, row in drawn(own, range(own.epoch))}
    assert got == {n for n, seconds in enumerate(DURATIONS) if 1.0 <= np.float32(seconds) <= 5.0}
    with pytest.raises(ValueError, match=r"no utterance of 50 to inf s is in .*set\.jsonl"):
        sampler(tmp_path, min_seconds=50.0)


def test_a_weight_is_how_often_an_utterance_comes_in_an_epoch(tmp_path: Path) -> None:
    sets = [index(tmp_path, DURATIONS[:400], f"{n}.jsonl") for n in range(4)]
    own = Sampler(sets, [1.0, 3.0, 0.5, 2.5], 30.0, 1)
    counts = Counter(drawn(own, range(own.epoch)))
    assert {counts[0, n] for n in range(400)} == {1}
    assert {counts[1, n] for n in range(400)} == {3}
    assert {counts[2, n] for n in range(400)} <= {0, 1}
    assert {counts[3, n] for n in range(400)} <= {2, 3}
    assert sum(counts[2, n] for n in range(400)) == pytest.approx(200, rel=0.1)
    counts += Counter(drawn(own, range(own.epoch, 2 * own.epoch)))
    assert sum(counts[2, n] == 0 for n in range(400)) < 20  # buckets of an odd number round
