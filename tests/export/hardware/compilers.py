"""C compilers for the reference of a hardware bundle, native and cross, and what runs their programs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

__all__ = ["NATIVE", "TARGETS", "Target"]

WARNINGS = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror")
SANITISERS = ("-fsanitize=undefined,address", "-fno-sanitize-recover=all")


class Target(NamedTuple):
    """A compiler and a machine.

    Attributes:
        compiler: the command.
        flags: for the machine.
        runner: what runs its programs here; empty: they run as they are.
        sanitisers: whether the compiler has them.
    """

    compiler: str
    flags: tuple[str, ...] = ()
    runner: tuple[str, ...] = ()
    sanitisers: bool = True

    def require(self) -> None:
        """Skip the test that asks where the compiler, or what runs its programs, is not installed."""
        for tool in (self.compiler, *self.runner[:1]):
            if shutil.which(tool) is None:
                pytest.skip(f"{tool} is not installed")

    def build(
        self, folder: Path, sources: tuple[str, ...], program: Path, *, optimise: str = "-O0"
    ) -> list[str]:
        """Compile C files of a folder, every warning an error; return the command that runs the program."""
        self.require()
        flags = (*WARNINGS, *self.flags, *(SANITISERS if self.sanitisers else ()), optimise)
        command = [self.compiler, *flags, *sources, "-o", str(program)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return [*self.runner, str(program)]


NATIVE = Target("gcc")
# Debian: gcc-arm-linux-gnueabihf, gcc-riscv64-linux-gnu, qemu-user. Thumb-2 is what Cortex-M cores execute.
TARGETS = {
    "gcc": NATIVE,
    "clang": Target("clang"),
    "thumb": Target(
        "arm-linux-gnueabihf-gcc", ("-static", "-mthumb", "-march=armv7-a"), ("qemu-arm",), False
    ),
    "arm": Target("arm-linux-gnueabihf-gcc", ("-static", "-marm"), ("qemu-arm",), False),
    "riscv64": Target("riscv64-linux-gnu-gcc", ("-static",), ("qemu-riscv64",), False),
}
