"""What is printed on descriptor 2, by a library or a dying process, is a line of the log."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.conftest import REPOSITORY

START = """
import ctypes, os, subprocess, sys
from server.logs import start_logging
from server.stderr import capture_stderr, log_descriptor
print("before", file=sys.stderr, flush=True)
capture_stderr()
start_logging("json")
import logging
logger = logging.getLogger("server")
"""


def run(body: str) -> tuple[int, list[str]]:
    """Run a program; returns its exit status and the lines of its stderr behind the first."""
    ended = subprocess.run(
        [sys.executable, "-c", START + body], cwd=REPOSITORY, capture_output=True, timeout=60
    )
    first, *lines = ended.stderr.decode().splitlines()
    assert first == "before"
    return ended.returncode, lines


def test_what_a_library_prints_is_a_warning_beside_our_own_lines() -> None:
    body = """
logger.info("ours")
libc = ctypes.CDLL(None)
libc.write(2, b"[libmpg123] too large\\n\\nunended \\xff", 32)
logger.info("ours")
"""
    status, lines = run(body)
    said = sorted((e["logger"], e["level"], e["message"]) for e in map(json.loads, lines))
    assert status == 0
    assert said == [
        ("server", "info", "ours"),
        ("server", "info", "ours"),
        ("server.stderr", "warning", "[libmpg123] too large"),
        ("server.stderr", "warning", r"unended \xff"),
    ]


def test_what_a_process_says_in_dying_is_read() -> None:
    body = """
child = "import ctypes, faulthandler; faulthandler.enable(); ctypes.CDLL(None).abort()"
subprocess.run([sys.executable, "-c", child])
"""
    _, lines = run(body)
    assert json.loads(lines[0])["message"] == "Fatal Python error: Aborted"


def test_a_flood_is_counted() -> None:
    _, lines = run("os.write(2, b'again\\n' * 5000)")
    messages = [json.loads(line)["message"] for line in lines]
    assert messages == ["again"] * 100 + ["and 4900 more lines on stderr"]


def test_our_own_fatal_signal_is_in_the_log_as_it_is() -> None:
    status, lines = run("ctypes.CDLL(None).abort()")
    assert status < 0
    assert lines[0] == "Fatal Python error: Aborted"


def test_warnings_are_lines_too() -> None:
    _, lines = run("import warnings; warnings.warn('a form that is none')")
    assert "a form that is none" in json.loads(lines[0])["message"]
