"""The memory of a server's process does not follow the numbers that its peers write."""

from __future__ import annotations

import gzip
import http.client
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from tests.server.scripted import form
from tests.stream.audio.files import encoded, header

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="wants Linux's /proc"
)
GROWTH = 60 << 20  # bytes


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[int, int]]:
    """A server's port and process; its engine has another one."""
    flags = ["--port", "0", "--slots", "2", "--audio-rate", "1000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "server", *flags], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    url = urlsplit(process.stdout.readline())
    assert url.port
    post(url.port, header(bytes(32_000)))  # what is imported by the first upload is no growth
    yield url.port, process.pid
    process.terminate()
    process.wait(30)
    process.stdout.close()


def post(port: int, recording: bytes, *, packed: bool = False) -> int:
    """Return the status of the answer to an upload."""
    body, kind = form(recording)
    headers = {"Content-Type": kind}
    if packed:
        body, headers["Content-Encoding"] = gzip.compress(body, 6), "gzip"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", "/transcribe", body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


def peak(pid: int) -> int:
    """Return the most memory that a process has had, bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))


def absurd() -> dict[str, tuple[bytes, int]]:
    """Return recordings, and the status of their answers."""
    silence = b"\x80" * 40_000_000
    return {
        "2 GHz": (header(silence, rate=2_000_000_000, bits=8), 400),
        "384 kHz": (header(silence[:20_000_000], rate=384_000, bits=8), 200),
        "1000 channels": (header(silence[:20_000_000], channels=1000, bits=8), 200),
        "65535 channels": (header(silence, channels=65535, bits=8), 400),
        "a size of 4 GB": (header(bytes(1000), data=0xFFFFFFFE), 200),
        "ten minutes in a few kB": (encoded(np.zeros(9_600_000, np.int16), "flac"), 200),
    }


def test_headers_that_promise_much(server: tuple[int, int]) -> None:
    port, pid = server
    before = peak(pid)
    for name, (recording, status) in absurd().items():
        assert post(port, recording) == status, name
        assert peak(pid) - before < GROWTH, name
    assert post(port, absurd()["2 GHz"][0], packed=True) == 415
    assert peak(pid) - before < GROWTH


def test_more_uploads_than_slots(server: tuple[int, int]) -> None:
    port, pid = server
    before = peak(pid)
    recording = header(bytes(10_000_000), rate=384_000)  # 13 s
    statuses: list[int] = []
    uploads = [
        threading.Thread(target=lambda: statuses.append(post(port, recording))) for _ in range(20)
    ]
    for upload in uploads:
        upload.start()
    for upload in uploads:
        upload.join()
    assert set(statuses) == {200, 503}
    assert peak(pid) - before < GROWTH
