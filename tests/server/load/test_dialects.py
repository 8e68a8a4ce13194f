"""The two dialects without I/O: messages of audio, and what answers a chunk and says which text."""

from __future__ import annotations

import json

import numpy as np
import pytest

from server.load.arrivals import final_text
from server.load.dialects import DIALECTS, MYRTLE, SHERPA, DialectError, Said


def myrtle(end: float, text: str, provisional: bool = False) -> bytes:
    alternatives = [{"transcript": text, "confidence": 1.0}]
    fields = {"start": 0.0, "end": end, "is_provisional": provisional}
    return json.dumps({**fields, "alternatives": alternatives}).encode()


def sherpa(text: str, segment: int = 0) -> bytes:
    return json.dumps({"text": text, "segment": segment, "is_final": False}).encode()


@pytest.mark.parametrize("name", DIALECTS)
def test_audio_is_cut_into_whole_chunks_and_a_rest_and_nothing_is_lost(name: str) -> None:
    dialect = DIALECTS[name]
    samples = np.random.default_rng(0).integers(-9000, 9000, 2000).astype(np.float32) / 32768
    messages = dialect.messages(samples)
    kind, scale = {"myrtle": ("<i2", 32768), "sherpa": ("<f4", 1)}[name]
    assert [len(np.frombuffer(message, kind)) for message in messages] == [960, 960, 80]
    assert [len(message) == dialect.chunk_bytes for message in messages] == [True, True, False]
    assert np.array_equal(np.frombuffer(b"".join(messages), kind) / np.float32(scale), samples)


def test_a_final_and_a_provisional_response_of_a_chunk_answer_it_once() -> None:
    responses = MYRTLE.responses()
    answers = [
        responses.receive(message, now)
        for now, message in enumerate(
            [
                myrtle(0.06, ""),
                myrtle(0.12, " the"),
                myrtle(0.12, " ca", provisional=True),
                myrtle(0.18, ""),
                myrtle(0.18, " ca", provisional=True),  # as it was: nothing new was said
                myrtle(0.18, " cat"),  # the closing response
            ]
        )
    ]
    assert answers == [True, True, False, True, False, False]
    assert responses.answered == 3
    assert responses.said == [
        Said(1, " the", True),
        Said(2, " ca", False),
        Said(5, " cat", True),
    ]


def test_a_response_answers_all_messages_of_a_long_chunk() -> None:
    responses = MYRTLE.responses()
    for number, answered in ((1, 4), (2, 8)):
        assert responses.receive(myrtle(0.24 * number, ""), 0.0)
        assert responses.answered == answered
    assert responses.chunk == 4


def test_sherpas_text_is_final_when_the_next_segment_begins_or_it_is_done() -> None:
    responses = SHERPA.responses()
    for now, message in enumerate(
        [sherpa(""), sherpa("the"), sherpa("the cat"), sherpa("", 1), sherpa(" sat ", 1)]
    ):
        assert responses.receive(message, now)
    assert final_text(responses.said) == " the cat"
    assert not responses.ended
    assert not responses.receive(b"Done!", 9)
    assert responses.ended
    assert responses.answered == 5
    assert final_text(responses.said) == " the cat sat"


def test_a_server_of_sherpas_that_just_closes_loses_no_text() -> None:
    responses = SHERPA.responses()
    responses.receive(sherpa("the"), 1)
    responses.close(2)
    responses.close(3)
    assert responses.said == [Said(1, " the", False), Said(2, " the", True)]


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("message", [b"", b"hello", b"[]", b'{"error": "full"}', b"\xff\xfe"])
def test_a_message_of_another_protocol_is_named(name: str, message: bytes) -> None:
    with pytest.raises(DialectError, match="not a response of"):
        DIALECTS[name].responses().receive(message, 0.0)


def test_a_response_of_myrtles_without_alternatives_is_named() -> None:
    message = b'{"start":0.0,"end":0.06,"is_provisional":false,"alternatives":[]}'
    with pytest.raises(DialectError, match="alternatives"):
        MYRTLE.responses().receive(message, 0.0)
