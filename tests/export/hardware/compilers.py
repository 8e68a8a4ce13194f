"""C compilers for the reference of a hardware bundle, native and cross, and what runs their programs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.places import REPOSITORY

__all__ = ["NATIVE", "TARGETS", "Target"]

WARNINGS = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror")
SANITISERS = ("-fsanitize=undefined,address", "-fno-sanitize-recover=all")


class Target(NamedTuple):
    """A compiler and a machine.

    Attributes:
        compilers: commands, of which the first that is installed is taken.
        flags: for the machine.
        runner: what runs its programs here; empty: they run as they are.
        sanitisers: whether the compiler has them.
    """

    compilers: tuple[str, ...]
    flags: tuple[str, ...] = ()
    runner: tuple[str, ...] = ()
    sanitisers: bool = True

    @property
    def compiler(self) -> str:
        """The command of the compiler, installed or not."""
        return next((each for each in self.compilers if shutil.which(each)), self.compilers[0])

    @property
    def missing(self) -> str | None:
        """The first tool that is not installed."""
        return next((t for t in (self.compiler, *self.runner[:1]) if shutil.which(t) is None), None)

    def require(self) -> None:
        """Skip the test that asks where the compiler, or what runs its programs, is not installed."""
        if self.missing:
            pytest.skip(f"{self.missing} is not installed")

    def build(
        self, folder: Path, sources: tuple[str, ...], program: Path, *, optimise: str = "-O0"
    ) -> list[str]:
        """Compile C files of a folder, every warning an error; return the command that runs the program."""
        flags = (*WARNINGS, *self.flags, *(SANITISERS if self.sanitisers else ()), optimise)
        command = [self.compiler, *flags, *sources, "-o", str(program)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return [*self.runner, str(program)]


# Debian: gcc-arm-linux-gnueabi, gcc-riscv64-linux-gnu, gcc-arm-none-eabi with libnewlib-arm-none-eabi, qemu-user.
ARM = ("arm-linux-gnueabihf-gcc", "arm-linux-gnueabi-gcc")
LINUX = str(REPOSITORY / "tests/export/hardware/qemu/linux.c")


def _cortex(core: str) -> Target:
    """Return a microcontroller's core: its code alone, of the compiler for bare machines; Linux is asked by linux.c."""
    flags = (f"-mcpu={core}", "-mthumb", "-nostartfiles", LINUX)
    return Target(("arm-none-eabi-gcc",), flags, ("qemu-arm", "-cpu", "max"), False)


NATIVE = Target(("gcc",))
TARGETS = {
    "gcc": NATIVE,
    "clang": Target(("clang",)),
    "arm": Target(ARM, ("-static", "-marm"), ("qemu-arm",), False),
    "thumb": Target(ARM, ("-static", "-mthumb", "-march=armv7-a"), ("qemu-arm",), False),
    "cortex-m0plus": _cortex("cortex-m0plus"),
    "cortex-m4": _cortex("cortex-m4"),
    "riscv64": Target(("riscv64-linux-gnu-gcc",), ("-static",), ("qemu-riscv64",), False),
}
