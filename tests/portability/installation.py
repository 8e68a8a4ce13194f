"""An installation: a Python, the product with some versions of what it needs, and what came of running it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.portability.comparison import Transcript
from tests.portability.debian import Unavailable
from tests.portability.environment import create, install
from tests.portability.interpreters import Interpreter
from tests.portability.transcribe import BACKENDS

__all__ = ["Installation", "Outcome", "hear", "run"]

PROGRAM = Path(__file__).with_name("transcribe.py")
SECONDS = 1200  # an emulated machine takes some 2 minutes
TAIL = 6  # lines of a log that are shown


@dataclass(frozen=True)
class Installation:
    """One that can be made.

    Attributes:
        name: of it.
        interpreter: returns its Python; raises `Unavailable`.
        requirements: of the product, for `uv pip install`.
        serve: whether a server is started there, too.
    """

    name: str
    interpreter: Callable[[], Interpreter]
    requirements: tuple[str | Path, ...]
    serve: bool = False


@dataclass
class Outcome:
    """What came of an installation.

    Attributes:
        versions: of Python and packages, by name.
        warnings: that backends logged, each with its backend.
        errors: why something of it did not run, each with its backend.
        served: what the server wrote of one recording; None: it was not asked.
        skipped: why it is not to be had here.
    """

    name: str
    seconds: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)
    transcripts: list[Transcript] = field(default_factory=list)
    warnings: list[tuple[str, str]] = field(default_factory=list)
    errors: list[tuple[str, str]] = field(default_factory=list)
    served: str | None = None
    skipped: str | None = None


def run(installation: Installation, wheel: Path, cache: Path) -> Outcome:
    """Make an installation and run it."""
    outcome, began = Outcome(installation.name), time.monotonic()
    try:
        interpreter = installation.interpreter()
    except Unavailable as reason:
        outcome.skipped = str(reason)
        return outcome
    try:
        python = create(cache / installation.name, interpreter)
        install(python, *installation.requirements)
        install(python, "--no-deps", wheel)
    except Unavailable as reason:
        outcome.errors.append(("installing", str(reason)))
        return outcome
    environment = {
        name: value
        for name, value in os.environ.items()
        # What is set for the BLAS of this CPU is wrong on another.
        if not (name.startswith("PYTHON") or (interpreter.emulated and name.startswith("OPENBLAS")))
    }
    environment["OMP_NUM_THREADS"] = "1"  # installations run side by side
    hear(python, environment, outcome)
    if installation.serve:
        _serve(python, environment, outcome)
    outcome.seconds = time.monotonic() - began
    return outcome


def hear(python: Path, environment: Mapping[str, str], outcome: Outcome) -> None:
    """Run `transcribe`; add what came, and in which backend the process ended, if it did."""
    lines, failure = _lines(python, environment, PROGRAM)
    for line in lines:
        _take(outcome, json.loads(line))
    if failure:
        steps = ("starting", *BACKENDS, "ending")  # a line is printed after each
        outcome.errors.append((steps[len(lines)], failure))


def _serve(python: Path, environment: Mapping[str, str], outcome: Outcome) -> None:
    """Start the server and stream a recording to it, as `make demo` does."""
    lines, failure = _lines(python, environment, "-m", "server.demo")
    if failure:
        outcome.errors.append(("server", failure))
    else:
        outcome.served = lines[-1]


def _lines(
    python: Path, environment: Mapping[str, str], *arguments: str | Path
) -> tuple[list[str], str | None]:
    """Run a Python; return its whole lines, and why it failed, if it did."""
    try:
        done = subprocess.run(
            [python, "-P", *arguments],  # -P: import the installed product, not the checkout's
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        return [], f"no end within {SECONDS} s"
    if done.returncode == 0:
        return done.stdout.splitlines(), None
    log = " / ".join(done.stderr.strip().splitlines()[-TAIL:])
    return done.stdout.splitlines(), f"exit status {done.returncode}: {log}"


def _take(outcome: Outcome, reported: Mapping[str, Any]) -> None:
    """Add an object that the program printed."""
    backend = reported.get("backend")
    if backend is None:
        outcome.versions = dict(reported)
    elif "error" in reported:
        outcome.errors.append((backend, reported["error"]))
    else:
        if not any(heard["tokens"] for heard in reported["transcripts"]):
            outcome.errors.append((backend, "heard nothing in any recording"))
        outcome.warnings += [(backend, text) for text in reported["warnings"]]
        outcome.transcripts += [
            Transcript(
                outcome.name,
                backend,
                heard["recording"],
                heard["row"],
                tuple((token, step) for token, step in heard["tokens"]),
            )
            for heard in reported["transcripts"]
        ]
