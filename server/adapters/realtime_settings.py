"""Settings of a realtime transcription session of OpenAI's: what a client may set, and what holds.

`Settings.update` takes the `session` object of a session.update, of today's form or the beta's; all
of it or, if something cannot be served, nothing (`Mistake`). Audio is PCM of 16 bits, or G.711.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import UNSET, UnsetType

from server.adapters.g711 import RATE as TELEPHONE_RATE
from stream.audio import HIGHEST_RATE, LOWEST_RATE

__all__ = ["MU_LAW", "A_LAW", "PCM", "PCM_RATE", "Mistake", "SessionUpdate", "Settings"]

PCM, MU_LAW, A_LAW = "audio/pcm", "audio/pcmu", "audio/pcma"
PCM_RATE = 24000
BETA_FORMATS = {"pcm16": PCM, "g711_ulaw": MU_LAW, "g711_alaw": A_LAW}
LOGPROBS = "item.input_audio_transcription.logprobs"
DEFAULT_TURNS: dict[str, object] = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 500,
}


class _Format(msgspec.Struct):
    type: str = PCM
    rate: int | None = None


class _Transcription(msgspec.Struct, omit_defaults=True):
    model: str | None = None
    language: str | None = None
    prompt: str | None = None


class _Input(msgspec.Struct):
    format: _Format | None = None
    transcription: _Transcription | None = None
    turn_detection: dict[str, object] | None | UnsetType = UNSET


class _Audio(msgspec.Struct):
    input: _Input | None = None


class SessionUpdate(msgspec.Struct):
    type: str | None = None
    audio: _Audio | None = None
    include: list[str] | None = None
    # The beta's.
    input_audio_format: str | None = None
    input_audio_transcription: _Transcription | None = None
    turn_detection: dict[str, object] | None | UnsetType = UNSET


class Mistake(Exception):
    """What a message asks for cannot be done; `code` and `param` are the error object's."""

    def __init__(self, message: str, code: str = "invalid_value", param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param


class Settings:
    """What holds in one session.

    Args:
        models: names under which the model is served, the first where none is asked for.
        language: that is served, its primary tag.

    Attributes:
        format: of the audio, "audio/pcm", "audio/pcmu" or "audio/pcma".
        rate: of the audio, Hz.
        turns: whether endpoints commit items.
        log_probabilities: whether those of the tokens are wanted.
    """

    def __init__(self, models: Sequence[str], language: str) -> None:
        self._models = models
        self._language = language
        self._transcription = _Transcription(models[0], language)
        self._turn_detection: dict[str, object] | None = DEFAULT_TURNS
        self.format = PCM
        self.rate = PCM_RATE
        self.log_probabilities = False

    @property
    def turns(self) -> bool:
        return self._turn_detection is not None

    def update(self, session: SessionUpdate) -> None:
        """Take new settings.

        Raises:
            Mistake: something cannot be served; the settings are as before.
        """
        given = (session.audio and session.audio.input) or _Input()
        if session.type not in (None, "transcription"):
            raise Mistake(
                f"session.type is {session.type[:100]!r}; want 'transcription'",
                param="session.type",
            )
        asked = given.format or _Format(self.format, self.rate)
        if session.input_audio_format is not None:
            asked = _Format(BETA_FORMATS.get(session.input_audio_format, ""))
        rate = self._rate(asked)
        transcription = given.transcription or session.input_audio_transcription
        if transcription is not None:
            self._check(transcription)
            self._transcription = transcription
        self.format, self.rate = asked.type, rate
        if session.include is not None:
            self.log_probabilities = LOGPROBS in session.include
        for turn_detection in (session.turn_detection, given.turn_detection):
            if not isinstance(turn_detection, UnsetType):
                self._turn_detection = turn_detection

    def describe(self) -> dict[str, object]:
        """Return the `session` object that holds."""
        form: dict[str, object] = {"type": self.format}
        if self.format == PCM:
            form["rate"] = self.rate
        return {
            "type": "transcription",
            "object": "realtime.transcription_session",
            "audio": {
                "input": {
                    "format": form,
                    "transcription": self._transcription,
                    "turn_detection": self._turn_detection,
                    "noise_reduction": None,
                }
            },
            "include": [LOGPROBS] if self.log_probabilities else None,
        }

    def _rate(self, asked: _Format) -> int:
        if asked.type not in (PCM, MU_LAW, A_LAW):
            raise Mistake(
                f"format is {asked.type[:100]!r}; want {PCM}, {MU_LAW} or {A_LAW}",
                param="session.audio.input.format.type",
            )
        if asked.type != PCM:
            return TELEPHONE_RATE
        rate = PCM_RATE if asked.rate is None else asked.rate
        if not LOWEST_RATE <= rate <= HIGHEST_RATE:
            raise Mistake(
                f"rate is {rate}; want {LOWEST_RATE} to {HIGHEST_RATE}",
                param="session.audio.input.format.rate",
            )
        return rate

    def _check(self, transcription: _Transcription) -> None:
        model, language = transcription.model, transcription.language
        if model is not None and model not in self._models:
            raise Mistake(
                f"model is {model[:100]!r}; served are {', '.join(self._models)}",
                "model_not_found",
                "session.audio.input.transcription.model",
            )
        if language and language.lower().split("-")[0] != self._language:
            raise Mistake(
                f"language is {language[:100]!r}; served is {self._language!r}",
                param="session.audio.input.transcription.language",
            )
