"""The self-test's arithmetic, with steps of known cost, and one run on a small model."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream import directory, selftest
from stream.network import open_model
from stream.selftest import LOOP_SECONDS, SHARE, TRIAL, capacity, measure, self_test
from tests.tiny import tiny_network

BUDGET = SHARE * 0.06


def steps(a_channel: float, first: float = 2e-3) -> tuple[tuple[int, float], ...]:
    return measure(lambda count: first + a_channel * count)


@pytest.mark.parametrize("a_channel", [1e-3, 3e-4, 1.2e-4])
def test_the_capacity_is_where_the_step_fills_its_share(a_channel: float) -> None:
    assert capacity(steps(a_channel), 1, 4) == pytest.approx((BUDGET - 2e-3) / a_channel, abs=1)


def test_steps_are_measured_until_one_takes_too_long() -> None:
    counts = [count for count, _ in steps(1e-3)]
    assert counts == [1, TRIAL, 2 * TRIAL]


def test_a_machine_that_is_too_slow_for_any_still_takes_one() -> None:
    assert capacity(steps(1.0), 1, 2) == 1


def test_step_and_event_loop_add_up_where_they_share_a_core() -> None:
    both = 4e-4 + LOOP_SECONDS
    assert capacity(steps(4e-4), 1, 1) == pytest.approx((BUDGET - 2e-3) / both, abs=1)


def test_two_workers_carry_what_two_cores_do() -> None:
    one, two = (capacity(steps(1e-3), workers, 2) for workers in (1, 2))
    assert one == pytest.approx((BUDGET - 2e-3) / 1e-3, abs=1)
    assert two == pytest.approx((2 * BUDGET - 4e-3) / (1e-3 + LOOP_SECONDS), abs=2)


def test_where_the_step_costs_nothing_the_event_loop_is_the_limit() -> None:
    free = measure(lambda count: 1e-9)
    assert capacity(free, 1, 2) == pytest.approx(BUDGET / LOOP_SECONDS, abs=1)
    assert len(free) < 12


@pytest.mark.parametrize("a_channel, workers", [(1e-3, 2), (1e-5, 1)])
def test_there_are_as_many_workers_as_it_takes(
    a_channel: float, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selftest, "available_cores", lambda: 2)
    monkeypatch.setattr(selftest._Trial, "step", lambda trial, count: a_channel * count)
    assert self_test(tiny_network()).workers == workers
    assert self_test(tiny_network(), workers=3).workers == 3


def test_a_model_without_graphs_is_measured_on_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "MOST", 32)
    plan = self_test(tiny_network())
    assert plan.backend == "numpy"
    assert f"{plan.slots} channels with numpy and {plan.workers} worker(s)" in str(plan)
    assert [name for name, *_ in plan.tried] == ["numpy"]


def test_int8_is_tried_where_the_directory_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs = pytest.importorskip("export.graphs")
    int8 = pytest.importorskip("export.int8")
    monkeypatch.setattr(selftest, "MOST", 32)
    network = tiny_network()
    files = graphs.build_graphs(network, directory.serialise(network))
    for extra, names in (
        ({}, {"onnx"}),
        (int8.build_int8(network, int8.Ranges(8, 8)), {"onnx", "int8"}),
    ):
        directory.write(network, tmp_path / "model", {**files, **extra})
        plan = self_test(open_model(tmp_path / "model"))
        assert {name for name, _ in plan.tried} == names
        assert plan.backend == min(plan.tried, key=lambda tried: tried[1])[0]
    assert self_test(open_model(tmp_path / "model"), "onnx").backend == "onnx"
