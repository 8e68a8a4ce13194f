from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.adapters.vosk import Vosk, dump
from server.protocol.states import Close, State
from tests.server.adapters.driving import Driven, Engine, Said, texts

AT_16_KHZ = '{"config": {"sample_rate": 16000}}'
EOF = '{"eof" : 1}'
RESET = '{"reset" : 1}'
CHUNK = bytes(1920)


def channel(*commands: str) -> Driven:
    protocol = Driven(Vosk())
    for command in commands or (AT_16_KHZ,):
        protocol.receive(command)
    return protocol


def test_a_session_gives_the_bytes_of_the_interface_page() -> None:
    protocol = channel()
    engine = Engine(
        {
            (0, 0): Said((), provisional=(0,)),
            (0, 1): Said((0,), provisional=(1,)),
            (0, 2): Said((1, 3), endpoint=True),
            (0, 3): Said((2,)),
        }
    )
    for _ in range(4):
        protocol.receive(CHUNK)
        engine.run(protocol)
    protocol.receive(EOF)
    engine.run(protocol)
    conf = f"{math.exp(-0.5):.6f}"
    assert protocol.messages() == [
        '{\n  "partial" : "one"\n}',
        '{\n  "partial" : "one two"\n}',
        f'{{\n  "result" : [{{\n      "conf" : {conf},\n      "end" : 0.120000,\n'
        '      "start" : 0.060000,\n      "word" : "one"\n    }, {\n'
        f'      "conf" : {conf},\n      "end" : 0.180000,\n      "start" : 0.120000,\n'
        '      "word" : "twoteen"\n    }],\n  "text" : "one twoteen"\n}',
        '{\n  "partial" : "three"\n}',
        f'{{\n  "result" : [{{\n      "conf" : {conf},\n      "end" : 0.240000,\n'
        '      "start" : 0.180000,\n      "word" : "three"\n    }],\n  "text" : "three"\n}',
        Close(1000),
    ]
    assert engine.released


def test_alternatives_have_the_bytes_of_the_interface_page() -> None:
    protocol = channel(
        '{"config":{"sample_rate":16000,"max_alternatives":3,"phrase_list":["x"],"model":"general"}}'
    )
    protocol.receive(CHUNK)
    protocol.receive(EOF)
    Engine({(0, 0): Said((0,))}).run(protocol)
    assert protocol.messages()[1:] == [
        f'{{\n  "alternatives" : [{{\n      "confidence" : {math.exp(-0.5):.6f},\n'
        '      "result" : [{\n          "end" : 0.060000,\n          "start" : 0.000000,\n'
        '          "word" : "one"\n        }],\n      "text" : "one"\n    }]\n}',
        Close(1000),
    ]


@pytest.mark.parametrize(
    "config, final",
    [
        ("", '{"text": ""}'),
        (', "max_alternatives": 1', '{"alternatives" : [{"text": "", "confidence" : 1.0}] }'),
    ],
)
def test_nothing_decoded_is_written_as_theirs(config: str, final: str) -> None:
    protocol = channel(f'{{"config": {{"sample_rate": 16000{config}}}}}')
    protocol.receive(EOF)
    Engine().run(protocol)
    assert protocol.messages() == [final, Close(1000)]


def test_silence_is_a_result_without_words() -> None:
    protocol = channel()
    protocol.receive(CHUNK)
    protocol.receive(EOF)
    Engine().run(protocol)
    assert protocol.messages()[1] == '{\n  "text" : ""\n}'


@pytest.mark.parametrize("no", ["false", "0", '"0"', '"False"'])
def test_words_can_be_switched_off(no: str) -> None:
    protocol = channel(f'{{"config": {{"sample_rate": "16000", "words": {no}}}}}')
    protocol.receive(CHUNK)
    protocol.receive(EOF)
    Engine({(0, 0): Said((0,))}).run(protocol)
    assert protocol.messages()[1] == '{\n  "text" : "one"\n}'


@pytest.mark.parametrize("size", [0, 1, 320, 1919, 1920, 1921, 8000, 100_000])
@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_lock_step_clients_get_one_reply_to_every_binary_message(size: int, rate: int) -> None:
    protocol = channel(f'{{"config": {{"sample_rate": {rate}}}}}')
    engine = Engine()
    for _ in range(5):
        protocol.receive(bytes(size))
        engine.run(protocol)
        assert len(protocol.messages()) == 1


def test_the_reply_waits_for_all_chunks_of_the_message() -> None:
    protocol, engine = channel(), Engine({(0, 0): Said((0,)), (0, 2): Said((1,))})
    protocol.receive(CHUNK * 3)
    assert protocol.messages() == []
    engine.run(protocol)
    assert protocol.messages() == ['{\n  "partial" : "one two"\n}']


def test_endpoints_within_one_message_are_one_result() -> None:
    protocol = channel()
    protocol.receive(CHUNK * 3)
    Engine({(0, 0): Said((0,), endpoint=True), (0, 2): Said((1,), endpoint=True)}).run(protocol)
    (message,) = texts(protocol.messages())
    assert json.loads(message)["text"] == "one two"


def test_reset_gives_a_final_result_and_times_go_on() -> None:
    protocol = channel()
    protocol.receive(CHUNK)
    protocol.receive(RESET)
    protocol.receive(CHUNK)
    protocol.receive(EOF)
    engine = Engine({(0, -1): Said((0,)), (1, 0): Said((1,))})
    engine.run(protocol)
    assert engine.released
    partial, reset, second, final = map(json.loads, texts(protocol.messages()))
    assert partial == {"partial": ""}
    assert reset["text"] == "one"
    assert second == {"partial": "two"}
    assert final["result"][0]["start"] == 0.06


def test_the_rate_is_8_khz_unless_the_first_message_says_otherwise() -> None:
    protocol, engine = Driven(Vosk()), Engine()
    protocol.receive(bytes(16000))
    protocol.receive(AT_16_KHZ)
    protocol.receive(EOF)
    engine.run(protocol)
    assert engine.samples == 16000


def test_samples_may_be_cut_between_messages() -> None:
    protocol, engine = channel(), Engine()
    for _ in range(1920):
        protocol.receive(b"\0")
    engine.run(protocol)
    assert engine.samples == 960
    assert len(protocol.messages()) == 1920


@pytest.mark.parametrize("text", ['{"eof":1}', '{"eof": true, "x": []}', '{ "eof" : 1 }'])
def test_any_json_with_eof_ends_the_stream(text: str) -> None:
    protocol = channel(text)
    assert protocol.state is State.FINISHING


@pytest.mark.parametrize(
    "text, code",
    [
        ("hello", 1003),
        ("{}", 1003),
        ("[1]", 1003),
        ("\ud800", 1003),
        (pytest.param('{"x":' * 100_000, 1003, id="nested")),
        ('{"config": 3}', 1008),
        ('{"config": {"sample_rate": "fast"}}', 1008),
        ('{"config": {"sample_rate": "nan"}}', 1008),
        ('{"config": {"words": "maybe"}}', 1008),
        ('{"config": {"model": "/models/other"}}', 1008),
        ('{"config": {"sample_rate": 0}}', 1008),
        ('{"config": {"sample_rate": 1e300}}', 1008),
    ],
)
def test_a_text_that_cannot_be_served_closes(text: str, code: int) -> None:
    protocol = channel(text)
    (close,) = protocol.messages()
    assert isinstance(close, Close)
    assert close.code == code
    assert close.reason


def test_strings_are_escaped_as_json() -> None:
    assert dump({"b": 'a"\n\\é', "a": []}) == '{\n  "a" : [],\n  "b" : "a\\"\\n\\\\é"\n}'


HOSTILE = st.binary(max_size=5000) | st.text(max_size=20) | st.sampled_from([EOF, RESET, AT_16_KHZ])


@given(st.lists(HOSTILE, max_size=10))
def test_hostile_messages_never_raise_and_end_with_one_release(messages: list[bytes | str]) -> None:
    protocol, engine = Driven(Vosk()), Engine()
    replies = binary = 0
    for message in messages:
        if isinstance(message, str):
            protocol.receive(message)
        else:
            protocol.receive(message)
            binary += protocol.state is State.OPEN
        engine.run(protocol)
        replies += sum('"partial"' in reply for reply in texts(protocol.messages()))
    assert replies == binary
    protocol.receive_gone()
    engine.run(protocol)
    assert engine.released
