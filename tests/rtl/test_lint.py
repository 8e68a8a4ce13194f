"""The gateware is what three tools take without a warning."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.rtl.simulators import SIMULATORS, SOURCES, execute

TOPS = {
    "rill_lstm_layer": {"INPUTS": 12, "HIDDEN": 8, "UNITS": 2, "SHIFT_X": 3, "CHANNELS": 2},
    "rill_transducer": {"CHANNELS": 2, "WEIGHT_LATENCY": 3},
    "rill_weights": {},
    "rill_external": {"CHANNELS": 2, "UNITS": 4},
    "rill_weight_buffer": {"FILL_WIDTH": 256},
}


@pytest.mark.parametrize("top", TOPS)
def test_verilator_has_no_warning(top: str) -> None:
    SIMULATORS["verilator"].require()
    source = next(path for path in SOURCES if path.stem == top)
    sizes = [f"-G{name}={value}" for name, value in TOPS[top].items()]
    command = ["verilator", "--lint-only", "-Wall", "-sv", "-y", str(source.parent), *sizes]
    assert execute([*command, str(source)], source.parent) == ""


@pytest.mark.slow
def test_yosys_makes_logic_of_a_layer(tmp_path: Path) -> None:
    if shutil.which("yosys") is None:
        pytest.skip("yosys is not installed")
    sizes = " ".join(f"-set {name} {value}" for name, value in TOPS["rill_lstm_layer"].items())
    script = (
        f"read_verilog -sv {' '.join(map(str, SOURCES))}; chparam {sizes} rill_lstm_layer; "
        "hierarchy -check -top rill_lstm_layer; proc; flatten; opt_clean; check -assert"
    )
    printed = execute(["yosys", "-p", script], tmp_path)
    assert "found and reported 0 problems" in printed.lower()
    assert "\nLatch inferred" not in printed


def test_every_file_is_one_module_and_opens_with_a_drawing() -> None:
    for path in SOURCES:
        text = path.read_text()
        assert re.findall(r"(?m)^module (\w+)", text) == [path.stem]
        header = text[: text.index("module ")]
        assert all(line.startswith("//") for line in header.splitlines())
        assert path.stem == "rill_walk" or re.search("[─│▼▲]", header), path.name
