"""Virtual environments of any `Interpreter`, filled by uv.

An environment is a `pyvenv.cfg` and a `bin/python`, which here is a script: what asks that Python for
its version, platform and folders, as uv does, gets the answers of the Python behind it, emulated or not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.portability.debian import Unavailable
from tests.portability.interpreters import Interpreter

__all__ = ["build_wheel", "create", "install"]

UV = (sys.executable, "-m", "uv", "--quiet", "--no-progress")


def create(folder: Path, interpreter: Interpreter) -> Path:
    """Make an empty environment in place of what is there; return its Python."""
    shutil.rmtree(folder, ignore_errors=True)
    python = folder / "bin/python"
    python.parent.mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text(f"home = {interpreter.home}\n")
    python.write_text(f'#!/bin/bash\n{interpreter.line} "$@"\n')
    python.chmod(0o755)
    return python


def install(python: Path, *arguments: str | Path) -> None:
    """Install packages, as wheels.

    Args:
        python: of the environment.
        arguments: of `uv pip install`.
    Raises:
        Unavailable: no set of versions fits, or they cannot be fetched.
    """
    _uv("pip", "install", "--python", python, "--only-binary", ":all:", *arguments)


def build_wheel(source: Path, folder: Path) -> Path:
    """Build the wheel of a project; return its path.

    Raises:
        Unavailable: what builds it cannot be fetched.
    """
    shutil.rmtree(folder, ignore_errors=True)
    _uv("build", "--wheel", "--out-dir", folder, source)
    return next(folder.glob("*.whl"))


def _uv(*arguments: str | Path) -> None:
    environment = {"UV_CACHE_DIR": ".cache/uv", "UV_PYTHON_DOWNLOADS": "never", **os.environ}
    done = subprocess.run([*UV, *arguments], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(f"uv {arguments[0]}: {done.stderr.strip()}")
