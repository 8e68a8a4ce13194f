"""The unit of systemd, against systemd's own checks and the server that it starts."""

from __future__ import annotations

import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from server.config import Configuration
from server.engine.supervision import Supervision
from server.limits import Limits
from server.tokens.__main__ import main as token
from tests.places import REPOSITORY

UNIT = REPOSITORY / "deploy" / "rill.service"
CONFIG = REPOSITORY / "deploy" / "server.toml"
ENDING_SECONDS = 30  # what the end of the streams may take after the drain: docs/operations.md
WAIT_SECONDS = 60.0


def read_unit() -> dict[str, list[str]]:
    """Return the values of each key, of all sections together."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


SETTINGS = read_unit()


def one(key: str) -> str:
    (value,) = SETTINGS[key]
    return value


def test_systemd_finds_no_fault_in_it(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    program = one("ExecStart").split()[0]
    unit = tmp_path / "rill.service"
    unit.write_text(UNIT.read_text().replace(program, sys.executable))
    verified = subprocess.run([analyze, "verify", unit], capture_output=True, text=True)
    assert (verified.returncode, verified.stderr) == (0, "")
    command = [analyze, "security", "--offline=yes", "--threshold=20", unit]  # of 100
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def test_it_waits_for_the_model_and_for_the_streams() -> None:
    drain = Configuration(["--config", str(CONFIG)], {}).options.limits.drain_seconds
    assert int(one("TimeoutStopSec")) >= drain + ENDING_SECONDS
    assert int(one("TimeoutStartSec")) > Supervision().load_seconds
    assert one("KillMode") == "mixed"
    assert tomllib.loads(CONFIG.read_text())["drain_seconds"] == Limits().drain_seconds


def test_what_the_kernel_kills_or_a_bad_file_ends_is_left_to_the_server() -> None:
    assert one("OOMPolicy") == "continue"
    assert one("Restart") == "on-failure"
    assert one("RestartPreventExitStatus") == "2 3 4"


def test_its_command_tells_systemd_how_it_fares(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rill, *arguments = shlex.split(one("ExecStart"))
    assert (Path(rill).name, arguments[:2]) == ("rill", ["serve", "--config"])
    config = tmp_path / "server.toml"
    config.write_text(CONFIG.read_text())
    assert token(["new", "desk", "--file", str(tmp_path / "tokens.toml")]) == 0
    address = str(tmp_path / "notify")
    command = [sys.executable, "-m", "server", "--config", str(config), "--port", "0"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(WAIT_SECONDS)
        environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "3000000", "RILL_SLOTS": "1"}

        def hear(*wanted: str) -> None:
            """Read what the service says until it has said this, feeding of the watchdog aside."""
            for each in wanted:
                said = manager.recv(500).decode()
                while said == "WATCHDOG=1" != each:
                    said = manager.recv(500).decode()
                assert said.splitlines()[0] == each

        with subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            try:
                hear("READY=1", "WATCHDOG=1")
                process.send_signal(signal.SIGHUP)
                hear("RELOADING=1", "READY=1")
                process.terminate()
                hear("STOPPING=1")
                _, log = process.communicate(timeout=WAIT_SECONDS)
            finally:
                process.kill()
    assert process.returncode == 0, log
    assert b"tokens were read again: 1" in log
