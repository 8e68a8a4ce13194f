"""Simulators of the gateware in rtl/: build a bench, run it with plusargs."""

from __future__ import annotations

import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from tests.places import REPOSITORY

__all__ = ["SIMULATORS", "SOURCES", "Icarus", "Parameters", "Simulator"]

RTL = REPOSITORY / "rtl"
SOURCES = sorted(RTL.glob("*.sv"))
Parameters = Mapping[str, int]


class Simulator(ABC):
    """A simulator of SystemVerilog; it runs in a folder of memory images."""

    tool: str

    def require(self) -> None:
        """Skip the test that asks where the simulator is not installed."""
        if shutil.which(self.tool) is None:
            pytest.skip(f"{self.tool} is not installed")

    def run(
        self, bench: str, parameters: Parameters, folder: Path, plusargs: tuple[str, ...]
    ) -> str:
        """Build a bench of rtl/bench if it is not there yet, run it in `folder`; return what it prints."""
        self.require()
        program = folder / f"{bench}.{self.tool}"
        if not program.exists():
            self.build(bench, parameters, program)
        return execute([*self.command(program), *(f"+{each}" for each in plusargs)], folder)

    @abstractmethod
    def build(self, bench: str, parameters: Parameters, program: Path) -> None: ...

    @abstractmethod
    def command(self, program: Path) -> list[str]: ...


class Icarus(Simulator):
    tool = "iverilog"

    def build(self, bench: str, parameters: Parameters, program: Path) -> None:
        self.compile(bench, parameters, program, SOURCES)

    def compile(
        self,
        bench: str,
        parameters: Parameters,
        program: Path,
        sources: Iterable[Path],
        options: tuple[str, ...] = (),
    ) -> None:
        """Build a bench around any sources."""
        execute(self.compiler(bench, parameters, program, sources, options), program.parent)

    def compiler(
        self,
        bench: str,
        parameters: Parameters,
        program: Path,
        sources: Iterable[Path],
        options: tuple[str, ...] = (),
    ) -> list[str]:
        """Return the command that builds a bench around any sources."""
        sizes = [f"-P{bench}.{name}={value}" for name, value in parameters.items()]
        files = [str(RTL / "bench" / f"{bench}.sv"), *map(str, sources)]
        return [
            *("iverilog", "-g2012", "-Wall", "-Wno-timescale", "-s", bench, *sizes, *options),
            *("-o", str(program), *files),
        ]

    def command(self, program: Path) -> list[str]:
        return ["vvp", "-n", str(program)]


class Verilator(Simulator):
    tool = "verilator"

    def build(self, bench: str, parameters: Parameters, program: Path) -> None:
        sizes = [f"-G{name}={value}" for name, value in parameters.items()]
        made = program.with_suffix(".made")
        execute(
            [
                "verilator",
                "--binary",
                "--timing",
                "-O3",
                "--x-assign",
                "fast",
                "-Wno-fatal",
                "-Wno-lint",
                "-Wno-style",
            ]
            + ["--top-module", bench, "-y", str(RTL), *sizes, "--Mdir", str(made), "-o", "bench"]
            + ["-MAKEFLAGS", "OPT_FAST=-O2 OPT_SLOW=-O0", str(RTL / "bench" / f"{bench}.sv")],
            program.parent,
        )
        program.symlink_to(made / "bench")

    def command(self, program: Path) -> list[str]:
        return [str(program)]


SIMULATORS: Mapping[str, Simulator] = {each.tool: each for each in (Icarus(), Verilator())}


def execute(command: list[str], folder: Path) -> str:
    """Run a command; its output, on the screen of nobody, is part of the error if it fails."""
    done = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}"
    return done.stdout
