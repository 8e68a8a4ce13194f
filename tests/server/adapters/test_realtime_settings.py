from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from server.adapters.realtime_settings import MU_LAW, PCM, Mistake, SessionUpdate, Settings


def update(session: dict[str, Any]) -> SessionUpdate:
    return msgspec.convert(session, SessionUpdate)


def settings() -> Settings:
    return Settings(("general", "whisper-1"), "en", 1.2)


def turns(**given: Any) -> dict[str, Any]:
    return {"audio": {"input": {"turn_detection": {"type": "server_vad", **given}}}}


def transcription(**given: Any) -> dict[str, Any]:
    return {"audio": {"input": {"transcription": given}}}


def described(current: Settings) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(msgspec.json.encode(current.describe()))
    return decoded


def test_at_first_audio_is_pcm_of_24_khz_and_turns_are_detected() -> None:
    current = settings()
    assert (current.format, current.rate, current.turns) == (PCM, 24000, True)
    assert described(current)["audio"]["input"] == {
        "format": {"type": "audio/pcm", "rate": 24000},
        "transcription": {"model": "general", "language": "en"},
        "turn_detection": {
            "type": "server_vad",
            "prefix_padding_ms": 300,
            "silence_duration_ms": 1200,
        },
        "noise_reduction": None,
    }


@pytest.mark.parametrize(
    "given, silence, padding",
    [
        ({}, None, 0.3),
        ({"silence_duration_ms": 500}, 0.5, 0.3),
        ({"prefix_padding_ms": 0}, None, 0.0),
        ({"threshold": 0.5, "create_response": False, "interrupt_response": False}, None, 0.3),
    ],
)
def test_what_turn_detection_can_be_told_holds_and_is_told(
    given: dict[str, Any], silence: float | None, padding: float
) -> None:
    current = settings()
    current.update(update(turns(**given)))
    assert (current.turns, current.silence, current.padding) == (True, silence, padding)
    told = described(current)["audio"]["input"]["turn_detection"]
    assert told["silence_duration_ms"] == 1000 * (silence or 1.2)
    assert told["prefix_padding_ms"] == 1000 * padding


def test_a_transcription_keeps_what_it_is_not_told() -> None:
    current = settings()
    current.update(update(transcription(model="whisper-1", languages=["fr", "en-GB"], prompt="")))
    current.update(update(transcription(keywords=["kitchen"])))
    assert described(current)["audio"]["input"]["transcription"] == {
        "model": "whisper-1",
        "language": "en",
        "keywords": ["kitchen"],
    }


@pytest.mark.parametrize(
    "session",
    [
        {
            "type": "transcription",
            "audio": {"input": {"format": {"type": "audio/pcmu"}, "turn_detection": None}},
            "include": ["item.input_audio_transcription.logprobs"],
        },
        {
            "input_audio_format": "g711_ulaw",
            "turn_detection": None,
            "include": ["item.input_audio_transcription.logprobs"],
        },
    ],
)
def test_todays_and_the_betas_form_say_the_same(session: dict[str, Any]) -> None:
    current = settings()
    current.update(update(session))
    assert (current.format, current.rate) == (MU_LAW, 8000)
    assert not current.turns
    assert current.log_probabilities
    assert described(current)["audio"]["input"]["turn_detection"] is None


def test_what_is_not_mentioned_stays() -> None:
    current = settings()
    current.update(update({"audio": {"input": {"turn_detection": None}}}))
    current.update(update({"audio": {"input": {"format": {"type": PCM, "rate": 16000}}}}))
    assert (current.rate, current.turns) == (16000, False)
    current.update(update({}))
    assert (current.rate, current.turns) == (16000, False)


@pytest.mark.parametrize(
    "session, param",
    [
        ({"type": "realtime"}, "session.type"),
        ({"input_audio_format": "mp3"}, "session.audio.input.format.type"),
        ({"audio": {"input": {"format": {"rate": 1}}}}, "session.audio.input.format.rate"),
        (
            {"audio": {"input": {"format": {"type": "audio/pcmu", "rate": 16000}}}},
            "session.audio.input.format.rate",
        ),
        ({"include": ["item.words"]}, "session.include"),
        (
            {"audio": {"input": {"noise_reduction": {"type": "near_field"}}}},
            "session.audio.input.noise_reduction",
        ),
        ({"audio": {"input": {"transcription": None}}}, "session.audio.input.transcription"),
        ({"input_audio_transcription": None}, "session.audio.input.transcription"),
        (transcription(prompt="names"), "session.audio.input.transcription.prompt"),
        (transcription(delay="low"), "session.audio.input.transcription.delay"),
        (transcription(languages=["fr"]), "session.audio.input.transcription.languages"),
        (
            {"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}},
            "session.audio.input.turn_detection.type",
        ),
        (turns(silence_duration_ms=10), "session.audio.input.turn_detection.silence_duration_ms"),
        (turns(prefix_padding_ms=-1), "session.audio.input.turn_detection.prefix_padding_ms"),
        (turns(threshold=0.9), "session.audio.input.turn_detection.threshold"),
        (turns(create_response=True), "session.audio.input.turn_detection.create_response"),
        (turns(interrupt_response=True), "session.audio.input.turn_detection.interrupt_response"),
        (turns(idle_timeout_ms=5000), "session.audio.input.turn_detection.idle_timeout_ms"),
        (turns(eagerness="high"), "session.audio.input.turn_detection.eagerness"),
        (
            {"audio": {"input": {"transcription": {"model": "x"}, "turn_detection": None}}},
            "session.audio.input.transcription.model",
        ),
        (
            {"input_audio_transcription": {"language": "fr"}, "turn_detection": None},
            "session.audio.input.transcription.language",
        ),
    ],
)
def test_what_cannot_be_served_is_named_and_changes_nothing(
    session: dict[str, Any], param: str
) -> None:
    current = settings()
    before = described(current)
    with pytest.raises(Mistake) as mistake:
        current.update(update(session))
    assert mistake.value.param == param
    assert described(current) == before
