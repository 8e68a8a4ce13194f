from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from server.adapters.sherpa import Sherpa
from server.protocol.states import Close, State
from stream.engine.alignment import Span
from tests.server.adapters.driving import Audio, Driven, Engine, Said, result, texts

CHUNK = np.zeros(960, "<f4").tobytes()


def channel() -> Driven:
    return Driven(Sherpa())


def test_a_session_gives_the_bytes_of_the_interface_page() -> None:
    protocol = channel()
    engine = Engine(
        {
            (0, 0): Said((0,)),
            (0, 1): Said(endpoint=True),
            (0, 3): Said((4,)),
            (0, -1): Said((3,)),
        }
    )
    protocol.receive(CHUNK * 4)
    protocol.receive("Done")
    engine.run(protocol)
    empty = '"lm_probs": [], "context_scores": []'
    assert protocol.messages() == [
        '{ "text": "one", "tokens": [" one"], "timestamps": [0.00], "ys_probs": [-0.500000], '
        + empty
        + ', "segment": 0, "words": [], "num_trailing_blanks": 0, "start_time": 0.00, '
        '"is_final": false, "is_eof": false}',
        '{ "text": "one", "tokens": [" one"], "timestamps": [0.00], "ys_probs": [-0.500000], '
        + empty
        + ', "segment": 0, "words": [], "num_trailing_blanks": 1, "start_time": 0.00, '
        '"is_final": true, "is_eof": false}',
        '{ "text": "", "tokens": [], "timestamps": [], "ys_probs": [], '
        + empty
        + ', "segment": 1, "words": [], "num_trailing_blanks": 1, "start_time": 0.12, '
        '"is_final": false, "is_eof": false}',
        r'{ "text": "\"q\\\"", "tokens": [" \"q\\\""], "timestamps": [0.06], '
        '"ys_probs": [-0.500000], '
        + empty
        + ', "segment": 1, "words": [], "num_trailing_blanks": 0, "start_time": 0.12, '
        '"is_final": false, "is_eof": false}',
        r'{ "text": "\"q\\\"teen", "tokens": [" \"q\\\"", "teen"], '
        '"timestamps": [0.06, 0.12], "ys_probs": [-0.500000, -0.500000], '
        + empty
        + ', "segment": 1, "words": [], "num_trailing_blanks": 0, "start_time": 0.12, '
        '"is_final": true, "is_eof": true}',
        "Done!",
        Close(1000, by_peer=True),
    ]
    assert engine.released


def test_provisional_tokens_follow_the_final_ones_and_are_replaced() -> None:
    protocol = channel()
    protocol.receive_result(result(0, Said((0,), provisional=(1, 2))))
    protocol.receive_result(result(1, Said((1,))))
    first, second = (json.loads(message) for message in texts(protocol.messages()))
    assert first["text"] == "one two three"
    assert first["tokens"] == [" one", " two", " three"]
    assert second["text"] == "one two"
    assert len(second["timestamps"]) == len(second["ys_probs"]) == 2


def test_timestamps_are_those_of_the_sound_as_soon_as_it_is_known() -> None:
    protocol = channel()
    protocol.receive_result(result(8, Said((0,))))
    protocol.receive_result(replace(result(15, Said((1,))), spans=(Span(0.21, 0.5),)))
    protocol.receive_result(result(16, Said(provisional=(2,))))
    protocol.receive_result(replace(result(30, Said(endpoint=True)), spans=(Span(0.7, 1.0),)))
    messages = [json.loads(message) for message in texts(protocol.messages())]
    assert [message["timestamps"] for message in messages] == [
        [0.48],
        [0.21, 0.9],
        [0.21, 0.9, 0.96],
        [0.21, 0.7],
    ]


def test_every_chunk_gets_one_message_and_none_comes_without_audio() -> None:
    protocol, engine = channel(), Engine()
    engine.run(protocol)
    protocol.receive(b"")
    engine.run(protocol)
    assert protocol.messages() == []
    protocol.receive(CHUNK * 2 + bytes(4))
    engine.run(protocol)
    assert len(protocol.messages()) == 2


def test_samples_are_handed_on_as_they_are_and_half_a_sample_at_the_end_dropped() -> None:
    protocol = channel()
    samples = np.linspace(-1, 1, 960, dtype="<f4")
    protocol.receive(samples.tobytes() + b"odd")
    protocol.receive("Done")
    event, _ = protocol.events()
    assert isinstance(event, Audio)
    np.testing.assert_array_equal(event.samples, samples)


def test_other_text_and_audio_behind_done_are_ignored() -> None:
    protocol = channel()
    for text in ("done", "Done ", "{}", ""):
        protocol.receive(text)
    assert protocol.state is State.OPEN
    protocol.receive("Done")
    protocol.receive(CHUNK)
    engine = Engine()
    engine.run(protocol)
    assert engine.samples == 0
    assert engine.released


@pytest.mark.parametrize("value, said", [(np.nan, "nan"), (np.inf, "inf"), (-3e30, "-3e+30")])
def test_what_is_no_audio_closes_and_says_which_sample(value: float, said: str) -> None:
    protocol = channel()
    protocol.receive(CHUNK)
    protocol.receive(np.array([0, value], "<f4").tobytes())
    assert protocol.messages() == [
        Close(1008, f"400 sample 961 is {said}; send float32, little-endian, in [-1, 1]")
    ]


def test_another_rate_is_resampled() -> None:
    protocol = Driven(Sherpa(rate=48000))
    protocol.receive(bytes(4 * 48000))
    protocol.receive("Done")
    engine = Engine()
    engine.run(protocol)
    assert engine.samples == 16000


@given(st.lists(st.binary(max_size=5000) | st.text(max_size=5) | st.just("Done"), max_size=10))
def test_hostile_messages_never_raise_and_end_with_one_release(messages: list[bytes | str]) -> None:
    protocol, engine = channel(), Engine()
    for message in messages:
        if isinstance(message, str):
            protocol.receive(message)
        else:
            protocol.receive(message)
        engine.run(protocol)
    protocol.receive_gone()
    engine.run(protocol)
    assert engine.released
