"""Wyoming's conversation, also as the `wyoming` package's own writer and reader see it."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.adapters.wyoming import Offer
from server.adapters.wyoming_framing import EventReader
from server.protocol.states import Close, State
from tests.server.adapters.driving import (
    FORMAT,
    Audio,
    DrivenWyoming,
    Finish,
    Open,
    Opening,
    Release,
    Said,
    event,
    result,
)

AUDIOOP = pytest.mark.filterwarnings("ignore:'audioop' is deprecated")  # wyoming's import of it


def read(messages: list[bytes | Close]) -> list[tuple[str, dict[str, Any]]]:
    """Return types and data of the events that the peer gets."""
    reader = EventReader()
    for message in messages:
        if isinstance(message, bytes):
            reader.feed(message)
    events = []
    while (each := reader.next_event()) is not None:
        events.append((each.type, dict(each.data)))
    return events


def test_home_assistants_flow_gives_chunks_and_one_transcript() -> None:
    protocol, engine = DrivenWyoming(), Opening({(0, 1): Said((0,)), (0, -1): Said((1,))})
    protocol.receive(event("transcribe", {"language": "en-GB"}))
    protocol.receive(event("audio-start", FORMAT | {"timestamp": 0}))
    for _ in range(3):
        protocol.receive(event("audio-chunk", FORMAT, bytes(2048)))
        engine.run(protocol)
    protocol.receive(event("audio-stop", {"timestamp": 192}))
    engine.run(protocol)
    assert engine.samples == 3 * 1024
    assert engine.released
    assert read(protocol.messages()) == [
        ("transcript-start", {"language": "en"}),
        ("transcript-chunk", {"text": "one"}),
        ("transcript-chunk", {"text": " two"}),
        ("transcript", {"text": "one two", "language": "en"}),
        ("transcript-stop", {}),
    ]
    assert protocol.state is State.OPEN


def test_utterances_may_follow_each_other_and_each_takes_a_slot() -> None:
    protocol, engine = DrivenWyoming(), Opening({(0, -1): Said((0,))})
    for _ in range(2):
        protocol.receive(event("audio-chunk", FORMAT, bytes(640)))
        protocol.receive(event("audio-stop"))
        assert protocol.state is State.FINISHING
        engine.run(protocol)
        assert ("transcript", {"text": "one", "language": "en"}) in read(protocol.messages())
    assert engine.opened == 2


def test_describe_takes_no_slot_and_is_answered_at_once() -> None:
    protocol = DrivenWyoming(Offer("commands", "fr", "1.2", "command words"))
    protocol.receive(event("describe") + event("ping", {"text": "x"}) + event("unheard-of"))
    assert protocol.events() == []
    (kind, data), pong = read(protocol.messages())
    assert kind == "info"
    (program,) = data["asr"]
    (model,) = program["models"]
    assert (program["name"], program["version"]) == ("rill", "1.2")
    assert (model["name"], model["languages"]) == ("commands", ["fr"])
    assert model["description"] == "command words"
    assert pong == ("pong", {"text": "x"})


@pytest.mark.parametrize(
    "wrong",
    [
        event("audio-start", FORMAT | {"rate": 0}),
        event("audio-start", FORMAT | {"rate": "16k"}),
        event("audio-start", FORMAT | {"width": 3}),
        event("audio-start", FORMAT | {"channels": -1}),
        event("transcribe", {"language": "fr"}),
        event("transcribe", {"name": "large"}),
        event("transcribe", {"name": ["general"]}),
        event("audio-stop") + event("audio-chunk", FORMAT, b"12"),
        b"\xff\n",
    ],
)
def test_mistakes_free_the_slot_and_say_why(wrong: bytes) -> None:
    protocol = DrivenWyoming()
    protocol.receive(event("audio-chunk", FORMAT, bytes(640)))
    protocol.receive(wrong)
    assert protocol.events()[-1] == Release()
    *_, (kind, data) = read(protocol.messages())
    assert kind == "error"
    assert data["text"]
    assert protocol.state is State.CLOSED


def test_bytes_that_are_no_event_end_the_connection_and_say_why() -> None:
    protocol = DrivenWyoming()
    protocol.receive(b"GET / HTTP/1.1\r\n\r\n")
    assert read(protocol.messages()[:1])[0][0] == "error"
    assert protocol.state is State.CLOSED


def test_without_a_slot_the_peer_gets_an_error_and_nothing_is_released() -> None:
    protocol = DrivenWyoming()
    protocol.refusal = "all 4 channels are in use"
    protocol.receive(event("audio-chunk", FORMAT, bytes(1920)))
    error, close = protocol.messages()
    assert isinstance(error, bytes)
    assert read([error]) == [("error", {"text": "all 4 channels are in use", "code": "busy"})]
    assert isinstance(close, Close)
    assert protocol.events() == []


def test_a_fault_of_the_engine_is_an_error() -> None:
    protocol = DrivenWyoming()
    protocol.receive(event("audio-start", FORMAT))
    protocol.receive_fault("it broke")
    assert read(protocol.messages()) == [("error", {"text": "it broke"})]
    assert protocol.events() == [Open(), Release()]


def test_shutdown_gives_the_transcript_of_what_was_heard() -> None:
    protocol, engine = DrivenWyoming(), Opening({(0, -1): Said((0,))})
    protocol.receive(event("audio-chunk", FORMAT, bytes(640)))
    protocol.receive_shutdown()
    engine.run(protocol)
    messages = protocol.messages()
    assert ("transcript", {"text": "one", "language": "en"}) in read(messages)
    assert messages[-1] == Close(1001, "the server is shutting down")
    assert engine.released


def test_idle_counts_unless_the_engine_is_due() -> None:
    protocol = DrivenWyoming()
    protocol.receive(event("audio-start", FORMAT) + event("audio-stop"))
    protocol.receive_idle(60.0)
    assert protocol.state is State.FINISHING
    protocol = DrivenWyoming()
    protocol.receive_idle(60.0)
    assert read(protocol.messages()) == [("error", {"text": "no event for 60 s"})]


def test_unanswered_is_audio_without_a_result() -> None:
    protocol = DrivenWyoming()
    protocol.receive(event("audio-chunk", FORMAT, bytes(4000)))
    assert protocol.unanswered == 4000


EVENTS = st.sampled_from(
    [
        event("describe"),
        event("transcribe"),
        event("audio-start", FORMAT),
        event("audio-chunk", FORMAT, bytes(3000)),
        event("audio-chunk", {"rate": 44100}, b"odd"),
        event("audio-stop"),
    ]
)
CALLS = st.sampled_from(["stall", "idle", "shutdown", "fault", "engine", "gone", "refused"])


@given(st.lists(EVENTS | st.binary(max_size=40) | CALLS, max_size=25), st.integers(1, 50))
def test_nothing_raises_and_every_slot_is_released_once(steps: list[bytes | str], cut: int) -> None:
    protocol, engine = DrivenWyoming(), Opening()
    messages: list[bytes | Close] = []
    for step in steps:
        match step:
            case bytes():
                for start in range(0, len(step), cut * 20):
                    protocol.receive(step[start : start + cut * 20])
            case "stall":
                protocol.receive_stall(1.0)
            case "idle":
                protocol.receive_idle(1.0)
            case "shutdown":
                protocol.receive_shutdown()
            case "fault":
                protocol.receive_fault("it broke")
            case "gone":
                protocol.receive_gone()
            case "refused":
                protocol.refusal = "full"
            case _:
                engine.run(protocol)
        messages += protocol.messages()
    protocol.receive_gone()
    engine.run(protocol)
    assert engine.released or not engine.opened
    assert not any(isinstance(message, Close) for message in messages[:-1])
    assert protocol.state is State.CLOSED


@AUDIOOP
def test_the_packages_own_reader_understands_every_event() -> None:
    package = pytest.importorskip("wyoming.event", reason="wyoming is not installed")
    from wyoming.asr import Transcript, TranscriptChunk
    from wyoming.info import Info

    protocol, engine = DrivenWyoming(), Opening({(0, -1): Said((0, 3))})
    protocol.receive(event("describe") + event("audio-chunk", FORMAT, bytes(640)))
    protocol.receive(event("audio-stop"))
    engine.run(protocol)
    stream = io.BytesIO(b"".join(m for m in protocol.messages() if isinstance(m, bytes)))
    info, start, chunk, transcript, stop = (package.read_event(stream) for _ in range(5))
    program = Info.from_event(info).asr[0]
    assert program.installed and program.models[0].languages == ["en"]
    assert start.type == "transcript-start"
    assert TranscriptChunk.from_event(chunk).text == "oneteen"
    assert Transcript.from_event(transcript) == Transcript("oneteen", language="en")
    assert stop.type == "transcript-stop"


@AUDIOOP
async def test_the_packages_own_writer_is_understood() -> None:
    package = pytest.importorskip("wyoming.event", reason="wyoming is not installed")
    from wyoming.asr import Transcribe
    from wyoming.audio import AudioChunk, AudioStart, AudioStop

    class Writer:
        def __init__(self) -> None:
            self.written = bytearray()

        def write(self, data: bytes) -> None:
            self.written += data

        def writelines(self, lines: tuple[bytes, ...]) -> None:
            self.write(b"".join(lines))

        async def drain(self) -> None:
            await asyncio.sleep(0)

    writer = Writer()
    for each in (
        Transcribe("general", "en", transcript_names=["Rill"]),
        AudioStart(**FORMAT, timestamp=0),
        AudioChunk(**FORMAT, audio=bytes(1920), timestamp=0),
        AudioStop(timestamp=60),
    ):
        await package.async_write_event(each.event(), writer)
    protocol = DrivenWyoming()
    for byte in bytes(writer.written):
        protocol.receive(bytes([byte]))
    opened, audio, finish = protocol.events()
    assert (opened, finish) == (Open(), Finish())
    assert isinstance(audio, Audio)
    assert len(audio.samples) == 960
    protocol.receive_result(result(0))
    assert protocol.messages() == []


def test_only_events_of_an_utterance_are_signs_of_one() -> None:
    protocol = DrivenWyoming()
    for received, spoken in [
        (event("ping", {"text": "x"}), False),
        (event("describe"), False),
        (event("unheard-of"), False),
        (event("audio-start", FORMAT)[:10], False),
        (event("audio-start", FORMAT)[10:], True),
        (event("ping") + event("audio-chunk", FORMAT, bytes(10)) + event("ping"), True),
        (event("audio-stop"), True),
    ]:
        assert protocol.receive(received) is spoken
