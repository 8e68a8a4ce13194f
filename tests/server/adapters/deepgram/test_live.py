from __future__ import annotations

import hashlib
import json
import sys
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.adapters.deepgram.live import Listen
from server.adapters.deepgram.messages import Request
from server.adapters.deepgram.options import Options
from server.protocol.states import Close, State
from stream.audio import as_float
from tests.server.adapters.driving import CHUNK, Audio, Driven, EndAfter, Engine, Said
from tests.stream.audio.opus.opus_streams import CONTENT, packets

CHUNK_BYTES = bytes(2 * CHUNK)
CLOSE_STREAM = '{"type": "CloseStream"}'
FINALIZE = '{"type": "Finalize"}'


def channel(server_silence: float | None = None, **options: Any) -> Driven:
    """Return a stream at 16 kHz, so that chunks are easily counted."""
    asked = Options(**({"encoding": "linear16", "rate": 16000} | options))
    time = datetime(2026, 11, 29, 13, 5, tzinfo=UTC)
    return Driven(Listen(Request("1f", time, "general", asked), server_silence))


def read(protocol: Driven) -> list[dict[str, Any]]:
    return [json.loads(each) for each in protocol.messages() if isinstance(each, str)]


def text(results: dict[str, Any]) -> str:
    return str(results["channel"]["alternatives"][0]["transcript"])


def hear(protocol: Driven, engine: Engine, chunks: int) -> list[dict[str, Any]]:
    for _ in range(chunks):
        protocol.receive(CHUNK_BYTES)
        engine.run(protocol)
    return read(protocol)


def test_a_pause_ends_an_utterance_and_closing_sends_metadata_last() -> None:
    protocol = channel()
    engine = Engine({(0, 0): Said((0,)), (0, 1): Said((1,)), (0, 2): Said(endpoint=True)})
    (results,) = hear(protocol, engine, 5)
    assert results["type"] == "Results" and results["channel_index"] == [0, 1]
    assert (results["is_final"], results["speech_final"]) == (True, True)
    assert not results["from_finalize"]
    assert (results["start"], results["duration"], text(results)) == (0.0, 0.18, "one two")
    words = results["channel"]["alternatives"][0]["words"]
    assert [(word["word"], word["start"], word["end"]) for word in words] == [
        ("one", 0.0, 0.06),
        ("two", 0.06, 0.12),
    ]
    assert results["metadata"]["request_id"] == "1f"
    protocol.receive(CLOSE_STREAM)
    engine.run(protocol)
    *messages, closed = protocol.messages()
    last, metadata = (json.loads(str(each)) for each in messages)
    assert last["is_final"] and text(last) == "" and last["start"] == 0.18
    assert metadata["type"] == "Metadata" and metadata["duration"] == 0.3
    assert metadata["sha256"] == hashlib.sha256(5 * CHUNK_BYTES).hexdigest()
    assert closed == Close(1000)
    assert engine.released


def test_interim_results_replace_each_other_until_the_final_one() -> None:
    protocol = channel(interim=True)
    script = {
        (0, 0): Said(provisional=(0,)),
        (0, 1): Said((1,), provisional=(2,)),
        (0, 3): Said((2,), endpoint=True),
    }
    got = hear(protocol, Engine(script), 4)
    assert [(text(each), each["is_final"]) for each in got] == [
        ("one", False),
        ("two three", False),
        ("two", False),
        ("two three", True),
    ]


def test_speech_started_comes_before_the_first_text_of_each_utterance() -> None:
    protocol = channel(speech_events=True, interim=True)
    script = {
        (0, 1): Said((0,)),
        (0, 2): Said(endpoint=True),
        (0, 4): Said((1,), endpoint=True),
    }
    got = hear(protocol, Engine(script), 5)
    assert [each["type"] for each in got] == [
        "SpeechStarted",
        "Results",
        "Results",
        "SpeechStarted",
        "Results",
    ]
    assert [each["timestamp"] for each in got if "timestamp" in each] == [0.06, 0.24]


def test_utterance_end_follows_the_last_final_word_unless_speech_goes_on() -> None:
    protocol = channel(interim=True, silence=0.06, utterance_end=0.24)
    script = {
        (0, 0): Said((0,)),
        (0, 1): Said(endpoint=True),
        (0, 3): Said((1,)),  # before 0.06 + 0.24 s
        (0, 4): Said(endpoint=True),
    }
    engine = Engine(script)
    assert all(each["type"] == "Results" for each in hear(protocol, engine, 7))
    (end,) = hear(protocol, engine, 3)
    assert end == {"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": 0.24}
    assert hear(protocol, engine, 5) == []


@pytest.mark.parametrize(
    "options, server, set_to",
    [
        ({}, 1.2, None),
        ({"silence": 0.3}, 1.2, 0.3),
        ({"interim": True, "utterance_end": 1.0}, 1.2, 1.0),
        ({"interim": True, "utterance_end": 1.0}, 0.5, 0.5),
        ({"interim": True, "utterance_end": 1.0}, None, 1.0),
        ({"silence": 2.0, "interim": True, "utterance_end": 1.0}, 1.2, 2.0),
    ],
)
def test_a_pause_is_as_long_as_the_client_says(
    options: dict[str, Any], server: float | None, set_to: float | None
) -> None:
    expected = [] if set_to is None else [EndAfter(set_to)]
    assert channel(server, **options).events() == expected


def test_without_endpointing_text_becomes_final_but_no_pause_is_marked() -> None:
    (results,) = hear(channel(pauses=False), Engine({(0, 0): Said((0,), endpoint=True)}), 1)
    assert results["is_final"] and not results["speech_final"]


def test_finalize_flushes_what_came_before_it_and_times_go_on() -> None:
    protocol = channel()
    engine = Engine({(0, -1): Said((0,)), (1, 0): Said((1,), endpoint=True)})
    hear(protocol, engine, 2)
    protocol.receive(FINALIZE)
    engine.run(protocol)
    (results,) = read(protocol)
    assert (results["is_final"], results["from_finalize"], results["speech_final"]) == (
        True,
        True,
        False,
    )
    assert text(results) == "one"
    (after,) = hear(protocol, engine, 1)
    assert not after["from_finalize"] and after["start"] >= 0.12
    assert after["channel"]["alternatives"][0]["words"][0]["start"] == 0.12


def test_finalize_without_text_is_answered_too() -> None:
    protocol, engine = channel(), Engine()
    for _ in range(2):
        protocol.receive(FINALIZE)
    engine.run(protocol)
    assert [each["from_finalize"] for each in read(protocol)] == [True, True]


def test_audio_is_decoded_and_channels_are_mixed() -> None:
    stereo = np.repeat(np.array([[0], [8000], [-8000], [16384]], "<i2"), 2, axis=1)
    protocol = channel(channels=2)
    protocol.receive(stereo.tobytes()[:3])
    protocol.receive(stereo.tobytes()[3:] + bytes(4 * CHUNK))
    pushed = np.concatenate(
        [as_float(e.samples) for e in protocol.events() if isinstance(e, Audio)]
    )
    np.testing.assert_allclose(pushed[:4], stereo[:, 0] / 32768)
    telephone = channel(encoding="mulaw", rate=8000)
    engine = Engine()
    telephone.receive(bytes([0xFF]) * 8000)
    telephone.receive('{"type": "CloseStream"}')
    engine.run(telephone)
    assert engine.samples == 16000


def test_an_empty_binary_message_ends_the_stream_and_keep_alive_does_not() -> None:
    protocol, engine = channel(), Engine()
    protocol.receive('{"type": "KeepAlive"}')
    assert protocol.state is State.OPEN and protocol.messages() == []
    protocol.receive(b"")
    engine.run(protocol)
    assert protocol.messages()[-1] == Close(1000)


def test_configure_is_answered_and_the_stream_goes_on() -> None:
    protocol = channel()
    protocol.receive('{"type": "Configure", "keyterms": ["cellar"]}')
    (answer,) = read(protocol)
    assert answer["type"] == "ConfigureFailure" and answer["request_id"] == "1f"
    assert protocol.state is State.OPEN


@pytest.mark.parametrize(
    "message",
    [
        "hello",
        "{",
        "[]",
        '{"type": 1}',
        '{"type": "Speak"}',
        '{"type": "Finalize", "channel": 1}',
        '{"type": "Finalize", "channel": "all"}',
        "[" * 100_000,
    ],
)
def test_text_that_is_no_message_is_an_error_and_frees_the_slot(message: str) -> None:
    protocol, engine = channel(), Engine()
    protocol.receive(message)
    engine.run(protocol)
    told, closed = protocol.messages()
    assert json.loads(str(told))["variant"] == "SchemaError"
    assert isinstance(closed, Close) and closed.code == 1008
    assert engine.released


def test_an_idle_stream_is_closed_as_deepgram_does() -> None:
    protocol, engine = channel(), Engine({(0, -1): Said((0,))})
    protocol.receive(bytes(1920))
    protocol.receive_idle(60)
    engine.run(protocol)
    *said, closed = protocol.messages()
    assert closed == Close(1011, "NET-0001: no audio and no KeepAlive for 60 s")
    assert [json.loads(str(message))["type"] for message in said] == ["Results", "Metadata"]
    assert text(json.loads(str(said[0]))) == "one"


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=5000),
            st.sampled_from([FINALIZE, CLOSE_STREAM, '{"type": "KeepAlive"}', "x"]),
        ),
        max_size=12,
    )
)
def test_any_messages_in_any_order_leave_no_slot_behind(messages: list[str | bytes]) -> None:
    protocol, engine = (
        channel(interim=True, utterance_end=0.06),
        Engine(lambda _, n: Said((n % 3,))),
    )
    for message in messages:
        protocol.receive(message)
        engine.run(protocol)
    protocol.receive(CLOSE_STREAM)
    engine.run(protocol)
    assert engine.released and protocol.state is State.CLOSED
    told = protocol.messages()
    assert sum(isinstance(each, Close) for each in told) == 1 and isinstance(told[-1], Close)


@pytest.mark.parametrize("name", CONTENT)
@pytest.mark.parametrize("encoding", [None, "ogg-opus"])
def test_opus_in_a_container_is_decoded(name: str, encoding: str | None) -> None:
    protocol, engine = channel(encoding=encoding), Engine()
    for at in range(0, len(CONTENT[name]), 700):
        protocol.receive(CONTENT[name][at : at + 700])
    protocol.receive(CLOSE_STREAM)
    engine.run(protocol)
    closed = protocol.messages()[-1]
    assert isinstance(closed, Close) and engine.released
    if (name, encoding) == ("webm", "ogg-opus"):
        assert closed.code == 1008 and closed.reason.startswith("DATA-0000: the audio has")
    else:
        assert closed.code == 1000
        assert engine.samples / 16_000 == pytest.approx(1.0, abs=0.05)


def test_packets_of_opus_are_messages() -> None:
    protocol, engine = channel(encoding="opus"), Engine()
    for packet in packets():
        protocol.receive(packet)
    protocol.receive(CLOSE_STREAM)
    engine.run(protocol)
    assert engine.samples / 16_000 == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("first", [b"RIFF", b"\0\0", bytes(3200)])
def test_without_an_encoding_audio_in_no_container_is_refused(first: bytes) -> None:
    protocol, engine = channel(encoding=None), Engine()
    protocol.receive(first)
    engine.run(protocol)
    (closed,) = protocol.messages()
    assert isinstance(closed, Close) and closed.reason.startswith("DATA-0000: the audio is neither")
    assert engine.released


def test_without_pyav_opus_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    protocol = channel(encoding=None)
    protocol.receive(CONTENT["ogg"])
    (closed,) = protocol.messages()
    assert isinstance(closed, Close)
    assert closed.reason == "DATA-0000: the audio is Opus, and PyAV is missing"
