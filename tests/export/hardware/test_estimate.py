from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from export.hardware.__main__ import main
from export.hardware.costs import macs_per_second
from export.hardware.devices import DEVICES, Device
from export.hardware.estimate import CELLS_BESIDE, CELLS_OF_MULTIPLIER, estimate
from export.hardware.published import comparisons
from hwckpt.hardware_bundle import Bundle
from hwckpt.layout import SIZES
from stream.model.specification import Specification
from tests.tiny import tiny_specification

BASE = Specification(**SIZES["base"])


def device(multipliers: int, memory: float, bandwidth: float = 0.0, clock: float = 1e8) -> Device:
    return Device("test", 10**9, multipliers, 1, memory, bandwidth, clock, "")


def test_base_has_the_arithmetic_that_is_published_for_it() -> None:
    found = estimate(BASE, DEVICES["kria-k26"]._replace(cells=10**9), 0.0)
    assert found.weights == pytest.approx(84.7e6, rel=0.01)
    assert found.macs == pytest.approx(1.5e9, rel=0.05)  # 81.7 M a step and the joint
    assert 450 < found.streams < 520


def test_a_model_on_the_chip_needs_no_memory_beside_it() -> None:
    found = estimate(tiny_specification(), device(4, 1e6))
    assert found.on_chip == ("weights", "states")
    assert found.streams > 0


def test_more_multipliers_carry_more_streams_until_memory_ends() -> None:
    streams = [estimate(tiny_specification(), device(n, 1e6)).streams for n in (4, 16, 64, 4096)]
    assert streams == sorted(streams)
    assert estimate(tiny_specification(), device(4096, 2e5, clock=1e9)).bound == "memory"


def test_weights_that_neither_fit_nor_pass_in_time_carry_nobody() -> None:
    found = estimate(BASE, device(100, 1e6, bandwidth=1.3e9))
    assert (found.streams, found.bound) == (0, "bandwidth")
    assert estimate(BASE, device(100, 1e6, bandwidth=1.6e9)).streams > 0


def test_states_beside_the_chip_share_its_bandwidth_with_the_weights() -> None:
    few = estimate(BASE, device(100_000, 1e5, bandwidth=1.6e9))
    more = estimate(BASE, device(100_000, 1e5, bandwidth=3.2e9))
    assert few.bound == more.bound == "bandwidth"
    assert more.streams > few.streams > 0


def test_multipliers_need_cells_around_them() -> None:
    few = device(100, 1e6, clock=1e6)._replace(cells=CELLS_BESIDE + 10 * CELLS_OF_MULTIPLIER + 5)
    found = estimate(tiny_specification(), few)
    assert found.bound == "cells"
    assert found.streams == estimate(tiny_specification(), device(10, 1e6, clock=1e6)).streams > 0
    assert estimate(tiny_specification(), few._replace(cells=0)).streams == 0


def test_half_the_delay_reads_weights_twice_as_often() -> None:
    assert estimate(BASE, device(100, 1e6, bandwidth=2e9)).streams > 0
    assert estimate(BASE, device(100, 1e6, bandwidth=2e9), delay=0.06).bound == "bandwidth"
    assert estimate(BASE, device(100, 1e6, bandwidth=4e9), delay=0.06).streams > 0


def test_published_figures_come_with_what_ours_assume(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", "--published"]) == 0
    printed = capsys.readouterr().out
    for each in comparisons():
        assert each.system in printed
        assert all(assumption in printed for assumption in each.assumptions)
    card = next(each for each in comparisons() if "`base`" in each.system)
    assert card.published < card.ours  # an upper bound


def test_streams_are_drawn_over_bandwidth(tmp_path: Path) -> None:
    drawn = tmp_path / "streams.svg"
    flags = ["--shape", "base", "--device", "kria-k26", "--plot", str(drawn)]
    assert main(["estimate", *flags]) == 0
    assert drawn.read_text().startswith("<?xml")


def test_the_bundle_counts_the_same_products(bundle_of: Callable[[str], Bundle]) -> None:
    bundle = bundle_of("plain")
    layers = [cost for cost in bundle.manifest.costs if cost.part != "front_end"]
    found = estimate(tiny_specification(), device(4, 1e6), 2.0)
    assert macs_per_second(layers, 2.0) == pytest.approx(found.macs)


def test_the_command_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", "--shape", "base"]) == 0
    printed = capsys.readouterr().out
    assert all(f"| {name} |" in printed for name in DEVICES)
    assert (
        main(["estimate", "--shape", "bundled", "--dsps", "64", "--ram", "4", "--bandwidth", "1"])
        == 0
    )
    assert "| yours | 6.4 G |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["estimate", "--dsps", "64"], "needs both --dsps and --ram"),
        (["estimate", "--device", "zu9eg", "--dsps", "1", "--ram", "1"], "leave one out"),
        (["estimate", "--device", "zu9eg", "--clock", "100"], "leave one out"),
        (["estimate", "--bandwidth", "1"], "needs both --dsps and --ram"),
        (["estimate", "--luts", "1000"], "needs both --dsps and --ram"),
        (["estimate", "--delay", "130"], "want more than 0, 120 at most"),
        (["estimate", "--plot", "streams.pdf"], "has to end in .svg or .png"),
        (["estimate", "--dsps", "0", "--ram", "1"], "--dsps is 0; want more than 0"),
        (["estimate", "--dsps", "1", "--ram", "nan"], "--ram is nan; want more than 0"),
        (["estimate", "--tokens", "-1"], "--tokens is -1.0; want 0 or more"),
    ],
)
def test_half_a_device_or_one_of_nothing_is_a_wrong_command_line(
    flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(flags) == 2
    assert message in capsys.readouterr().err


def test_a_bundle_needs_a_model_and_a_place() -> None:
    with pytest.raises(SystemExit) as refused:
        main(["--ckpt", "model"])
    assert refused.value.code == 2
