"""Simulate what synthesis makes of `rill_lstm_layer`: gates, or the cells of an FPGA."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.rtl.simulators import SOURCES, Icarus, Parameters, execute

__all__ = ["FLOWS", "Netlist"]

TOP = "rill_lstm_layer"
FLOWS = {"gates": "synth -flatten", "ice40": "synth_ice40 -dsp"}
FILES = {"WEIGHTS": '"weights.hex"', "BIASES": '"biases.hex"'}


class Netlist(Icarus):
    """Icarus, on the netlist that Yosys writes of a layer with its sizes and memories.

    Args:
        flow: one of `FLOWS`.
    """

    def __init__(self, flow: str) -> None:
        self._flow = flow

    def require(self) -> None:
        super().require()
        if shutil.which("yosys") is None:
            pytest.skip("yosys is not installed")

    def build(self, bench: str, parameters: Parameters, program: Path) -> None:
        settings = " ".join(
            f"-set {name} {value}" for name, value in {**parameters, **FILES}.items()
        )
        netlist = program.with_suffix(".v")
        script = (
            f"read_verilog -sv {' '.join(map(str, SOURCES))}\n"
            f"chparam {settings} {TOP}\n"
            f"{FLOWS[self._flow]} -top {TOP}\n"
            f"write_verilog -noattr {netlist}\n"
        )
        (program.parent / "synthesis.ys").write_text(script)
        execute(["yosys", "-q", "synthesis.ys"], program.parent)
        sources, options = [netlist], ["-DNETLIST"]
        if self._flow == "ice40":
            found = shutil.which("yosys")
            assert found
            cells = Path(found).resolve().parent.parent / "share/yosys/ice40/cells_sim.v"
            sources.append(cells)
            options.append("-DNO_ICE40_DEFAULT_ASSIGNMENTS")
        self.compile(bench, parameters, program, sources, tuple(options))
