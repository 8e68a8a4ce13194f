"""Live streams over real sockets: clocks, pace, several protocols; what all have in common."""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from server.engine.models import Models
from server.http.access import Access
from server.http.app import Application, Settings
from server.limits import Limits
from stream.bundled import recordings
from stream.engine.engine import Engine, load_engine
from stream.recogniser import Recogniser
from tests.server.scripted import (
    QUERY,
    ScriptedEngine,
    keyring,
    model_of,
    pcm,
    request,
    samples_of,
    serving,
    talking_network,
)
from tests.server.test_options import make_certificate


def engine(slots: int = 4) -> Engine:
    return load_engine(talking_network(), slots, "numpy")


def text_alone(audio: bytes) -> str:
    """Return what the recogniser says without a server."""
    return Recogniser(talking_network()).transcribe(samples_of(audio))[0]


async def read_all(connection: ClientConnection) -> tuple[list[str], tuple[int, str]]:
    """Return all messages until the Close, and its code and reason."""
    messages = []
    try:
        async with asyncio.timeout(10):
            while True:
                messages.append(str(await connection.recv()))
    except ConnectionClosed as closed:
        assert closed.rcvd is not None
        return messages, (closed.rcvd.code, closed.rcvd.reason)


async def test_a_client_that_sends_faster_than_it_may_is_read_more_slowly() -> None:
    clock = asyncio.get_running_loop().time
    limits = {"audio_rate": 20.0, "burst_seconds": 2.0}
    async with serving(ScriptedEngine(2, lambda *_: " a"), **limits) as service:
        for seconds, least in ((1.9, 0.0), (12.0, 0.4)):
            began = clock()
            async with connect(service.url) as connection:
                for _ in range(round(seconds / 0.1)):
                    await connection.send(pcm(0.1))
                await connection.send(b"")
                messages, (code, _) = await read_all(connection)
            assert code == 1000
            assert len(messages) == round(seconds * 1000) // 60 + 1
            assert clock() - began >= least


async def test_a_stream_that_lasts_too_long_is_ended_with_its_text() -> None:
    audio = pcm(0.6)
    async with serving(engine(), stream_seconds=0.4) as service:
        async with connect(service.url) as connection:
            await connection.send(audio)
            messages, closed = await read_all(connection)
        await service.until_free()
    text = "".join(json.loads(message)["alternatives"][0]["transcript"] for message in messages)
    assert text.strip() == text_alone(audio) != ""
    assert closed == (1001, "the stream has lasted 0.4 s; open a new one")


async def test_words_and_confidence_are_added_unless_myrtles_bytes_are_wanted() -> None:
    audio = pcm(2.0)
    for strict in (False, True):
        async with (
            serving(engine(), settings=Settings(strict=strict)) as service,
            connect(service.url) as connection,
        ):
            await connection.send(audio)
            await connection.send(b"")
            messages = [json.loads(message) for message in (await read_all(connection))[0]]
        words = [word for message in messages for word in message.get("words", ())]
        confidences = [message["alternatives"][0]["confidence"] for message in messages]
        if strict:
            assert words == []
            assert set(confidences) == {1.0}
            assert all(
                set(message) == {"start", "end", "is_provisional", "alternatives"}
                for message in messages
            )
        else:
            assert [word["word"] for word in words] == text_alone(audio).split()
            assert all(0 < word["confidence"] <= 1 for word in words)
            assert all(0 < confidence <= 1 for confidence in confidences)
            assert min(confidences) < 1


@pytest.mark.parametrize(
    "root, says", [("myrtle", '{"start":0.0'), ("sherpa", '{ "text"'), ("vosk", "{\n")]
)
async def test_a_websocket_at_the_root_speaks_what_was_chosen(root: str, says: str) -> None:
    async with serving(ScriptedEngine(1), settings=Settings(root=root)) as service:
        async with connect(f"ws://127.0.0.1:{service.port}") as connection:
            await connection.send(bytes(3840))
            async with asyncio.timeout(5):
                assert str(await connection.recv()).startswith(says)
        shown = await request(service, "GET", "/")  # a browser still gets the page
        assert shown.headers["Content-Type"] == "text/html"


async def test_the_page_is_open_to_all_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page"
    page.mkdir()
    (page / "index.html").write_text("<title>Rill</title>")
    (page / "page.js").write_text("1")
    (tmp_path / "secret").write_text("secret")
    monkeypatch.setattr("server.http.answers.PAGE", page)
    settings = Settings(Access(keyring("token")))
    async with serving(ScriptedEngine(1), settings=settings) as service:
        shown = await request(service, "GET", "/?token=x")
        assert (shown.status, shown.body) == (200, b"<title>Rill</title>")
        assert shown.headers["Content-Type"] == "text/html"
        sample = await request(service, "GET", f"/page/samples/{recordings()[0].audio.name}")
        assert sample.body == recordings()[0].audio.read_bytes()
        script = await request(service, "GET", "/page/page.js")
        assert script.headers["Content-Type"] == "text/javascript"
        for target in ("/page/../secret", "/page/%2e%2e/secret", "/page/", "/page//etc/passwd"):
            assert (await request(service, "GET", f"{target}?token=token")).status == 404
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{service.port}/?token=token")
        assert refused.value.response.status_code == 404


async def test_tls_encrypts_websockets_and_http(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    trust = ssl.create_default_context(cafile=str(certificate))
    async with serving(ScriptedEngine(1), settings=Settings(tls=tls)) as service:
        url = f"wss://127.0.0.1:{service.port}/asr/v0.1/stream?{QUERY}"
        async with connect(url, ssl=trust) as connection:
            await connection.send(b"")
            messages, (code, _) = await read_all(connection)
        assert (len(messages), code) == (1, 1000)
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port, ssl=trust)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).endswith(b"\r\n\r\nok\n")
        writer.close()
        await writer.wait_closed()


async def wyoming(port: int, *events: bytes) -> list[bytes]:
    """Send events to a Wyoming port; returns the lines and data of what comes until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"".join(events))
    async with asyncio.timeout(5):
        said = await reader.read()
    writer.close()
    return said.split(b"\n")


async def test_wyoming_takes_a_slot_for_an_utterance_only() -> None:
    start = b'{"type": "audio-start", "data": {"rate": 16000, "width": 2, "channels": 1}}\n'
    async with serving(ScriptedEngine(1), slots=1, wyoming_port=0, idle_seconds=0.3) as service:
        idle = asyncio.create_task(wyoming(service.wyoming_port, b'{"type": "describe"}\n'))
        async with connect(service.url):
            said = await wyoming(service.wyoming_port, start)
            assert b"all 1 channels are in use" in b"".join(said)
        assert b'"info"' in (await idle)[0]
        await service.until_free()


async def test_a_server_that_stops_does_not_wait_for_connections_without_a_stream() -> None:
    clock = asyncio.get_running_loop().time
    async with serving(ScriptedEngine(1), wyoming_port=0, drain_seconds=20.0) as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.wyoming_port)
        _, http = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(b'{"type": "describe"}\n')
        await reader.readline()
        began = clock()
    assert clock() - began < 5
    writer.close()
    http.close()


async def test_wyoming_is_closed_while_the_model_is_being_loaded() -> None:
    models = Models(model_of(ScriptedEngine(1), 1))
    application = Application(models, Limits())
    async with application.listening("127.0.0.1", 0, 0) as servers:
        port = servers[1].sockets[0].getsockname()[1]
        assert b"the model is being loaded" in b"".join(await wyoming(port))
