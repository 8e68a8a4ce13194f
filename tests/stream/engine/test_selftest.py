"""The self-test's arithmetic, with steps of known cost, and one run on a small model."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.backends import load_backend
from stream.bundled import model_path
from stream.engine import selftest
from stream.engine.engine import Engine
from stream.engine.resources import ProcessMemory
from stream.engine.selftest import (
    BESIDE_SECONDS,
    LINK_SECONDS,
    LOOP_SECONDS,
    SHARE,
    capacity,
    load_available,
    self_test,
)
from stream.model import directory
from stream.model.network import open_model
from stream.model.specification import ModelError
from tests.tiny import tiny_network, without_int8

BUDGET = SHARE * 0.06


@pytest.mark.parametrize("a_channel", [1e-3, 3e-4, 1.2e-4])
def test_the_capacity_is_where_the_step_fills_its_share(a_channel: float) -> None:
    slots, steps = capacity(lambda count: 2e-3 + a_channel * count, 0.06, threads=1, cores=4)
    assert slots == pytest.approx((BUDGET - 2e-3) / (a_channel + LINK_SECONDS), rel=0.05)
    assert [count for count, _ in steps] == sorted(count for count, _ in steps)


def test_a_machine_that_is_too_slow_for_any_still_takes_one() -> None:
    assert capacity(lambda count: 1.0 * count, 0.06, 1, 2)[0] == 1


@pytest.mark.parametrize("threads, cores", [(1, 1), (2, 2)])
def test_a_step_on_all_cores_waits_for_what_runs_beside_it(threads: int, cores: int) -> None:
    slots, _ = capacity(lambda count: 2e-3 + 4e-4 * count, 0.06, threads, cores)
    beside = BESIDE_SECONDS / 0.06  # cores a channel
    a_channel = 4e-4 + LINK_SECONDS
    step = 2e-3 + a_channel * slots
    assert step / (1.0 - beside * slots) <= BUDGET
    assert (step + a_channel) / (1.0 - beside * (slots + 1)) > BUDGET


def test_a_slower_interpreter_carries_fewer_channels() -> None:
    assert capacity(lambda count: 1e-9, 0.06, 1, 2, pace=2.0)[0] == pytest.approx(
        BUDGET / (2.0 * LOOP_SECONDS), abs=1
    )


def test_where_the_step_costs_nothing_the_event_loop_is_the_limit() -> None:
    slots, steps = capacity(lambda count: 1e-9, 0.06, 1, 2)
    assert slots == pytest.approx(BUDGET / LOOP_SECONDS, abs=1)
    assert len(steps) < 12


@pytest.mark.parametrize("most", [1, 20, 32, 100])
def test_there_are_never_more_channels_than_memory_holds(most: int) -> None:
    slots, steps = capacity(lambda count: 1e-9, 0.06, 1, 2, most=most)
    assert slots == max(count for count, _ in steps) == most


def test_channels_are_as_many_as_half_of_the_memory_holds_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = tiny_network()
    size = Engine(network, load_backend("numpy", network), 1).channel_bytes
    monkeypatch.setattr(ProcessMemory, "there", lambda self: 4 * 3 * size)
    plan = self_test(network)
    assert plan.slots <= 3
    assert plan.channel_bytes == size


def test_a_model_without_graphs_is_measured_on_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "MOST", 32)
    plan = self_test(tiny_network())
    assert (plan.backend, plan.threads) == ("numpy", 1)
    assert f"{plan.slots} channels with numpy on 1 thread(s)" in str(plan)
    assert [name for name, *_ in plan.tried] == ["numpy"]


def test_int8_is_tried_where_the_directory_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx")
    from export.build import build
    from export.onnx.ranges import Ranges

    monkeypatch.setattr(selftest, "MOST", 32)
    network = tiny_network()
    for ranges, names in ((None, {"onnx"}), (Ranges(8.0, 8.0), {"onnx", "int8"})):
        directory.write(network, tmp_path / "model", build(network, ranges=ranges))
        plan = self_test(open_model(tmp_path / "model"))
        assert {name for name, *_ in plan.tried} == names
        fastest = min((plan for plan in plan.tried if plan[1] == 1), key=lambda tried: tried[2])
        assert plan.backend == fastest[0]
    assert self_test(open_model(tmp_path / "model"), "onnx").backend == "onnx"


def test_where_int8_cannot_run_float32_serves_and_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(selftest, "MOST", 32)
    network = open_model(without_int8(tmp_path / "model"))
    plan = self_test(network)
    assert (plan.backend, {name for name, *_ in plan.tried}) == ("onnx", {"onnx"})
    (record,) = caplog.records
    said = record.getMessage()
    assert said.startswith("float32 is served, for int8 cannot run here: ") and "\n" not in said
    assert "encoder.int8.onnx cannot be run" in said
    assert list(load_available(network)) == ["onnx"]


def test_int8_by_name_is_refused_with_the_flag_that_helps(tmp_path: Path) -> None:
    network = open_model(without_int8(tmp_path / "model"))
    with pytest.raises(ModelError, match=r"encoder.int8.onnx cannot .*\. Use --backend onnx$"):
        self_test(network, "int8")
    load_backend("onnx", network)


def test_a_machine_whose_products_are_all_wrong_serves_float32(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("stream.backends.int8.products_are_exact", lambda unsigned=False: False)
    assert list(load_available(open_model(model_path()))) == ["onnx"]
    assert "this machine's integer products are wrong. Use --backend onnx" in caplog.text
