"""French on every protocol: accents, ligatures and apostrophes arrive as they were said, and none splits a word."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from server.adapters.deepgram import recorded
from server.adapters.deepgram.live import Listen
from server.adapters.deepgram.messages import Request
from server.adapters.deepgram.options import Options
from server.adapters.myrtle import Myrtle
from server.adapters.openai import answer
from server.adapters.openai_fields import Transcription, parse_fields
from server.adapters.realtime import Realtime
from server.adapters.sherpa import Sherpa
from server.adapters.transcribe import answer as plain_answer
from server.adapters.vosk import Vosk
from server.adapters.wyoming_framing import EventReader
from server.protocol.hotwords import Speller
from server.protocol.stream import Dialect
from stream.transcripts.transcript import Transcript
from stream.vocabulary import Alphabet
from tests.server.adapters import driving
from tests.server.adapters.driving import (
    CHUNK,
    FORMAT,
    Driven,
    DrivenWyoming,
    Engine,
    Opening,
    Said,
    event,
    result,
)

PIECES = (" l'", "œuvre", " d'", "août", " à", " où")
TEXT = "l'œuvre d'août à où"
SAID = [Said((0, 1)), Said((2,)), Said((3, 4)), Said((5,))]  # a chunk ends in the middle of a word
SCRIPT = {(0, number): said for number, said in enumerate(SAID)}
REQUEST = Request("1f", datetime(2026, 11, 29, tzinfo=UTC), "general", Options("linear16", 16000))


@pytest.fixture(autouse=True)
def french(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driving, "PIECES", PIECES)


@pytest.fixture
def transcript() -> Transcript:
    made = Transcript()
    made.add(*(result(number, said) for number, said in enumerate(SAID)), result(4, last=True))
    return made


def said_by(protocol: Driven) -> list[dict[str, Any]]:
    """Return the JSON messages that the peer was sent."""
    messages = (each for each in protocol.messages() if isinstance(each, str) and each[0] == "{")
    return [json.loads(each) for each in messages]


def strings(value: Any) -> Iterator[str]:
    """Yield all strings of a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from strings(each)


@pytest.mark.parametrize(
    ("dialect", "audio", "end"),
    [
        (Vosk(), bytes(2 * CHUNK), '{"eof" : 1}'),
        (Sherpa(), bytes(4 * CHUNK), "Done"),
        (Listen(REQUEST, None), bytes(2 * CHUNK), '{"type": "CloseStream"}'),
    ],
    ids=["vosk", "sherpa", "deepgram"],
)
def test_a_stream_ends_with_the_text(dialect: Dialect, audio: bytes, end: str) -> None:
    protocol, engine = Driven(dialect), Engine(SCRIPT)
    for _ in SAID:
        protocol.receive(audio)
        engine.run(protocol)
    protocol.receive(end)
    engine.run(protocol)
    assert TEXT in list(strings(said_by(protocol)))


def test_the_native_protocol_says_it_chunk_by_chunk() -> None:
    protocol = Driven(Myrtle(1, str))
    for number, said in enumerate(SAID):
        protocol.receive(bytes(2 * CHUNK))
        protocol.receive_result(result(number, said))
    parts = [each["alternatives"][0]["transcript"] for each in said_by(protocol)]
    assert "".join(parts) == f" {TEXT}"


def test_realtime_completes_with_it() -> None:
    protocol, engine = Driven(Realtime(("general",))), Engine(SCRIPT)
    audio = {"input": {"format": {"type": "audio/pcm", "rate": 16000}, "turn_detection": None}}
    session = {"type": "transcription", "audio": audio}
    protocol.receive(json.dumps({"type": "session.update", "session": session}))
    append = {"type": "input_audio_buffer.append", "audio": "AAAA" * (8 * CHUNK // 3)}
    for message in (append, {"type": "input_audio_buffer.commit"}):
        protocol.receive(json.dumps(message))
        engine.run(protocol)
    assert TEXT in [each.get("transcript") for each in said_by(protocol)]


def test_home_assistant_gets_it() -> None:
    protocol, engine = DrivenWyoming(), Opening(SCRIPT)
    protocol.receive(event("transcribe"))
    protocol.receive(event("audio-start", FORMAT))
    protocol.receive(event("audio-chunk", FORMAT, bytes(8 * CHUNK)))
    engine.run(protocol)
    protocol.receive(event("audio-stop"))
    engine.run(protocol)
    reader = EventReader()
    for message in protocol.messages():
        if isinstance(message, bytes):
            reader.feed(message)
    found = []
    while (each := reader.next_event()) is not None:
        found.append(each.data.get("text"))
    assert TEXT in found


@pytest.mark.parametrize("form", ["json", "text", "srt", "vtt", "verbose_json"])
def test_an_upload_is_answered_with_it(form: str, transcript: Transcript) -> None:
    fields = [("model", "general"), ("response_format", form)]
    fields += [("timestamp_granularities[]", "word")] * (form == "verbose_json")
    request = parse_fields(fields, ("general",))
    assert isinstance(request, Transcription)
    body = answer(request, transcript, "fr").body.decode()
    if "json" in form:
        assert json.loads(body)["text"] == TEXT
    else:
        assert TEXT in body
    if form == "verbose_json":
        assert [word["word"] for word in json.loads(body)["words"]] == TEXT.split()


def test_the_other_uploads_are_answered_with_it(transcript: Transcript) -> None:
    bodies = [plain_answer("a.wav", transcript), recorded.answer(REQUEST, transcript, "e3b0")]
    assert all(TEXT in list(strings(json.loads(body))) for body in bodies)


def test_hotwords_are_spelt_as_the_model_spells_them() -> None:
    speller = Speller(Alphabet.of(PIECES))
    assert speller.spell({"l’œuvre d’août": 2.0}) == {"l'œuvre d'août": 2.0}
    assert speller.spell({"ou\u0300": 2.0}) == {"où": 2.0}  # a letter and its accent apart
