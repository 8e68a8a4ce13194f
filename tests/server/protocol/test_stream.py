"""A stream with a dialect that does as little as possible."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.adapters.myrtle import Myrtle
from server.protocol.states import Close, State
from server.protocol.stream import Dialect, StreamProtocol
from stream.encoders.lstm import LSTM
from stream.engine.engine import Result
from tests.server.adapters.driving import (
    Audio,
    Driven,
    Engine,
    Finish,
    Release,
    Restart,
    Said,
    result,
)

CHUNK = LSTM.chunk_samples


class Echo(Dialect):
    """Audio is PCM; texts are commands; results are their text."""

    rate = 16000
    end = "the word end"
    closing = Close(1000)

    def __init__(self) -> None:
        self.due = 0
        self.times: list[float] = []

    def receive_audio(self, stream: StreamProtocol, message: bytes) -> None:
        values = np.frombuffer(message[: len(message) // 2 * 2], "<i2")
        self.due = stream.push(np.divide(values, 32768, dtype=np.float32))

    def receive_text(self, stream: StreamProtocol, text: str) -> None:
        if text == "end":
            stream.receive_end()
        elif text == "restart":
            stream.restart()
        elif text.isdigit():
            stream.set_rate(int(text))
        else:
            stream.close(1003, text)

    def send_result(self, stream: StreamProtocol, result: Result) -> None:
        self.times.append(stream.offset + result.end)
        stream.send(f"{result.text}{'.' if result.last else ''}")


def samples(channel: Driven) -> list[int]:
    return [len(event.samples) for event in channel.events() if isinstance(event, Audio)]


def test_audio_goes_on_in_whole_chunks_and_the_rest_at_the_end() -> None:
    channel = Driven(Echo())
    channel.receive(bytes(2 * 500))
    assert channel.events() == []
    channel.receive(bytes(2 * 1500))
    assert samples(channel) == [1920]
    channel.receive_end()
    audio, finish = channel.events()
    assert isinstance(audio, Audio)
    assert len(audio.samples) == 80
    assert finish == Finish()


@given(st.lists(st.integers(0, 3000), max_size=12))
def test_any_cut_of_the_audio_gives_the_same_samples(counts: list[int]) -> None:
    audio = np.arange(sum(counts), dtype="<i2")
    cut = Driven(Echo())
    for part in np.split(audio, np.cumsum(counts)):
        cut.receive(part.tobytes())
    cut.receive_end()
    got = [event.samples for event in cut.events() if isinstance(event, Audio)]
    np.testing.assert_array_equal(
        np.concatenate([np.zeros(0, np.float32), *got]), audio / np.float32(32768)
    )
    assert all(len(part) % CHUNK == 0 for part in got[:-1])


def test_other_rates_are_resampled_without_losing_the_end() -> None:
    channel = Driven(Echo())
    channel.receive("8000")
    for _ in range(10):
        channel.receive(bytes(2 * 800))
    channel.receive_end()
    assert sum(samples(channel)) == 16000


def test_the_number_of_results_that_are_due_is_known() -> None:
    dialect = Echo()
    channel = Driven(dialect)
    channel.receive(bytes(2 * 2000))
    assert dialect.due == 2
    channel.receive("restart")
    channel.receive(bytes(2 * 960))
    assert dialect.due == 1


def test_a_restart_comes_behind_the_last_result_and_holds_audio_back_until_then() -> None:
    channel = Driven(Echo())
    channel.receive(bytes(2 * 1000))
    channel.receive("restart")
    channel.receive(bytes(2 * 960))
    assert [type(event) for event in channel.events()] == [Audio, Audio, Finish]
    channel.receive_result(result(0))
    channel.receive_result(result(1, last=True))
    assert [type(event) for event in channel.events()] == [Restart, Audio]
    assert channel.offset == 0.0625
    assert channel.state is State.OPEN
    channel.receive_end()
    assert channel.events() == [Finish()]


def test_restarts_and_the_end_may_wait_behind_a_restart() -> None:
    dialect = Echo()
    channel = Driven(dialect)
    for command in ("restart", "restart", "end"):
        channel.receive(bytes(2 * 960))
        channel.receive(command)
    engine = Engine({(stream, -1): Said((stream,)) for stream in range(3)})
    engine.run(channel)
    assert engine.released
    assert channel.messages() == ["", " one.", "", " two.", "", " three.", Close(1000)]
    assert dialect.times == pytest.approx([0.06, 0.06, 0.12, 0.12, 0.18, 0.18])


def test_unanswered_is_audio_without_a_result() -> None:
    channel = Driven(Echo())
    channel.receive(bytes(4000))
    assert channel.unanswered == 4000
    channel.events()
    channel.receive_result(result(0, Said((0,))))
    assert channel.unanswered == 2080
    channel.receive("restart")
    assert channel.unanswered == 2080
    channel.events()
    channel.receive_result(result(1))
    channel.receive_result(result(1, last=True))
    channel.messages()
    assert channel.unanswered == 0


@pytest.mark.parametrize(
    "happen, close",
    [
        (lambda channel: channel.receive("no"), Close(1003, "no")),
        (
            lambda channel: channel.receive_stall(10.0),
            Close(1008, "400 no response was read for 10 s"),
        ),
        (lambda channel: channel.receive_fault("é" * 100), Close(1011, "é" * 61)),
    ],
)
def test_what_goes_wrong_closes_once_frees_the_slot_and_says_why(
    happen: Callable[[Driven], None], close: Close
) -> None:
    channel = Driven(Echo())
    channel.receive(bytes(1920))
    channel.events()
    happen(channel)
    happen(channel)
    channel.receive(bytes(1920))
    channel.receive("restart")
    channel.receive_result(result(0))
    assert channel.messages() == [close]
    assert channel.events() == [Release()]
    assert channel.unanswered == 0


def test_shutdown_gives_the_rest_of_the_text_and_1001() -> None:
    channel = Driven(Echo())
    channel.receive_shutdown()
    channel.receive(bytes(1920))
    Engine({(0, -1): Said((0,))}).run(channel)
    assert channel.messages() == [" one.", Close(1001, "the server is shutting down")]


def test_an_idle_peer_gets_the_rest_of_the_text_and_1008() -> None:
    channel = Driven(Echo())
    channel.receive(bytes(1000))
    channel.receive_idle(60.0)
    channel.receive_idle(60.0)
    channel.receive(bytes(1920))
    Engine({(0, -1): Said((0,))}).run(channel)
    close = Close(1008, "400 no message for 60 s; end streams with the word end")
    assert channel.messages() == [" one.", close]


def test_a_vanished_peer_frees_the_slot_and_gets_nothing() -> None:
    channel = Driven(Echo())
    channel.receive(bytes(1920))
    channel.receive_gone()
    channel.receive_result(result(0))
    assert channel.messages() == []
    assert channel.events()[-1] == Release()


ACTIONS: dict[str, Callable[[Driven], None]] = {
    "audio": lambda channel: channel.receive(b"abc"),
    "chunk": lambda channel: channel.receive(bytes(1920)),
    "rate": lambda channel: channel.receive("44100"),
    "restart": lambda channel: channel.receive("restart"),
    "end": lambda channel: channel.receive("end"),
    "bad": lambda channel: channel.receive("bad"),
    "gone": lambda channel: channel.receive_gone(),
    "idle": lambda channel: channel.receive_idle(1.0),
    "stall": lambda channel: channel.receive_stall(1.0),
    "shutdown": lambda channel: channel.receive_shutdown(),
    "fault": lambda channel: channel.receive_fault("it broke"),
}


@given(st.lists(st.sampled_from([*sorted(ACTIONS), "engine"]), max_size=30))
def test_no_order_of_events_raises_closes_twice_or_leaks_a_slot(names: list[str]) -> None:
    channel, engine = Driven(Echo()), Engine()
    messages = []
    for name in names:
        if name == "engine":
            engine.run(channel)
        else:
            ACTIONS[name](channel)
        messages += channel.messages()
    channel.receive_gone()
    engine.run(channel)
    assert engine.released
    assert channel.unanswered == 0
    assert not any(isinstance(message, Close) for message in messages[:-1])


def test_audio_of_two_rates_in_one_chunk_is_one_stream_of_floats() -> None:
    channel = Driven(Echo())
    channel.push(np.full(480, 16384, np.int16))
    channel.set_rate(8000)
    channel.push(np.full(2000, 16384, np.int16))
    (audio, *_) = [each for each in channel.events() if isinstance(each, Audio)]
    assert audio.samples.dtype == np.float32
    np.testing.assert_array_equal(audio.samples[:480], 0.5)
    assert abs(audio.samples).max() < 1.0


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\x1aE\xdf\xa3\x9fB\x86\x81", "WebM"),
        (b"\0\0\0\x18ftypisom", "MPEG-4"),
        (b"OggS\0\2\0\0", "Ogg"),
        (b"fLaC\0\0\0\x22", "FLAC"),
    ],
)
def test_a_stream_that_begins_as_a_recording_is_refused_by_its_name(head: bytes, name: str) -> None:
    stream = Driven(Myrtle())
    stream.receive(head + bytes(1000))
    stream.receive(bytes(1920))
    reason = f"the audio is {name}; want raw PCM, or upload the recording"
    assert stream.messages() == [Close(1003, reason)]
    assert stream.events() == [Release()]
    stream = Driven(Myrtle())
    stream.receive(bytes(1920))
    stream.receive(head + bytes(1912))  # within a stream it is a sound
    assert stream.state is State.OPEN
