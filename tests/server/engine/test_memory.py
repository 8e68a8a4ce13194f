from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from server.engine.memory import keep_memory

SCRIPT = """
import resource, sys
import numpy as np
from server.engine.memory import keep_memory
if sys.argv[1] == "keep":
    assert keep_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    [np.ones(1 << 17) for _ in range(16)]  # a step holds some at a time
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has to be told")
def test_arrays_that_are_made_again_and_again_are_cleared_once() -> None:
    faults = {
        mode: int(
            subprocess.run(
                [sys.executable, "-c", SCRIPT, mode], capture_output=True, check=True, text=True
            ).stdout
        )
        for mode in ("leave", "keep")
    }
    assert faults["keep"] < faults["leave"] / 4


def test_a_c_library_that_is_not_glibc_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    assert not keep_memory()
