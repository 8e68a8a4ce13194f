"""Settings of an OpenAI realtime transcription session: what a client may set, and what is in effect.

`Settings.update` takes the `session` object of a session.update, of today's form or the beta's; all
of it or, if something cannot be served, nothing (`Mistake`). Every key of OpenAI's is obeyed or refused:

| key | what |
|---|---|
| `type` | "transcription" |
| `include` | the log probabilities; nothing else |
| `format` | PCM of 16 bits at any rate, G.711 at 8 kHz |
| `transcription` | `model`, `language`, `languages` as served; `keywords` once, before the first audio; an empty `prompt`; no `delay`; not null, for nothing else is done here |
| `turn_detection` | null, or "server_vad" with `silence_duration_ms`, `prefix_padding_ms` (of `audio_start_ms`: all audio is heard in any case) |
| `threshold` | OpenAI's default (0.5): turns end by a silence of the text, whatever the level |
| `create_response`, `interrupt_response` | false: there are no responses |
| `eagerness`, `idle_timeout_ms` | none: "semantic_vad" is not available, nor is a prompt for the user |
| `noise_reduction` | null |

Unknown keys are refused as well, since a mistyped one would have no effect either. `describe` reports
the settings actually in effect: the silence is the server's own until a client sets it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from stream.audio import HIGHEST_RATE, LOWEST_RATE
from stream.audio.g711 import RATE as TELEPHONE_RATE
from stream.decoding.endpoint import LEAST_SECONDS

PCM, MU_LAW, A_LAW = "audio/pcm", "audio/pcmu", "audio/pcma"
PCM_RATE = 24000
BETA_FORMATS = {"pcm16": PCM, "g711_ulaw": MU_LAW, "g711_alaw": A_LAW}
LOGPROBS = "item.input_audio_transcription.logprobs"
SERVER_VAD = "server_vad"
NO_SESSION = b"{}"
THRESHOLD = 0.5
PADDING_MS = 300
LEAST_SILENCE_MS, MOST_SILENCE_MS = round(1000 * LEAST_SECONDS), 60_000
INPUT = "session.audio.input"


_T = TypeVar("_T")


class _Strict(msgspec.Struct, forbid_unknown_fields=True):
    """An object whose keys are all known."""


class _Format(_Strict):
    type: str = PCM
    rate: int | None = None


class _Transcription(_Strict):
    model: str | None = None
    language: str | None = None
    languages: list[str] | None = None
    keywords: list[str] | None = None
    prompt: str | None = None
    delay: str | None = None


class _Turns(_Strict):
    type: str = SERVER_VAD
    threshold: float | None = None
    prefix_padding_ms: int | None = None
    silence_duration_ms: int | None = None
    create_response: bool | None = None
    interrupt_response: bool | None = None
    idle_timeout_ms: int | None = None
    eagerness: str | None = None


TurnsOrNone: TypeAlias = _Turns | None | UnsetType
TranscriptionOrNone: TypeAlias = _Transcription | None | UnsetType


class _Input(_Strict):
    format: _Format | None = None
    transcription: TranscriptionOrNone = UNSET
    turn_detection: TurnsOrNone = UNSET
    noise_reduction: dict[str, object] | None = None


class _Audio(_Strict):
    input: _Input | None = None


class SessionUpdate(_Strict):
    """The `session` object of a session.update."""

    type: str | None = None
    audio: _Audio | None = None
    include: list[str] | None = None
    # The beta's.
    input_audio_format: str | None = None
    input_audio_transcription: TranscriptionOrNone = UNSET
    input_audio_noise_reduction: dict[str, object] | None = None
    turn_detection: TurnsOrNone = UNSET


def decode_session(session: bytes | msgspec.Raw) -> SessionUpdate:
    """Return what a `session` object asks for.

    Raises:
        Mistake: a key is unknown, or a value of another type.
    """
    try:
        return msgspec.json.decode(session, type=SessionUpdate | None) or SessionUpdate()
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `$")
        code = "unknown_parameter" if "unknown field" in what else "invalid_type"
        raise Mistake(str(error), code, f"session{place.rstrip('`')}") from error


def asked_model(session: SessionUpdate) -> str | None:
    """Return the model that settings name, None where they name none."""
    given = (session.audio and session.audio.input) or _Input()
    asked = _latest(session.input_audio_transcription, given.transcription)
    return asked.model if isinstance(asked, _Transcription) else None


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
        silence: seconds without text that end a turn, unless a client says otherwise; None: none do.

    Attributes:
        format: of the audio, "audio/pcm", "audio/pcmu" or "audio/pcma".
        rate: of the audio, Hz.
        turns: whether endpoints commit items.
        silence: seconds that a client has set, None where it has not.
        padding: seconds before a turn that count as its audio.
        keywords: that the client says are likely.
        log_probabilities: whether those of the tokens are wanted.
    """

    def __init__(self, models: Sequence[str], language: str, silence: float | None = None) -> None:
        self._models = models
        self._language = language
        self._model = models[0]
        self._default_silence = silence
        self.format = PCM
        self.rate = PCM_RATE
        self.turns = True
        self.silence: float | None = None
        self.padding = PADDING_MS / 1000
        self.keywords: tuple[str, ...] = ()
        self.log_probabilities = False

    def update(self, session: SessionUpdate, begun: bool = False) -> None:
        """Take new settings.

        Args:
            session: the settings that are given.
            begun: whether audio has come.
        Raises:
            Mistake: something cannot be served; the settings are as before.
        """
        given = (session.audio and session.audio.input) or _Input()
        if session.type not in (None, "transcription"):
            raise _mistake("session.type", session.type, "want 'transcription'")
        for name in session.include or ():
            if name != LOGPROBS:
                raise _mistake("session.include", name, f"want {LOGPROBS!r}")
        reduction = given.noise_reduction or session.input_audio_noise_reduction
        if reduction is not None:
            raise _mistake(f"{INPUT}.noise_reduction", reduction, "want null: none is done here")
        asked = given.format or _Format(self.format, None if self.format != PCM else self.rate)
        if session.input_audio_format is not None:
            asked = _Format(BETA_FORMATS.get(session.input_audio_format, ""))
        rate = _rate(asked)
        transcription = _latest(session.input_audio_transcription, given.transcription)
        turns = _latest(session.turn_detection, given.turn_detection)
        if not isinstance(transcription, UnsetType):
            self._check_transcription(transcription, begun)
        if isinstance(turns, _Turns):
            _check_turns(turns)
        # Nothing is refused from here on.
        self.format, self.rate = asked.type, rate
        if session.include is not None:
            self.log_probabilities = LOGPROBS in session.include
        if isinstance(transcription, _Transcription):
            self._model = transcription.model or self._model
            if transcription.keywords is not None:
                self.keywords = tuple(transcription.keywords)
        if not isinstance(turns, UnsetType):
            self.turns = turns is not None
            turns = turns or _Turns()
            milliseconds = turns.silence_duration_ms
            self.silence = None if milliseconds is None else milliseconds / 1000
            padding = turns.prefix_padding_ms
            self.padding = (PADDING_MS if padding is None else padding) / 1000

    def describe(self) -> dict[str, object]:
        """Return the `session` object that holds."""
        form: dict[str, object] = {"type": self.format}
        if self.format == PCM:
            form["rate"] = self.rate
        silence = self._default_silence if self.silence is None else self.silence
        turns: dict[str, object] = {
            "type": SERVER_VAD,
            "prefix_padding_ms": round(1000 * self.padding),
            "silence_duration_ms": None if silence is None else round(1000 * silence),
        }
        transcription: dict[str, object] = {"model": self._model, "language": self._language}
        if self.keywords:
            transcription["keywords"] = self.keywords
        return {
            "type": "transcription",
            "object": "realtime.transcription_session",
            "audio": {
                "input": {
                    "format": form,
                    "transcription": transcription,
                    "turn_detection": turns if self.turns else None,
                    "noise_reduction": None,
                }
            },
            "include": [LOGPROBS] if self.log_probabilities else None,
        }

    def _check_transcription(self, asked: _Transcription | None, begun: bool) -> None:
        place = f"{INPUT}.transcription"
        if asked is None:
            raise _mistake(place, None, "want an object: this session does nothing but transcribe")
        if asked.model is not None and asked.model not in self._models:
            text = f"served are {', '.join(self._models)}"
            raise _mistake(f"{place}.model", asked.model, text, "model_not_found")
        for name, languages in (
            ("language", [asked.language] if asked.language else []),
            ("languages", asked.languages or []),
        ):
            if languages and all(_primary(each) != self._language for each in languages):
                shown = languages[0] if name == "language" else languages
                raise _mistake(f"{place}.{name}", shown, f"served is {self._language!r}")
        if asked.prompt:
            raise _mistake(f"{place}.prompt", asked.prompt, "no prompt is understood; try keywords")
        if asked.delay is not None:
            raise _mistake(f"{place}.delay", asked.delay, "the model's delay is what it is")
        keywords = self.keywords if asked.keywords is None else tuple(asked.keywords)
        if keywords != self.keywords and (begun or self.keywords):
            raise _mistake(f"{place}.keywords", keywords, "set them once, before the first audio")


def _latest(before: _T, after: _T) -> _T:
    return before if isinstance(after, UnsetType) else after


def _rate(asked: _Format) -> int:
    if asked.type not in (PCM, MU_LAW, A_LAW):
        raise _mistake(f"{INPUT}.format.type", asked.type, f"want {PCM}, {MU_LAW} or {A_LAW}")
    place = f"{INPUT}.format.rate"
    if asked.type != PCM:
        if asked.rate not in (None, TELEPHONE_RATE):
            raise _mistake(place, asked.rate, f"{asked.type} has {TELEPHONE_RATE}")
        return TELEPHONE_RATE
    rate = PCM_RATE if asked.rate is None else asked.rate
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise _mistake(place, rate, f"want {LOWEST_RATE} to {HIGHEST_RATE}")
    return rate


def _check_turns(turns: _Turns) -> None:
    place = f"{INPUT}.turn_detection"
    if turns.type != SERVER_VAD:
        raise _mistake(f"{place}.type", turns.type, f"want {SERVER_VAD!r}, or null for none")
    silence, padding = turns.silence_duration_ms, turns.prefix_padding_ms
    if silence is not None and not LEAST_SILENCE_MS <= silence <= MOST_SILENCE_MS:
        text = f"want {LEAST_SILENCE_MS} to {MOST_SILENCE_MS}"
        raise _mistake(f"{place}.silence_duration_ms", silence, text)
    if padding is not None and padding < 0:
        raise _mistake(f"{place}.prefix_padding_ms", padding, "want 0 or more")
    for name, value, allowed, text in (
        (
            "threshold",
            turns.threshold,
            THRESHOLD,
            f"turns end by text, not by level; want {THRESHOLD}",
        ),
        ("create_response", turns.create_response, False, "there are no responses here"),
        ("interrupt_response", turns.interrupt_response, False, "there are no responses here"),
        ("idle_timeout_ms", turns.idle_timeout_ms, None, "there are no responses here"),
        ("eagerness", turns.eagerness, None, f"{SERVER_VAD} has none"),
    ):
        if value not in (None, allowed):
            raise _mistake(f"{place}.{name}", value, text)


def _primary(language: str) -> str:
    return language.lower().split("-")[0]


def _mistake(place: str, value: object, text: str, code: str = "invalid_value") -> Mistake:
    return Mistake(f"{place} is {str(value)[:100]!r}; {text}", code, place)
