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
    script: Path, arguments: Sequence[str] = (), restarts: int = 0, seconds: float = 120.0
) -> subprocess.CompletedProcess[str]:
    """Run a script in two processes that find each other on a free port.

    Args:
        restarts: how often they are all started again after one has failed.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [sys.executable, *launcher, "--max-restarts", str(restarts), str(script), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
