"""Uploads that are broken in every way: each gets an answer below 500, and the slot is free again."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.server.scripted import ScriptedEngine, Service, form, serving
from tests.stream.audio.files import CONTAINERS, NOISE, encoded, header

DOORS = ("/transcribe", "/v1/audio/transcriptions")
SMALL = {container: encoded(NOISE[:8000], container) for container in CONTAINERS}
BODY, KIND = form(SMALL["flac"], model="general", response_format="verbose_json")
many = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """A server on another thread."""
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    served: list[Service] = []

    async def serve() -> None:
        limits = {"idle_seconds": 1.0, "close_seconds": 0.5, "upload_bytes": 1_000_000}
        async with serving(ScriptedEngine(4, lambda *_: " a"), **limits) as service:
            served.append(service)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(5)
    yield served[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


def exchange(service: Service, request: bytes, *, whole: bool) -> bytes:
    """Return all that the server says to some bytes, of a whole request or the client is gone then."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        try:
            connection.sendall(request)
            if not whole:
                connection.shutdown(socket.SHUT_WR)
        except OSError:  # it has answered and closed before the end
            pass
        answer = b""
        try:
            while more := connection.recv(65536):
                answer += more
        except ConnectionResetError:
            pass
        return answer


def post(service: Service, door: str, body: bytes, kind: str = KIND) -> int:
    """Return the status of the answer."""
    lines = [f"POST {door} HTTP/1.1", "Host: localhost", f"Content-Type: {kind}"]
    head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "Connection: close", "", ""])
    answer = exchange(service, head.encode() + body, whole=True)
    return int(answer.split()[1])


@pytest.fixture
def unharmed(service: Service, caplog: pytest.LogCaptureFixture) -> Iterator[Service]:
    """The server, of which no slot is lost and no error logged in the test."""
    with caplog.at_level(logging.ERROR):
        yield service
    assert not caplog.messages
    assert post(service, DOORS[0], BODY) == 200
    assert service.channels.in_use == 0


@pytest.mark.parametrize("container", CONTAINERS)
@given(
    flips=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=8),
    kept=st.one_of(st.none(), st.integers(0, 5000)),
    door=st.sampled_from(DOORS),
)
@many
def test_damaged_recordings(
    unharmed: Service,
    container: str,
    flips: list[tuple[int, int]],
    kept: int | None,
    door: str,
) -> None:
    raw = bytearray(SMALL[container])
    for offset, value in flips:
        raw[offset % len(raw)] = value
    body, kind = form(bytes(raw[:kept]), model="general")
    assert post(unharmed, door, body, kind) in (200, 400, 413, 415)


@given(
    at=st.integers(0, len(BODY)),
    cut=st.integers(0, 300),
    put=st.binary(max_size=300),
    door=st.sampled_from(DOORS),
)
@many
def test_damaged_forms(unharmed: Service, at: int, cut: int, put: bytes, door: str) -> None:
    assert post(unharmed, door, BODY[:at] + put + BODY[at + cut :]) < 500


@given(body=st.binary(max_size=600), boundary=st.text("abX-\"'=; \t", max_size=90))
@many
def test_bodies_that_are_no_forms(unharmed: Service, body: bytes, boundary: str) -> None:
    kind = f"multipart/form-data; boundary={boundary}"
    assert post(unharmed, DOORS[0], body, kind) < 500


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 99999999999999999999\r\n\r\n",
        b"Content-Length: -1\r\n\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nZZ\r\nabc\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\nabc",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\n--XX\r\n0\r\n\r\n",
        b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00",
        b"Content-Encoding: br, gzip\r\nContent-Length: 4\r\n\r\nabcd",
        b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n",
        b"Expect: the unexpected\r\nContent-Length: 0\r\n\r\n",
        b"X: " + b"a" * 100_000 + b"\r\n\r\n",
        b"".join(b"X%d: a\r\n" % number for number in range(2000)) + b"\r\n",
    ],
)
def test_heads_that_make_no_sense(unharmed: Service, head: bytes) -> None:
    for door in DOORS:
        request = f"POST {door} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {KIND}\r\n".encode()
        for answer in exchange(unharmed, request + head, whole=False).split(b"HTTP/1.1 ")[1:]:
            assert int(answer[:3]) < 500


@pytest.mark.parametrize(
    "part",
    [
        b"X: " + b"a" * 20_000 + b"\r\n\r\n",
        b"".join(b"X%d: a\r\n" % number for number in range(300)) + b"\r\n",
        b"no colon\r\n\r\n",
        b'Content-Disposition: form-data; name="_charset_"\r\n\r\n' + b"u" * 500,
        b'Content-Disposition: form-data; name="_charset_"\r\n\r\n\xff\xfe',
        b'Content-Disposition: form-data; name="file"\r\nContent-Length: 999999\r\n\r\nRIFF',
        b'Content-Disposition: form-data; name="file"\r\nContent-Transfer-Encoding: base64\r\n\r\nAAA',
        b"Content-Disposition: form-data; name=\"file\"; filename*=utf-8''%ff%fe\r\n\r\nRIFF",
        b'Content-Disposition: form-data; name="file"; filename="\xff\0\x1b[2J"\r\n\r\nRIFF',
        b"Content-Type: multipart/mixed; boundary=Y\r\n\r\n--Y\r\n\r\n--Y--",
        b"Content-Type: multipart/mixed\r\n\r\n--Y\r\n\r\n--Y--",
        b"\r\n",
        b"",
    ],
)
def test_parts_that_make_no_sense(unharmed: Service, part: bytes) -> None:
    for door in DOORS:
        assert 400 <= post(unharmed, door, b"--XX\r\n" + part + b"\r\n--XX--\r\n") < 500


@pytest.mark.parametrize(
    "fields",
    [
        {"rate": 2_000_000_000},
        {"rate": 0},
        {"channels": 0},
        {"channels": 65535},
        {"align": 0},
        {"bits": 0},
        {"bits": 65535},
        {"tag": 0x5555},
        {"data": 0xFFFFFFFE},
    ],
    ids=str,
)
def test_headers_of_recordings_that_make_no_sense(
    unharmed: Service, fields: dict[str, int]
) -> None:
    body, kind = form(header(bytes(4000), **fields), model="general")
    for door in DOORS:
        assert post(unharmed, door, body, kind) in (200, 400)
