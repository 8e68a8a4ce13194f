"""Clients of other projects against `python -m server`: each gets the text of one stream alone.

Clients that are not installed are skipped with their names: the Python packages openai, deepgram-sdk and
wyoming, and the programs sherpa-onnx-online-websocket-client (package sherpa-onnx-bin) and curl.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from websockets.asyncio.client import connect

from stream import __version__
from stream.audio import read_audio
from stream.bundled import model_path, recordings
from stream.model.network import open_model
from stream.recogniser import Recogniser

SHERPA = "sherpa-onnx-online-websocket-client"
STOP_SECONDS = 30.0
AUDIOOP = pytest.mark.filterwarnings("ignore:'audioop' is deprecated")  # wyoming's import of it

# Deepgram's SDK uses names of pydantic and websockets that are deprecated.
DEEPGRAM = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@dataclass(frozen=True)
class Served:
    """A running server: its ports on 127.0.0.1."""

    port: int
    wyoming_port: int

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def websocket(self) -> str:
        return f"ws://127.0.0.1:{self.port}"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """A server of the bundled model, on which "/" speaks sherpa-onnx's protocol."""
    command = [sys.executable, "-m", "server", "--port", "0", "--wyoming-port", "0"]
    command += ["--root-protocol", "sherpa", "--slots", "4"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            yield read_ports(process)
        finally:
            process.terminate()
            process.communicate(timeout=STOP_SECONDS)


def read_ports(process: subprocess.Popen[str]) -> Served:
    """Wait until a server serves, and find its ports in what it says."""
    assert process.stdout is not None and process.stderr is not None
    log = ""
    for line in process.stderr:
        log += line
        if "Wyoming" in line:
            break
    ports = [re.search(rf"port (\d+) is open for {what}", log) for what in ("web", "Wyoming")]
    assert all(ports), log
    assert process.stdout.readline().startswith("ws://")
    return Served(*(int(port[1]) for port in ports if port))


@pytest.fixture(scope="module")
def recording() -> Path:
    return recordings()[1].audio


@pytest.fixture(scope="module")
def text(recording: Path) -> str:
    """What one stream alone says."""
    transcript = Recogniser(open_model(model_path())).transcribe(read_audio(recording))[0]
    assert len(transcript.split()) > 3
    return transcript


@pytest.fixture(scope="module")
def pcm(recording: Path) -> bytes:
    samples, rate = soundfile.read(recording, dtype="int16")
    assert rate == 16000
    return bytes(samples.astype("<i2").tobytes())


@pytest.fixture
def wav(recording: Path, tmp_path: Path) -> Path:
    samples, rate = soundfile.read(recording, dtype="int16")
    soundfile.write(tmp_path / "recording.wav", samples, rate, subtype="PCM_16")
    return tmp_path / "recording.wav"


def program(name: str, package: str) -> str:
    """Return the path of a program, or skip."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: {package}")
    return found


def openai(served: Served) -> Any:
    package = pytest.importorskip("openai", reason="the openai SDK is not installed: pip install")
    return package.OpenAI(base_url=f"{served.http}/v1", api_key="none", max_retries=0)


def test_sherpa_onnxs_own_client(served: Served, wav: Path, text: str) -> None:
    client = program(SHERPA, "pip install sherpa-onnx-bin")
    command = [client, f"--server-port={served.port}", "--seconds-per-message=0.01", str(wav)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    messages = re.findall(r"(\{ \"text\": .*\})\s*$", run.stdout + run.stderr, re.MULTILINE)
    final = json.loads(messages[-1])
    assert final["is_final"] and final["is_eof"]
    said = [json.loads(message) for message in messages]
    assert " ".join(each["text"] for each in said if each["is_final"]).strip() == text
    assert "Done!" in run.stdout + run.stderr


async def test_vosks_client_messages(served: Served, pcm: bytes, text: str) -> None:
    said = []
    async with connect(f"{served.websocket}/vosk") as connection:
        await connection.send('{"config": {"sample_rate": 16000}}')
        for start in range(0, len(pcm), 8000):
            await connection.send(pcm[start : start + 8000])
            said.append(json.loads(await asyncio.wait_for(connection.recv(), 10)))
        await connection.send('{"eof" : 1}')
        said.append(json.loads(await asyncio.wait_for(connection.recv(), 10)))
        await connection.wait_closed()
    assert connection.close_code == 1000
    assert any(each.get("partial") for each in said)
    assert " ".join(each["text"] for each in said if each.get("text")) == text
    words = [word for each in said for word in each.get("result", ())]
    assert [word["word"] for word in words] == text.split()
    ends = [word["end"] for word in words]
    assert ends == sorted(ends)


async def test_vosks_reset_goes_on_with_a_new_stream(served: Served, pcm: bytes, text: str) -> None:
    finals = []
    async with connect(f"{served.websocket}/vosk") as connection:
        await connection.send('{"config": {"sample_rate": 16000}}')
        for command in ('{"reset" : 1}', '{"eof" : 1}'):
            await connection.send(pcm)
            await connection.send(command)
            replies = [json.loads(await asyncio.wait_for(connection.recv(), 10)) for _ in range(2)]
            finals.append(" ".join(reply["text"] for reply in replies if reply.get("text")))
    assert finals[0] == text
    assert len(finals[1].split()) > 3


def test_openais_sdk_transcribes(served: Served, recording: Path, text: str) -> None:
    with openai(served) as client, recording.open("rb") as file:
        assert client.models.list().data[0].object == "model"
        plain = client.audio.transcriptions.create(model="general", file=file, language="en")
        file.seek(0)
        verbose = client.audio.transcriptions.create(
            model="general",
            file=file,
            response_format="verbose_json",
            timestamp_granularities=["word", "segment"],
        )
        file.seek(0)
        subtitles = client.audio.transcriptions.create(
            model="general", file=file, response_format="srt"
        )
    assert plain.text == verbose.text == text
    assert [word.word for word in verbose.words] == text.split()
    assert "".join(segment.text for segment in verbose.segments).strip() == text
    assert subtitles.startswith("1\n00:00:0")


def test_openais_sdk_streams(served: Served, recording: Path, text: str) -> None:
    with openai(served) as client, recording.open("rb") as file:
        stream = client.audio.transcriptions.create(model="general", file=file, stream=True)
        *deltas, done = stream
    assert {event.type for event in deltas} == {"transcript.text.delta"}
    assert "".join(event.delta for event in deltas) == text
    assert (done.type, done.text) == ("transcript.text.done", text)


def test_openais_sdk_gets_typed_exceptions(served: Served, recording: Path) -> None:
    package = pytest.importorskip("openai", reason="the openai SDK is not installed")
    with openai(served) as client, recording.open("rb") as file:
        with pytest.raises(package.NotFoundError, match="does not exist"):
            client.audio.transcriptions.create(model="gpt-99", file=file)
        with pytest.raises(package.APIStatusError, match="is not in a format"):
            client.audio.transcriptions.create(model="general", file=b"no audio")


@pytest.mark.filterwarnings("ignore:connect\\(\\) must be used:DeprecationWarning")  # by the SDK
def test_openais_sdk_in_realtime(served: Served, recording: Path, text: str) -> None:
    at_24_khz = soxr.resample(read_audio(recording), 16000, 24000)
    pcm = np.rint(at_24_khz * 32767).clip(-32768, 32767).astype("<i2").tobytes()
    deltas, completed = "", None
    with (
        openai(served) as client,
        client.realtime.connect(extra_query={"intent": "transcription"}) as connection,
    ):
        audio = {"input": {"turn_detection": None}}
        connection.session.update(session={"type": "transcription", "audio": audio})
        for start in range(0, len(pcm), 9600):
            part = base64.b64encode(pcm[start : start + 9600]).decode()
            connection.input_audio_buffer.append(audio=part)
        connection.input_audio_buffer.commit()
        while completed is None:
            event = connection.recv()
            assert event.type != "error", event
            if event.type.endswith("transcription.delta"):
                deltas += event.delta
            completed = getattr(event, "transcript", None)
    assert deltas == completed == text


@contextmanager
def deepgram(served: Served) -> Iterator[Any]:
    package = pytest.importorskip("deepgram", reason="not installed: pip install deepgram-sdk")
    import httpx

    environment = package.DeepgramClientEnvironment(
        base=served.http, production=served.websocket, agent="", agent_rest=""
    )
    with httpx.Client(timeout=60) as client:
        yield package.DeepgramClient(api_key="none", environment=environment, httpx_client=client)


@DEEPGRAM
def test_deepgrams_sdk_listens(served: Served, pcm: bytes, text: str) -> None:
    asked = {"model": "general", "encoding": "linear16", "sample_rate": 16000}
    asked |= {"interim_results": "true", "vad_events": "true", "punctuate": "true"}
    with (
        deepgram(served) as client,
        client.listen.v1.connect(**asked, keyterm=["stop", "go"]) as connection,
    ):
        connection.send_keep_alive()
        for start in range(0, len(pcm), 3200):
            connection.send_media(pcm[start : start + 3200])
        connection.send_finalize()
        connection.send_close_stream()
        said = list(connection)
    kinds = [message.type for message in said]
    assert kinds[0] == "SpeechStarted" and kinds[-1] == "Metadata"
    results = [message for message in said if message.type == "Results"]
    assert any(not each.is_final for each in results)
    finals = [each for each in results if each.is_final]
    assert [each.from_finalize for each in finals if each.from_finalize] == [True]
    alternatives = [each.channel.alternatives[0] for each in finals]
    assert " ".join(each.transcript for each in alternatives if each.transcript) == text
    words = [word for each in alternatives for word in each.words]
    assert [word.word for word in words] == text.split()
    assert all(0 <= word.start < word.end for word in words)
    assert said[-1].duration == pytest.approx(len(pcm) / 32000, abs=0.001)
    assert said[-1].warnings[0]["parameter"] == "punctuate"


@DEEPGRAM
def test_deepgrams_sdk_transcribes(served: Served, recording: Path, text: str) -> None:
    content = recording.read_bytes()
    with deepgram(served) as client:
        answer = client.listen.v1.media.transcribe_file(
            request=content, model="general", utterances=True, smart_format=True
        )
    assert [each.alternatives[0].transcript for each in answer.results.channels] == [text]
    words = answer.results.channels[0].alternatives[0].words
    assert [word.word for word in words] == text.split()
    assert " ".join(each.transcript for each in answer.results.utterances) == text
    assert answer.metadata.sha256 == hashlib.sha256(content).hexdigest()


@DEEPGRAM
def test_deepgrams_sdk_gets_typed_exceptions(served: Served) -> None:
    with deepgram(served) as client:
        from deepgram.errors import BadRequestError

        with pytest.raises(BadRequestError) as refused:
            client.listen.v1.media.transcribe_file(request=b"x", model="general", redact="pci")
    assert refused.value.body["err_msg"] == "redact is 'pci'; this is not done here; leave it out"


@AUDIOOP
async def test_wyomings_own_client(served: Served, pcm: bytes, text: str) -> None:
    pytest.importorskip("wyoming.client", reason="wyoming is not installed: pip install wyoming")
    from wyoming.asr import Transcribe, Transcript
    from wyoming.audio import AudioChunk, AudioStart, AudioStop
    from wyoming.client import AsyncTcpClient
    from wyoming.info import Describe, Info

    form = {"rate": 16000, "width": 2, "channels": 1}
    async with AsyncTcpClient("127.0.0.1", served.wyoming_port, 5, 10) as client:
        await client.write_event(Describe().event())
        event = await client.read_event()
        assert event is not None
        assert Info.from_event(event).asr[0].models[0].installed
        for _ in range(2):
            await client.write_event(Transcribe(language="en").event())
            await client.write_event(AudioStart(**form, timestamp=0).event())
            for start in range(0, len(pcm), 2048):
                chunk = AudioChunk(**form, audio=pcm[start : start + 2048])
                await client.write_event(chunk.event())
            await client.write_event(AudioStop().event())
            chunks, said = "", None
            while event is not None and event.type != "transcript-stop":
                event = await client.read_event()
                assert event is not None
                if event.type == "transcript-chunk":
                    chunks += event.data["text"]
                if Transcript.is_type(event.type):
                    said = Transcript.from_event(event).text
            assert said == chunks == text
            event = await _pong(client)


@AUDIOOP
async def test_what_home_assistant_does(served: Served, pcm: bytes, text: str) -> None:
    """The calls of its Wyoming integration: `load_wyoming_info`, then the provider of speech to text."""
    pytest.importorskip("wyoming.client", reason="wyoming is not installed: pip install wyoming")
    from wyoming.asr import Transcribe, Transcript
    from wyoming.audio import AudioChunk, AudioStart, AudioStop
    from wyoming.client import AsyncTcpClient
    from wyoming.info import Describe, Info

    async with AsyncTcpClient("127.0.0.1", served.wyoming_port) as client:
        await client.write_event(Describe().event())
        event = await asyncio.wait_for(client.read_event(), 1)  # it waits no longer
        assert event is not None
        (program,) = Info.from_event(event).asr
    (model,) = program.models
    assert (program.name, program.installed, program.version) == ("rill", True, __version__)
    assert (model.name, model.installed, model.languages) == ("general", True, ["en"])
    assert model.description == open_model(model_path()).notes["knows"]
    form = {"rate": 16000, "width": 2, "channels": 1}
    async with AsyncTcpClient("127.0.0.1", served.wyoming_port) as client:
        await client.write_event(Transcribe(language=model.languages[0]).event())
        await client.write_event(AudioStart(**form).event())
        for start in range(0, len(pcm), 640):
            await client.write_event(AudioChunk(**form, audio=pcm[start : start + 640]).event())
        await client.write_event(AudioStop().event())
        said = None
        while said is None:
            event = await asyncio.wait_for(client.read_event(), 10)
            assert event is not None, "the connection was lost"
            said = Transcript.from_event(event) if Transcript.is_type(event.type) else None
    assert (said.text, said.language) == (text, "en")


async def _pong(client: Any) -> Any:
    from wyoming.ping import Ping

    await client.write_event(Ping("still there?").event())
    return await client.read_event()


def test_curl_posts_a_recording(served: Served, recording: Path, text: str) -> None:
    curl = program("curl", "apt install curl")
    command = [curl, "-sS", "-F", f"file=@{recording}", f"{served.http}/transcribe"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    body = json.loads(run.stdout)
    assert (body["filename"], body["text"]) == (recording.name, text)
    assert [chunk["text"] for chunk in body["chunks"]] == text.split()
    assert all(start < end for start, end in (chunk["timestamp"] for chunk in body["chunks"]))
