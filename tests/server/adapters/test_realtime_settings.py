from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from server.adapters.realtime_settings import MU_LAW, PCM, Mistake, SessionUpdate, Settings


def update(session: dict[str, Any]) -> SessionUpdate:
    return msgspec.convert(session, SessionUpdate)


def settings() -> Settings:
    return Settings(("general", "whisper-1"), "en")


def described(current: Settings) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(msgspec.json.encode(current.describe()))
    return decoded


def test_at_first_audio_is_pcm_of_24_khz_and_turns_are_detected() -> None:
    current = settings()
    assert (current.format, current.rate, current.turns) == (PCM, 24000, True)
    assert described(current)["audio"]["input"]["transcription"] == {
        "model": "general",
        "language": "en",
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
            "include": ["item.input_audio_transcription.logprobs", "x"],
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
