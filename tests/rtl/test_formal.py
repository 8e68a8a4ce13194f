"""Properties of rtl/formal hold for whatever the neighbours of a module do, up to a number of clocks: yosys-smtbmc and z3."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.rtl.simulators import RTL, SOURCES, execute

# Products and what memories of weights, activations and cells hold: any values will do.
CUT = "].product_q .fc_q .ig_q .u_q .drain_q .block_q"


def check(top: str, clocks: int, folder: Path, cut: str = "") -> bool:
    """Return whether the assertions of a module of rtl/formal hold in the first clocks."""
    for tool in ("yosys", "yosys-smtbmc", "z3"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    steps = [
        f"read_verilog -defer -sv -formal {RTL / 'formal' / top}.sv {' '.join(map(str, SOURCES))}",
        f"prep -flatten -top {top}",
        *(
            [f"cutpoint {' '.join(f'w:*{name}' for name in cut.split())}", "opt_clean"]
            if cut
            else []
        ),
        "memory_map; opt -full; async2sync; dffunmap; write_smt2 -wires model.smt2",
    ]
    execute(["yosys", "-q", "-p", "; ".join(steps)], folder)
    command = ["yosys-smtbmc", "-s", "z3", "--noprogress", "-t", str(clocks), "model.smt2"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    found = "Status: PASSED" in done.stdout
    assert found or "Assert failed" in done.stdout, done.stdout + done.stderr
    return found


@pytest.mark.slow
def test_a_queue_loses_doubles_changes_and_overtakes_nothing(long: None, tmp_path: Path) -> None:
    assert check("fifo_properties", 12, tmp_path)


@pytest.mark.slow
def test_a_layer_gives_every_result_once_whatever_pauses(long: None, tmp_path: Path) -> None:
    assert check("lstm_layer_properties", 57, tmp_path, CUT)
