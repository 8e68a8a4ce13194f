from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from numpy.typing import NDArray

from server.adapters.myrtle import Myrtle
from server.protocol.states import Close, State
from stream.engine.engine import Hypothesis, Result, Token
from tests.server.adapters.driving import Audio, Driven, Finish, Release

CHUNK = bytes(range(256)) * 7 + bytes(128)  # 1920 bytes
EMPTY = '"is_provisional":false,"alternatives":[{"transcript":"","confidence":1.0}]}'


def result(chunk: int, text: str = "", *, last: bool = False) -> Result:
    return Result(0, chunk * 6 / 100, (chunk + (not last)) * 6 / 100, text, (), last)


def channel() -> Driven:
    return Driven(Myrtle(1, str))


def samples(protocol: Driven) -> NDArray[np.float32]:
    parts = [event.samples for event in protocol.events() if isinstance(event, Audio)]
    return np.concatenate([np.zeros(0, np.float32), *parts])


def test_a_session_gives_the_bytes_of_the_interface_page() -> None:
    protocol = channel()
    for number, text in enumerate(["", "", " hello"]):
        protocol.receive(CHUNK)
        protocol.receive_result(result(number, text))
    protocol.receive(b"")
    protocol.receive_result(result(3, " world", last=True))
    assert protocol.messages() == [
        '{"start":0.0,"end":0.06,' + EMPTY,
        '{"start":0.06,"end":0.12,' + EMPTY,
        '{"start":0.12,"end":0.18,' + EMPTY.replace('""', '" hello"'),
        '{"start":0.18,"end":0.18,' + EMPTY.replace('""', '" world"'),
        Close(1000),
    ]


def test_a_beam_session_gives_the_bytes_of_the_interface_page() -> None:
    protocol = Driven(Myrtle(2, strict=True))

    def hear(chunk: int, text: str, *provisional: tuple[str, int], last: bool = False) -> None:
        hypotheses = tuple(
            Hypothesis(each, (Token(0, step, -0.1),), -0.5) for each, step in provisional
        )
        protocol.receive_result(replace(result(chunk, text, last=last), provisional=hypotheses))

    hear(16, "", (" and", 16))
    hear(92, "", (" and we are glad", 16), (" and we a glad", 16), (" and we are", 16))
    hear(93, " and we", (" are glad", 90))
    hear(94, "", (" are glad", 90))
    protocol.receive(b"")
    hear(95, " are glad", last=True)

    def response(start: str, end: str, provisional: bool, *texts: str) -> str:
        said = ",".join(f'{{"transcript":"{text}","confidence":1.0}}' for text in texts)
        kind = "true" if provisional else "false"
        return f'{{"start":{start},"end":{end},"is_provisional":{kind},"alternatives":[{said}]}}'

    assert protocol.messages() == [
        response("0.96", "1.02", True, " and"),
        response("0.96", "5.58", True, " and we are glad", " and we a glad"),
        response("0.96", "5.64", False, " and we"),
        response("5.64", "5.64", True, " are glad"),
        response("5.64", "5.7", True, " are glad"),
        response("5.64", "5.7", False, " are glad"),
        Close(1000),
    ]


@pytest.mark.parametrize("chunk, times", [(2, '0.12,"end":0.18'), (99, '5.94,"end":6.0')])
def test_times_are_short(chunk: int, times: str) -> None:
    protocol = channel()
    protocol.receive_result(result(chunk))
    (message,) = protocol.messages()
    assert isinstance(message, str)
    assert message.startswith(f'{{"start":{times},')


def test_text_is_escaped_as_json() -> None:
    protocol = channel()
    protocol.receive_result(result(0, ' "né\n'))
    (message,) = protocol.messages()
    assert isinstance(message, str)
    assert r'"transcript":" \"né\n"' in message


def test_samples_go_on_as_they_came_in_whole_chunks() -> None:
    protocol = channel()
    protocol.receive(b"\x00\x80\xff\x7f" + bytes(1914))
    assert protocol.events() == []
    protocol.receive(bytes(4))
    (event,) = protocol.events()
    assert isinstance(event, Audio)
    assert event.samples.dtype == np.int16
    assert event.samples.shape == (960,)
    np.testing.assert_array_equal(event.samples[:3], [-32768, 32767, 0])


@given(st.lists(st.binary(min_size=1, max_size=3000), max_size=8))
def test_any_cut_of_the_audio_gives_the_same_samples(messages: list[bytes]) -> None:
    whole, cut = channel(), channel()
    audio = b"".join(messages)
    if audio:
        whole.receive(audio)
    for message in messages:
        cut.receive(message)
    whole.receive(b"")
    cut.receive(b"")
    np.testing.assert_array_equal(samples(whole), samples(cut))


def test_the_end_hands_over_what_is_left_and_then_finishes() -> None:
    protocol = channel()
    protocol.receive(bytes(10))
    protocol.receive(b"")
    audio, finish = protocol.events()
    assert isinstance(audio, Audio)
    assert len(audio.samples) == 5
    assert finish == Finish()


def test_an_empty_binary_message_is_the_end() -> None:
    protocol = channel()
    protocol.receive(b"")
    assert protocol.state is State.FINISHING
    assert protocol.events() == [Finish()]
    protocol.receive_result(result(0, last=True))
    assert protocol.messages() == ['{"start":0.0,"end":0.0,' + EMPTY, Close(1000)]
    assert protocol.events() == [Release()]


def test_half_a_sample_at_the_end_closes_with_1008_behind_all_text() -> None:
    protocol = channel()
    protocol.receive(CHUNK + b"\x01")
    protocol.receive(b"")
    protocol.receive_result(result(0, " yes"))
    protocol.receive_result(result(1, " no", last=True))
    *texts, close = protocol.messages()
    assert len(texts) == 2
    assert close == Close(1008, "400 the audio ends within a 16-bit sample; want raw S16LE")


def test_audio_after_the_end_closes_with_1008_behind_all_text() -> None:
    protocol = channel()
    protocol.receive(b"")
    protocol.receive(CHUNK)
    protocol.receive(b"")
    assert protocol.events() == [Finish()]
    protocol.receive_result(result(0, " yes", last=True))
    assert protocol.messages()[-1] == Close(
        1008, "400 audio after the empty message that ends a stream"
    )


@pytest.mark.parametrize(
    "happen, close",
    [
        (
            lambda protocol: protocol.receive("EOS"),
            Close(1003, "text message of 3 characters; send audio as binary ones"),
        ),
        (
            lambda protocol: protocol.receive_stall(10.0),
            Close(1008, "400 no response was read for 10 s"),
        ),
        (lambda protocol: protocol.receive_fault("it broke"), Close(1011, "it broke")),
    ],
)
def test_what_goes_wrong_closes_once_frees_the_slot_and_says_why(
    happen: Callable[[Driven], None], close: Close
) -> None:
    protocol = channel()
    happen(protocol)
    happen(protocol)
    protocol.receive_result(result(0))
    assert protocol.messages() == [close]
    assert protocol.events() == [Release()]


def test_a_vanished_peer_frees_the_slot_and_gets_nothing() -> None:
    protocol = channel()
    protocol.receive(CHUNK)
    protocol.receive_gone()
    protocol.receive_result(result(0))
    assert protocol.messages() == []
    assert protocol.events()[-1] == Release()


def test_an_idle_client_gets_its_last_words_and_1008() -> None:
    protocol = channel()
    protocol.receive(b"\x01\x02")
    protocol.receive_idle(60.0)
    protocol.receive_result(result(0, " bye", last=True))
    text, close = protocol.messages()
    assert " bye" in str(text)
    assert close == Close(1008, "400 no message for 60 s; end streams with an empty one")


def test_idle_counts_before_the_end_only() -> None:
    protocol = channel()
    protocol.receive(b"")
    protocol.receive_idle(60.0)
    assert protocol.state is State.FINISHING


def test_shutdown_gives_the_rest_of_the_text_and_1001_although_the_client_goes_on() -> None:
    protocol = channel()
    protocol.receive(b"\x01")
    protocol.receive_shutdown()
    protocol.receive(CHUNK)
    protocol.receive_result(result(0, " bye", last=True))
    text, close = protocol.messages()
    assert " bye" in str(text)
    assert close == Close(1001, "the server is shutting down")


def test_unanswered_counts_audio_without_a_response() -> None:
    protocol = channel()
    protocol.receive(CHUNK * 3 + b"12")
    protocol.events()
    assert protocol.unanswered == 5762
    protocol.receive_result(result(0))
    assert protocol.unanswered == 3842


ACTIONS: dict[str, Callable[[Driven], None]] = {
    "odd audio": lambda protocol: protocol.receive(b"abc"),
    "chunk": lambda protocol: protocol.receive(CHUNK),
    "end": lambda protocol: protocol.receive(b""),
    "text": lambda protocol: protocol.receive("{}"),
    "gone": lambda protocol: protocol.receive_gone(),
    "idle": lambda protocol: protocol.receive_idle(1.0),
    "stall": lambda protocol: protocol.receive_stall(1.0),
    "shutdown": lambda protocol: protocol.receive_shutdown(),
    "result": lambda protocol: protocol.receive_result(result(0)),
    "last": lambda protocol: protocol.receive_result(result(0, last=True)),
    "fault": lambda protocol: protocol.receive_fault("it broke"),
}


@given(st.lists(st.sampled_from(sorted(ACTIONS)), max_size=30))
def test_no_order_of_events_raises_closes_twice_or_leaks_a_slot(names: list[str]) -> None:
    protocol = channel()
    messages, events = [], []
    for name in names:
        ACTIONS[name](protocol)
        messages += protocol.messages()
        events += protocol.events()
        closed = protocol.state is State.CLOSED
        assert events.count(Release()) == closed
    assert sum(isinstance(message, Close) for message in messages) <= 1
    assert not any(isinstance(message, Close) for message in messages[:-1])
    assert events.count(Finish()) <= 1
    if Finish() in events:
        assert not any(isinstance(e, Audio) for e in events[events.index(Finish()) :])
