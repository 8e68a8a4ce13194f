"""Processes that train together on one machine, as torchrun starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.places import REPOSITORY

__all__ = ["torchrun"]


def torchrun(
    script: Path | str, arguments: Sequence[str] = (), processes: int = 2, seconds: float = 120.0
) -> subprocess.CompletedProcess[str]:
    """Run a script, or "-m module", in processes that find each other on a free port."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return subprocess.run(
        [sys.executable, *launcher, *str(script).split(), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
