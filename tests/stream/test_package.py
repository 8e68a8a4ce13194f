"""Importing the package: what it does to the machine, which is nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.places import REPOSITORY


def test_onnxruntime_writes_no_device_id_and_sends_nothing(tmp_path: Path) -> None:
    code = "import stream.backends.onnx, onnxruntime; onnxruntime.get_available_providers()"
    environment = {"HOME": str(tmp_path)}  # no CI: ONNX Runtime is silent there by itself
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, env=environment, check=True)
    assert list(tmp_path.rglob("*")) == []
