"""The allocator keeps what is freed, so that it is not taken from the kernel again."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import sys
import numpy as np
from stream.engine.resources import ProcessMemory
from train.compute.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
before = ProcessMemory().held()
np.ones(256 << 20, np.uint8)
print(ProcessMemory().held() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="wants glibc")
@pytest.mark.parametrize(("which", "least", "most"), [("kept", 250e6, 300e6), ("not", 0, 50e6)])
def test_what_is_freed_stays_with_the_process(which: str, least: float, most: float) -> None:
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM, which], capture_output=True, text=True, check=True
    )
    assert least <= int(found.stdout) <= most
