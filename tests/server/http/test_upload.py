"""Recordings in bodies of POSTs: /transcribe and OpenAI's endpoint."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import logging
import tempfile
from pathlib import Path

import numpy as np
import openai
import pytest
import soundfile
from numpy.typing import NDArray

from server.http.access import Access
from server.http.app import Settings
from stream.audio import containers
from stream.engine.engine import Engine, Result, load_engine
from stream.recogniser import Recogniser
from tests.server.scripted import (
    Owner,
    ScriptedEngine,
    Service,
    form,
    keyring,
    model_of,
    pcm,
    request,
    samples_of,
    serving,
    talking_network,
    wav,
)
from tests.stream.audio.files import CONTAINERS, NOISE, encoded

TRANSCRIBE = "/transcribe"
OPENAI = "/v1/audio/transcriptions"


def engine(slots: int = 4) -> Engine:
    return load_engine(talking_network(), slots, "numpy")


def text_alone(audio: bytes) -> str:
    """Return what the recogniser says without a server."""
    return Recogniser(talking_network()).transcribe(samples_of(audio))[0]


async def post(service: Service, target: str, file: bytes | None, **fields: str) -> tuple[int, str]:
    """Return status and body of the answer to a form."""
    body, kind = form(file, **fields)
    reply = await request(service, "POST", target, body, Content_Type=kind)
    return reply.status, reply.body.decode()


def spooled() -> set[Path]:
    """Return the folders of uploads."""
    return set(Path(tempfile.gettempdir()).glob("rill-upload-*"))


def flac(audio: bytes) -> bytes:
    """Return S16LE as a FLAC file."""
    file = io.BytesIO()
    soundfile.write(file, samples_of(audio), 16000, format="FLAC")
    return file.getvalue()


@pytest.mark.parametrize("name", ["file", "audio"])
async def test_a_recording_becomes_text_and_timed_words(name: str) -> None:
    audio = pcm(2.0)
    async with serving(engine()) as service:
        body, kind = form(wav(audio), name)
        reply = await request(service, "POST", TRANSCRIBE, body, Content_Type=kind)
        await service.until_free()
    assert reply.status == 200
    assert reply.json["filename"] == "a b.wav"
    assert reply.json["text"] == text_alone(audio) != ""
    assert [chunk["text"] for chunk in reply.json["chunks"]] == text_alone(audio).split()
    assert all(start < end <= 2.0 for start, end in (c["timestamp"] for c in reply.json["chunks"]))


async def test_any_format_and_rate_is_decoded(tmp_path: Path) -> None:
    stereo = np.stack([samples_of(pcm(1.0))] * 2, axis=1)
    soundfile.write(tmp_path / "a.flac", stereo, 48000)
    heard: list[NDArray[np.float32]] = []
    scripted = ScriptedEngine(1, lambda _, samples: heard.append(samples) or "")  # type: ignore[func-returns-value]
    async with serving(scripted, slots=1) as service:
        status, _ = await post(service, TRANSCRIBE, (tmp_path / "a.flac").read_bytes())
    assert status == 200
    assert sum(map(len, heard)) == pytest.approx(16000 / 3, abs=2)


@pytest.mark.parametrize(
    "target, body, kind, status, text",
    [
        (TRANSCRIBE, b"RIFF", "audio/wav", 400, "content type is 'audio/wav'; send a form"),
        (TRANSCRIBE, b"", "multipart/form-data", 400, "the form cannot be read"),
        (TRANSCRIBE, b"no boundary in it", "multipart/form-data; boundary=X", 400, "form"),
        (TRANSCRIBE, *form(None, model="general"), 400, "the form has no part 'file'"),
        (TRANSCRIBE, *form(b"not audio"), 415, "a b.wav: is not in a format that Rill reads"),
        (TRANSCRIBE, *form(b""), 400, "a b.wav: is empty"),
        (TRANSCRIBE, *form(wav(b"")), 400, "a b.wav: holds no sample"),
        (TRANSCRIBE, *form(flac(pcm(1.0))[:9000]), 400, "a b.wav: is cut short: its header"),
        (TRANSCRIBE, *form(b"x", model="third"), 400, "model is 'third'; served is 'general'"),
        (TRANSCRIBE, *form(b"x", a="x" * 70000), 413, "with 'a' the fields are over 65536 bytes"),
        (TRANSCRIBE, *form(b"x" * 300_000), 413, "the upload is over 200000 bytes"),
        (OPENAI, *form(b"wvpk" + bytes(99), model="general"), 415, "a b.wav: is WavPack"),
        (OPENAI, *form(b"x", model="whisper-9"), 404, "The model 'whisper-9' does not exist"),
        (OPENAI, *form(b"x", model="general", response_format="x"), 400, "response_format is 'x'"),
        (OPENAI, *form(None, model="general"), 400, "the form has no part 'file'"),
    ],
)
async def test_a_body_that_cannot_be_served_is_refused_and_takes_no_slot(
    target: str, body: bytes, kind: str, status: int, text: str
) -> None:
    async with serving(ScriptedEngine(1), slots=1, upload_bytes=200_000) as service:
        reply = await request(service, "POST", target, body, Content_Type=kind)
        await service.until_free()
        assert await service.get("/readyz") == (200, "ready\n")
    assert reply.status == status
    said = reply.json["error"]["message"] if target == OPENAI else reply.json["detail"]
    assert text in said
    assert "/tmp" not in said


async def test_a_full_server_refuses_before_the_body_comes() -> None:
    async with serving(ScriptedEngine(1), slots=1) as service:
        taken = service.channels.open(Owner())
        assert taken is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(
            b"POST /transcribe HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=X"
            b"\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n"
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        writer.close()
        taken.close()
        assert (await post(service, TRANSCRIBE, wav(pcm(0.1))))[0] == 200


async def begin_upload(
    service: Service, body: bytes, kind: str, first: int, *headers: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send the head of a POST and so many bytes of its body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    lines = [f"POST {TRANSCRIBE} HTTP/1.1", "Host: x", f"Content-Type: {kind}", *headers]
    writer.write("\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode())
    writer.write(body[:first])
    await writer.drain()
    return reader, writer


async def until_in_use(service: Service, count: int) -> None:
    async with asyncio.timeout(5):
        while service.channels.in_use != count:
            await asyncio.sleep(0.01)


async def test_a_slot_is_taken_before_a_recording_is_read() -> None:
    body, kind = form(wav(pcm(5.0)))
    before = spooled()
    async with serving(ScriptedEngine(1, lambda *_: " a"), slots=1) as service:
        reader, writer = await begin_upload(service, body, kind, 20_000, "Connection: close")
        await until_in_use(service, 1)
        for _ in range(10):  # whole bodies, which are not kept
            status, said = await post(service, TRANSCRIBE, wav(pcm(5.0)))
            assert (status, "all 1 channels are in use" in said) == (503, True)
        assert len(spooled() - before) == 1
        writer.write(body[20_000:])
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        writer.close()
        await service.until_free()
    assert spooled() <= before


async def test_who_sends_a_large_body_to_a_full_server_reads_the_answer() -> None:
    body, kind = form(bytes(20_000_000))
    async with serving(ScriptedEngine(1), slots=1, close_seconds=0.5) as service:
        taken = service.channels.open(Owner())
        assert taken is not None
        reply = await request(service, "POST", TRANSCRIBE, body, Content_Type=kind)
        assert reply.status == 503
        assert reply.headers["Connection"] == "close"
        taken.close()


async def test_the_model_that_a_form_names_behind_the_recording_gets_the_slot() -> None:
    second = model_of(ScriptedEngine(1, lambda *_: " two"), 1, "second")
    body, kind = form(wav(pcm(0.2)))
    behind = body.replace(
        b"--XX--", b'--XX\r\nContent-Disposition: form-data; name="model"\r\n\r\nsecond\r\n--XX--'
    )
    async with serving(ScriptedEngine(1, lambda *_: " one"), second, slots=1) as service:
        reply = await request(service, "POST", TRANSCRIBE, behind, Content_Type=kind)
        assert (reply.status, set(reply.json["text"].split())) == (200, {"two"})
        status, said = await post(service, OPENAI, wav(pcm(0.2)), model="second")
        assert (status, "two" in said, "one" in said) == (200, True, False)
        taken = service.channels.open(Owner())
        assert taken is not None
        # The default is full, and nothing says yet that another is wanted.
        reply = await request(service, "POST", TRANSCRIBE, behind, Content_Type=kind)
        assert reply.status == 200
        reply = await request(service, "POST", TRANSCRIBE, body, Content_Type=kind)
        assert reply.status == 200  # nor that the default is
        taken.close()
        await service.until_free()
        assert second.channels.in_use == 0


@pytest.mark.parametrize("target", [TRANSCRIBE, OPENAI])
async def test_bodies_and_recordings_are_taken_as_they_are(target: str) -> None:
    body, kind = form(wav(pcm(0.1)), model="general")
    packed = gzip.compress(body)
    part = body.replace(b'filename="a b.wav"\r\n', b'filename="a"\r\nContent-Encoding: gzip\r\n')
    async with serving(ScriptedEngine(1)) as service:
        for sent, headers in ((packed, {"Content_Encoding": "gzip"}), (part, {})):
            reply = await request(service, "POST", target, sent, Content_Type=kind, **headers)
            assert reply.status == 415
            assert b"Content-Encoding 'gzip'; send it as it is" in reply.body
        headers = {"Content_Encoding": "identity"}
        reply = await request(service, "POST", target, body, Content_Type=kind, **headers)
        assert reply.status == 200


async def test_uploads_share_one_budget_on_disk() -> None:
    body, kind = form(wav(pcm(20.0)))  # 640 kB
    before = spooled()
    async with serving(ScriptedEngine(4), slots=4, spool_bytes=700_000) as service:
        reader, writer = await begin_upload(service, body, kind, 600_000, "Connection: close")
        async with asyncio.timeout(5):
            while not any((each / "recording").stat().st_size for each in spooled() - before):
                await asyncio.sleep(0.01)
        status, said = await post(service, TRANSCRIBE, wav(pcm(20.0)))
        assert (status, "uploads may take 700000 bytes together" in said) == (507, True)
        assert (await post(service, TRANSCRIBE, wav(pcm(1.0))))[0] == 200
        writer.write(body[600_000:])
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        writer.close()
        assert (await post(service, TRANSCRIBE, wav(pcm(20.0))))[0] == 200


async def test_a_body_that_trickles_is_given_up() -> None:
    body, kind = form(wav(pcm(0.5)))
    limits = {"upload_seconds": 0.4, "close_seconds": 0.5}
    async with serving(ScriptedEngine(1), slots=1, **limits) as service:
        reader, writer = await begin_upload(service, body, kind, 2000)
        head = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
        for at in range(2000, 2200):
            if head.done():
                break
            writer.write(body[at : at + 1])
            await asyncio.sleep(0.02)
        assert (await head).startswith(b"HTTP/1.1 408 ")
        assert b"not whole after 0.4 s" in await reader.readuntil(b"}")
        writer.close()
        await service.until_free()


async def test_a_recording_of_too_many_seconds_is_refused() -> None:
    async with serving(ScriptedEngine(1), recording_seconds=2.0) as service:
        for long in (wav(pcm(2.1)), flac(np.zeros(16000 * 600, "<i2").tobytes())):
            status, said = await post(service, TRANSCRIBE, long)
            assert (status, "longer than 2 s" in said) == (413, True)
        assert (await post(service, TRANSCRIBE, wav(pcm(2.0))))[0] == 200


async def test_a_recording_that_takes_too_long_is_given_up() -> None:
    limits = {"stream_seconds": 0.3, "burst_seconds": 1.0}
    async with serving(ScriptedEngine(1), **limits) as service:
        status, said = await post(service, TRANSCRIBE, wav(pcm(60.0)))
        assert (status, "not recognised within 0.3 s" in said) == (503, True)
        await service.until_free()


@pytest.mark.parametrize("container", CONTAINERS)
async def test_a_recording_that_is_cut_short_is_refused_at_every_door(container: str) -> None:
    half = encoded(NOISE, container)[:-2000]
    asked: list[tuple[str, dict[str, str]]] = [(TRANSCRIBE, {})]
    asked += [(OPENAI, {"response_format": each}) for each in ("json", "text", "verbose_json")]
    asked += [(OPENAI, {"response_format": "vtt"}), (OPENAI, {"stream": "true"})]
    async with serving(ScriptedEngine(1, lambda *_: " a")) as service:
        for target, fields in asked:
            status, said = await post(service, target, half, model="general", **fields)
            assert (status, "a b.wav: is cut short: " in said) == (400, True)
        await service.until_free()


@pytest.mark.parametrize("target", [TRANSCRIBE, OPENAI])
async def test_what_is_to_be_said_of_a_recording_stands_beside_its_text(target: str) -> None:
    inverted = encoded(np.stack([NOISE, -NOISE], axis=1))
    async with serving(ScriptedEngine(1, lambda *_: " a")) as service:
        _, said = await post(service, target, inverted, model="general")
        assert "the channels cancel each other from 0.00 s on" in json.loads(said)["warnings"][0]
        _, said = await post(service, OPENAI, inverted, model="general", stream="true")
        done = json.loads(said.split("data: ")[-2])
        assert (done["type"], len(done["warnings"])) == ("transcript.text.done", 1)
        _, said = await post(service, target, encoded(NOISE), model="general")
        assert "warnings" not in json.loads(said)


async def test_a_client_that_waits_for_100_continue_gets_it() -> None:
    body, kind = form(wav(pcm(0.5)))
    async with serving(ScriptedEngine(1, lambda *_: " a")) as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(
            f"POST /transcribe HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert (await reader.read()).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.close()


async def test_a_body_that_stops_coming_is_given_up() -> None:
    body, kind = form(wav(pcm(0.5)))
    async with serving(ScriptedEngine(1), idle_seconds=0.2, close_seconds=0.1) as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(
            f"POST /transcribe HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body[:2000]
        )
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
        writer.close()


async def test_a_client_that_leaves_frees_the_slot_and_the_disk() -> None:
    body, kind = form(wav(pcm(60.0)))
    before = spooled()
    async with serving(ScriptedEngine(1), slots=1, burst_seconds=1.0) as service:
        _, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(
            f"POST /transcribe HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        await until_in_use(service, 1)
        writer.transport.abort()
        await service.until_free()
    assert spooled() <= before


class Fails(ScriptedEngine):
    def tick(self) -> list[Result]:
        if self.pending():
            raise RuntimeError("out of memory")
        return []


async def test_an_engine_that_fails_answers_500(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.CRITICAL):
        async with serving(Fails(1)) as service:
            status, text = await post(service, TRANSCRIBE, wav(pcm(0.5)))
            await service.until_free()
    assert (status, "out of memory" in text) == (500, True)


async def test_an_upload_is_paced_and_holds_a_bounded_amount_of_audio() -> None:
    waiting: list[float] = []
    scripted = ScriptedEngine(1, lambda *_: waiting.append(service.channels.backlog) or "")  # type: ignore[func-returns-value]
    limits = {"burst_seconds": 1.0, "audio_rate": 200.0, "unanswered_bytes": 96_000}
    async with serving(scripted, **limits) as service:
        began = asyncio.get_running_loop().time()
        status, _ = await post(service, TRANSCRIBE, wav(pcm(61.0)))
        took = asyncio.get_running_loop().time() - began
    assert status == 200
    assert took > 0.29  # the audio behind the burst at 200 seconds a second
    assert max(waiting) <= 4.0  # 96,000 bytes and the second that came last


async def test_the_openai_sdk_gets_every_format() -> None:
    audio = pcm(2.0)
    alone = text_alone(audio)
    settings = Settings(Access(keyring("secret")))
    async with serving(engine(), settings=settings) as service:
        client = openai.AsyncOpenAI(
            api_key="secret", base_url=f"http://127.0.0.1:{service.port}/v1", max_retries=0
        )
        async with client:
            files = ("a.wav", wav(audio))
            create = client.audio.transcriptions.create
            assert (await create(model="general", file=files)).text == alone
            text = await create(model="general", file=files, response_format="text")
            assert str(text).strip() == alone
            for response_format, head in (("srt", "1\n00:00:0"), ("vtt", "WEBVTT\n\n00:")):
                subtitles = await create(
                    model="general", file=files, response_format=response_format
                )  # type: ignore[call-overload]
                assert subtitles.startswith(head)
            verbose = await create(
                model="general",
                file=files,
                response_format="verbose_json",
                timestamp_granularities=["word", "segment"],
            )
            assert verbose.text == alone
            assert [word.word for word in verbose.words or ()] == alone.split()
            events = [
                event async for event in await create(model="general", file=files, stream=True)
            ]
            deltas = [event.delta for event in events if event.type == "transcript.text.delta"]
            assert "".join(deltas) == alone
            assert len(deltas) > 2
            assert events[-1].type == "transcript.text.done"
            assert [model.id async for model in client.models.list()] == ["general"]
            with pytest.raises(openai.NotFoundError, match="whisper-1"):
                await create(model="whisper-1", file=files)
            with pytest.raises(openai.AuthenticationError):
                await client.with_options(api_key="guess").models.list()
        await service.until_free()


async def test_a_fault_in_mid_stream_is_an_event_of_it() -> None:
    samples = samples_of(pcm(4.0))
    samples[50_000] = np.nan
    file = io.BytesIO()
    soundfile.write(file, samples, 16000, format="WAV", subtype="FLOAT")
    broken = file.getvalue()
    async with serving(engine()) as service:
        body, kind = form(broken, model="general", stream="true")
        reply = await request(service, "POST", OPENAI, body, Content_Type=kind)
    assert reply.headers["Content-Type"] == "text/event-stream"
    assert reply.body.endswith(b"\n\n")
    assert b'"error"' in reply.body.split(b"data: ")[-1]


async def test_what_a_phone_records_is_heard_with_pyav_and_refused_by_name_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    phone = b"\0\0\0\x20ftypM4A " + bytes(99)
    async with serving(ScriptedEngine(1), slots=1) as service:
        with monkeypatch.context() as patched:
            patched.setattr(containers, "find_spec", lambda name: None)
            status, body = await post(service, TRANSCRIBE, phone)
        assert (status, "is MPEG-4 (m4a, mp4, 3gp)" in str(body)) == (415, True)
        assert "extra `media`; it reads WAV, FLAC" in str(body)
        pytest.importorskip("av", reason="needs PyAV: pip install 'rill-asr[media]'")
        from tests.stream.audio.test_media import recorded

        assert (await post(service, TRANSCRIBE, recorded("m4a")))[0] == 200
        assert (await post(service, TRANSCRIBE, recorded("webm", live="1")))[0] == 200
        assert (await post(service, TRANSCRIBE, phone))[0] == 400  # damaged
