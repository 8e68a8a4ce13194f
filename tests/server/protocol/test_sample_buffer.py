"""Samples that are split between messages: in the buffer, and in every dialect over it."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from server.adapters.myrtle import Myrtle
from server.adapters.realtime import Realtime
from server.adapters.sherpa import Sherpa
from server.adapters.vosk import Vosk
from server.adapters.wyoming_framing import encode
from server.protocol.sample_buffer import SampleBuffer
from server.protocol.states import Close, State
from stream.audio import as_float
from tests.server.adapters.driving import Audio, Driven, DrivenWyoming

SAMPLES = np.random.default_rng(0).integers(-32768, 32768, 2000).astype("<i2")
FLOATS = SAMPLES / np.float32(32768)


def test_a_frame_is_complete_when_its_last_byte_came() -> None:
    buffer = SampleBuffer()
    assert [buffer.take(message, 4) for message in (b"abc", b"", b"defgh", b"i")] == [
        b"",
        b"",
        b"abcdefgh",
        b"",
    ]
    assert buffer.left == b"i"


def test_another_format_begins_with_its_first_message(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "server.protocol.sample_buffer")
    buffer = SampleBuffer()
    assert buffer.take(b"abc", 2) == b"ab"
    assert buffer.take(b"defg", 4) == b"defg"
    assert caplog.messages == ["the audio ends 1 bytes into a frame of 2, which are dropped"]


def test_half_a_frame_at_the_end_is_dropped_and_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "server.protocol.sample_buffer")
    buffer = SampleBuffer()
    buffer.take(b"abcde", 4)
    buffer.drop()
    buffer.drop()
    assert caplog.messages == ["the audio ends 1 bytes into a frame of 4, which are dropped"]
    assert buffer.left == b""


@dataclass
class Case:
    """A dialect, the bytes of `SAMPLES` in it, and how it is given some of them."""

    protocol: Driven | DrivenWyoming
    audio: bytes
    give: Callable[[bytes], object]
    end: Callable[[], object]


def myrtle() -> Case:
    protocol = Driven(Myrtle())
    return Case(
        protocol,
        SAMPLES.tobytes(),
        lambda message: protocol.receive(message) if message else None,
        lambda: protocol.receive(b""),
    )


def vosk() -> Case:
    protocol = Driven(Vosk())
    protocol.receive('{"config": {"sample_rate": "16000"}}')
    end = lambda: protocol.receive('{"eof" : 1}')  # noqa: E731
    return Case(protocol, SAMPLES.tobytes(), protocol.receive, end)


def sherpa() -> Case:
    protocol = Driven(Sherpa())
    audio = FLOATS.astype("<f4").tobytes()
    return Case(protocol, audio, protocol.receive, lambda: protocol.receive("Done"))


def realtime() -> Case:
    protocol = Driven(Realtime())
    form = {"format": {"type": "audio/pcm", "rate": 16000}}
    session = {"type": "transcription", "audio": {"input": form}}
    protocol.receive(json.dumps({"type": "session.update", "session": session}))

    def give(message: bytes) -> None:
        audio = base64.b64encode(message).decode()
        protocol.receive(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))

    commit = '{"type": "input_audio_buffer.commit"}'
    return Case(protocol, SAMPLES.tobytes(), give, lambda: protocol.receive(commit))


def wyoming(width: int, channels: int) -> Case:
    protocol = DrivenWyoming()
    protocol.receive(
        encode("audio-start", {"rate": 16000, "width": width, "channels": channels}).encode()
    )

    def give(message: bytes) -> None:
        head = json.dumps({"type": "audio-chunk", "payload_length": len(message)})
        protocol.receive(head.encode() + b"\n" + message)

    wide = {1: SAMPLES, 2: SAMPLES, 4: SAMPLES.astype("<i4") << 16}[width]
    audio = np.repeat(wide, channels).tobytes()
    end = lambda: protocol.receive(encode("audio-stop").encode())  # noqa: E731
    return Case(protocol, audio, give, end)


CASES: dict[str, Callable[[], Case]] = {
    "myrtle": myrtle,
    "vosk": vosk,
    "sherpa": sherpa,
    "realtime": realtime,
    "wyoming": lambda: wyoming(2, 1),
    "wyoming of two channels": lambda: wyoming(2, 2),
    "wyoming of 32 bits and three channels": lambda: wyoming(4, 3),
}


def heard(case: Case) -> NDArray[np.float32]:
    """Return what the engine is given."""
    events = case.protocol.events()
    samples = [as_float(event.samples) for event in events if isinstance(event, Audio)]
    return np.concatenate([np.zeros(0, np.float32), *samples])


@pytest.mark.parametrize("name", CASES)
@given(cuts=st.lists(st.integers(0, 4000), max_size=12))
def test_any_cutting_of_the_bytes_is_the_same_sound_in_every_dialect(
    name: str, cuts: list[int]
) -> None:
    case = CASES[name]()
    places = [0, *sorted(cuts), len(case.audio)]
    for start, end in zip(places, places[1:], strict=False):
        case.give(case.audio[start:end])
    case.end()
    np.testing.assert_array_equal(heard(case), FLOATS)


@pytest.mark.parametrize("name", [name for name in CASES if name != "myrtle"])
def test_half_a_sample_at_the_end_is_left_out_without_a_word_to_the_client(name: str) -> None:
    case = CASES[name]()
    case.give(case.audio + b"o")
    case.end()
    np.testing.assert_array_equal(heard(case), FLOATS)
    assert case.protocol.state is not State.CLOSED
    assert not [each for each in case.protocol.messages() if isinstance(each, Close)]
