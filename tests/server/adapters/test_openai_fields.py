from __future__ import annotations

import json
from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.adapters.openai import (
    error,
    error_event,
)
from server.adapters.openai_fields import Transcription, parse_fields
from server.refusals import Refusal

MODELS = ("general", "whisper-1")


def request(*fields: tuple[str, str]) -> Transcription:
    parsed = parse_fields(fields, MODELS)
    assert isinstance(parsed, Transcription), parsed
    return parsed


def test_fields_have_defaults() -> None:
    assert request() == Transcription("general")


def test_lists_may_have_brackets_or_not() -> None:
    asked = request(
        ("model", "whisper-1"),
        ("response_format", "verbose_json"),
        ("timestamp_granularities[]", "word"),
        ("timestamp_granularities", "segment"),
        ("include[]", "logprobs"),
        ("keywords[]", "Rill"),
        ("chunking_strategy[type]", "server_vad"),
        ("temperature", "0.0"),
        ("prompt", ""),
        ("languages[]", "fr"),
        ("languages[]", "en-GB"),
        ("something_new", "1"),
    )
    assert asked == Transcription(
        "whisper-1", "verbose_json", frozenset({"word", "segment"}), False, True, ("Rill",)
    )


@pytest.mark.parametrize(
    "name, value, status",
    [
        ("model", "gpt-99", 404),
        ("language", "fr", 400),
        ("response_format", "diarized_json", 400),
        ("timestamp_granularities[]", "phoneme", 400),
        ("timestamp_granularities[]", "word", 400),
        ("stream", "perhaps", 400),
        ("temperature", "0.2", 400),
        ("temperature", "warm", 400),
        ("temperature", "nan", 400),
        ("prompt", "expect words of technology", 400),
        ("languages[]", "fr", 400),
        ("include[]", "segments", 400),
        ("chunking_strategy", "by_hand", 400),
        ("chunking_strategy[silence_duration_ms]", "200", 400),
        ("known_speaker_names[]", "agent", 400),
        ("known_speaker_references[]", "data:audio/wav;base64,AAAA", 400),
    ],
)
def test_what_cannot_be_given_is_a_fault_that_names_the_field(
    name: str, value: str, status: int
) -> None:
    with pytest.raises(Refusal) as refused:
        parse_fields([(name, value)], MODELS)
    fault = refused.value
    assert fault.status == status
    assert fault.param == name.removesuffix("[]")
    said = json.loads(error(fault).body)["error"]
    assert said["type"] == "invalid_request_error"
    assert set(said) == {"message", "type", "param", "code"}
    assert error_event(fault).startswith('data: {"error":{"message":')


def test_log_probabilities_of_subtitles_are_refused() -> None:
    for response_format, taken in (("json", True), ("verbose_json", True), ("vtt", False)):
        fields = [("include[]", "logprobs"), ("response_format", response_format)]
        with nullcontext() if taken else pytest.raises(Refusal):
            parse_fields(fields, MODELS)


def test_a_stream_of_subtitles_is_refused() -> None:
    with pytest.raises(Refusal):
        parse_fields([("stream", "true"), ("response_format", "srt")], MODELS)
    assert request(("stream", "True"), ("response_format", "text")).stream


@given(st.lists(st.tuples(st.text(max_size=9), st.text(max_size=9)), max_size=5))
def test_hostile_fields_raise_a_refusal_only(fields: list[tuple[str, str]]) -> None:
    with pytest.raises(Refusal) as refused:
        parse_fields([*fields, ("language", "\ud800"), ("model", "general")], MODELS)
    error(refused.value)
