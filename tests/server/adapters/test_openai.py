from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from server.adapters.openai import (
    EventStream,
    answer,
    describe_model,
    list_models,
)
from server.adapters.openai_fields import Transcription, parse_fields
from server.refusals import Refusal
from stream.engine.engine import Result
from stream.transcripts.transcript import Transcript
from tests.server.adapters.driving import Said, result

MODELS = ("general", "whisper-1")
RESULTS = [
    result(0, Said((0,))),
    result(1, Said((1, 3), endpoint=True)),
    result(2),
    result(3, Said((), provisional=(2,))),
    result(4, Said((2,)), last=True),
]


def recording(results: Iterable[Result] = RESULTS) -> Transcript:
    recording = Transcript()
    for each in results:
        recording.add(each)
    return recording


def request(*fields: tuple[str, str]) -> Transcription:
    parsed = parse_fields(fields, MODELS)
    assert isinstance(parsed, Transcription), parsed
    return parsed


def test_a_model_is_described_by_any_of_its_names_and_no_other() -> None:
    described = describe_model("whisper-1", MODELS, "rill")
    assert json.loads(described.body) == {
        "id": "whisper-1",
        "object": "model",
        "created": 0,
        "owned_by": "rill",
    }
    with pytest.raises(Refusal) as refused:
        describe_model("gpt-4o", MODELS, "rill")
    assert (refused.value.status, refused.value.code) == (404, "model_not_found")


def test_json_is_the_text_and_the_duration() -> None:
    body = answer(request(), recording())
    assert body.content_type == "application/json"
    assert body.body == (b'{"text":"one twoteen three","usage":{"type":"duration","seconds":0.24}}')


def test_verbose_json_fills_every_key_of_a_segment() -> None:
    asked = request(("response_format", "verbose_json"))
    body = json.loads(answer(asked, recording()).body)
    assert list(body) == ["task", "language", "duration", "text", "segments", "usage"]
    first, second = body["segments"]
    assert first == {
        "id": 0,
        "seek": 0,
        "start": 0.0,
        "end": 0.12,
        "text": " one twoteen",
        "tokens": [0, 1, 3],
        "temperature": 0.0,
        "avg_logprob": -0.5,
        "compression_ratio": first["compression_ratio"],
        "no_speech_prob": 0.0,
    }
    assert (second["id"], second["seek"], second["text"]) == (1, 24, " three")


def test_only_the_granularities_that_are_asked_for_are_given() -> None:
    asked = request(("response_format", "verbose_json"), ("timestamp_granularities[]", "word"))
    body = json.loads(answer(asked, recording()).body)
    assert "segments" not in body
    assert body["words"][1] == {"word": "twoteen", "start": 0.06, "end": 0.12}


@pytest.mark.parametrize(
    "response_format, body",
    [
        ("text", "one twoteen three\n"),
        (
            "srt",
            "1\n00:00:00,000 --> 00:00:00,240\none twoteen\n\n"
            "2\n00:00:00,240 --> 00:00:01,240\nthree\n\n",
        ),
        (
            "vtt",
            "WEBVTT\n\n00:00:00.000 --> 00:00:00.240\none twoteen\n\n"
            "00:00:00.240 --> 00:00:01.240\nthree\n\n",
        ),
    ],
)
def test_plain_bodies(response_format: str, body: str) -> None:
    assert answer(request(("response_format", response_format)), recording()).body.decode() == body


def test_long_segments_are_several_subtitles_cut_between_words() -> None:
    results = [result(chunk, Said((2,))) for chunk in range(0, 200, 4)]
    asked = request(("response_format", "srt"))
    cues = answer(asked, recording([*results, result(201, last=True)])).body.decode()
    blocks = [block.split("\n") for block in cues.strip().split("\n\n")]
    assert len(blocks) == 4  # of at most 14 words
    assert " ".join(block[2] for block in blocks).split() == ["three"] * 50
    assert all(len(block[2]) <= 84 for block in blocks)


def test_silence_is_an_empty_text() -> None:
    silence = recording([result(0), result(1, last=True)])
    assert json.loads(answer(request(), silence).body)["text"] == ""
    assert answer(request(("response_format", "srt")), silence).body == b""
    verbose = json.loads(answer(request(("response_format", "verbose_json")), silence).body)
    assert verbose["segments"] == []


def test_log_probabilities_are_those_of_the_tokens() -> None:
    body = json.loads(answer(request(("include[]", "logprobs")), recording()).body)
    assert body["logprobs"][0] == {
        "token": " one",
        "bytes": [32, 111, 110, 101],
        "logprob": -0.5,
    }


def test_events_append_up_to_the_text_and_done_comes_once() -> None:
    events = EventStream(request(("stream", "true")))
    written = "".join(map(events.send_result, RESULTS))
    assert written == (
        'data: {"type":"transcript.text.delta","delta":"one"}\n\n'
        'data: {"type":"transcript.text.delta","delta":" twoteen"}\n\n'
        'data: {"type":"transcript.text.delta","delta":" three"}\n\n'
        'data: {"type":"transcript.text.done","text":"one twoteen three",'
        '"usage":{"type":"tokens","input_tokens":0,"output_tokens":0,"total_tokens":0}}\n\n'
        "data: [DONE]\n\n"
    )


def test_bodies_are_what_the_sdk_has_types_for() -> None:
    types = pytest.importorskip("openai.types.audio", reason="the openai SDK is not installed")
    plain = types.Transcription.model_validate_json(
        answer(request(("include[]", "logprobs")), recording()).body, strict=True
    )
    assert plain.text == "one twoteen three"
    assert len(plain.logprobs) == 4
    verbose = types.TranscriptionVerbose.model_validate_json(
        answer(
            request(
                ("response_format", "verbose_json"),
                ("timestamp_granularities[]", "word"),
                ("timestamp_granularities[]", "segment"),
            ),
            recording(),
        ).body,
        strict=True,
    )
    assert [word.word for word in verbose.words] == ["one", "twoteen", "three"]
    assert verbose.segments[1].start == 0.24


def test_events_are_what_the_sdk_has_types_for() -> None:
    types = pytest.importorskip("openai.types.audio", reason="the openai SDK is not installed")
    events = EventStream(request(("stream", "true"), ("include", "logprobs")))
    lines = "".join(map(events.send_result, RESULTS)).split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    *deltas, done = (line.removeprefix("data: ") for line in lines[:-2])
    text = ""
    for delta in deltas:
        event = types.TranscriptionTextDeltaEvent.model_validate_json(delta, strict=True)
        text += event.delta
        assert event.logprobs
    done_event = types.TranscriptionTextDoneEvent.model_validate_json(done, strict=True)
    assert done_event.text == text
    assert len(done_event.logprobs) == 4


def test_models_are_listed_as_the_sdk_reads_them() -> None:
    body = json.loads(list_models(MODELS, "someone").body)
    assert body["object"] == "list"
    assert body["data"][1] == {
        "id": "whisper-1",
        "object": "model",
        "created": 0,
        "owned_by": "someone",
    }
