r"""Options of Deepgram's /v1/listen: what a query may ask for, live or for a recording.

Every option that Deepgram defines is obeyed, refused, or accepted without effect and then listed in
`warnings` of the metadata. Unknown keys are ignored, as by Deepgram. An option whose value is "false" or
empty asks for nothing.

| option | what |
|---|---|
| `model`, `version`, `language`, `language_hint` | what is served |
| `encoding` | of live audio: `ENCODINGS`; with PyAV, the extra `media`, also `OPUS`, or none for Ogg and WebM with Opus |
| `sample_rate`, `channels` | of live audio: any rate, channels that are mixed; Opus has its own |
| `interim_results`, `vad_events`, `utterances` | obeyed |
| `endpointing` | milliseconds without text that end an utterance, at least 60; false: none do |
| `utterance_end_ms` | at least 60; wants `interim_results` |
| `keyterm`, `keywords` | hotwords; the intensifier of a keyword multiplies the usual boost |
| `NO_EFFECT` | accepted: formatting, and what concerns only Deepgram's own service |
| `REFUSED` | what would change the words, their speakers, or where they go |

Deepgram's `callback` would have the server call an address that a client names, and text that
`redact` should have removed must not be sent, so these are refused like the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from types import MappingProxyType

from server.protocol.encodings import A_LAW, LINEAR16, MU_LAW, Encoding
from server.protocol.hotwords import BOOST, MOST_BOOST
from server.refusals import Refusal, quoted
from stream.audio import HIGHEST_RATE, LOWEST_RATE
from stream.audio.g711 import RATE as TELEPHONE_RATE
from stream.audio.opus.framing import Framing, OggPackets, Packets
from stream.decoding.endpoint import LEAST_SECONDS

ENCODINGS: Mapping[str, Encoding] = MappingProxyType(
    {"linear16": LINEAR16, "mulaw": MU_LAW, "alaw": A_LAW}
)
OPUS: Mapping[str, Callable[[], Framing]] = MappingProxyType(
    {"opus": Packets, "ogg-opus": OggPackets}
)
MOST_CHANNELS = 64
LEAST_MS, MOST_MS = round(1000 * LEAST_SECONDS), 60_000

REPEATABLE = frozenset(
    [
        "custom_intent",
        "custom_topic",
        "extra",
        "keyterm",
        "keywords",
        "language_hint",
        "redact",
        "replace",
        "search",
        "tag",
    ]
)
OBEYED = frozenset(
    [
        "channels",
        "encoding",
        "endpointing",
        "interim_results",
        "keyterm",
        "keywords",
        "language",
        "language_hint",
        "sample_rate",
        "utterance_end_ms",
        "utterances",
        "vad_events",
        "version",
    ]
)
NO_EFFECT = frozenset(
    [
        "callback_method",
        "custom_intent_mode",
        "custom_topic_mode",
        "dictation",
        "extra",
        "filler_words",
        "measurements",
        "mip_opt_out",
        "no_delay",
        "numerals",
        "paragraphs",
        "profanity_filter",
        "punctuate",
        "smart_format",
        "tag",
        "tier",
        "utt_split",
    ]
)
REFUSED = frozenset(
    [
        "callback",
        "custom_intent",
        "custom_topic",
        "detect_entities",
        "detect_language",
        "diarize",
        "diarize_model",
        "diarize_version",
        "intents",
        "multichannel",
        "redact",
        "replace",
        "search",
        "sentiment",
        "summarize",
        "topics",
        "translate",
    ]
)
KEYS = OBEYED | NO_EFFECT | REFUSED
FLAGS = MappingProxyType({"true": True, "1": True, "false": False, "0": False, "": False})


@dataclass(frozen=True)
class Options:
    """What a request asks for.

    Attributes:
        encoding: of live audio, one of `ENCODINGS` or `OPUS`; None: a container says what it is.
        rate: of live audio, Hz.
        channels: of live audio; they are mixed.
        interim: whether text is sent before it is final.
        pauses: whether a silence ends an utterance (`speech_final`).
        silence: seconds of it, None for the server's own.
        utterance_end: seconds after the last word until UtteranceEnd is sent, None for never.
        speech_events: whether SpeechStarted is sent.
        utterances: whether those of a recording are listed.
        hotwords: the boost of each.
        without_effect: options that are accepted and change nothing.
    """

    encoding: str | None = None
    rate: int = TELEPHONE_RATE
    channels: int = 1
    interim: bool = False
    pauses: bool = True
    silence: float | None = None
    utterance_end: float | None = None
    speech_events: bool = False
    utterances: bool = False
    hotwords: Mapping[str, float] = field(default_factory=dict)
    without_effect: tuple[str, ...] = ()

    @property
    def warnings(self) -> list[dict[str, str]]:
        """The options without effect, as Deepgram reports a parameter that it does not support."""
        text = "accepted; it has no effect here"
        return [
            {"parameter": name, "type": "unsupported_parameter", "message": text}
            for name in self.without_effect
        ]


def parse_options(
    items: Iterable[tuple[str, str]], language: str = "en", versions: Sequence[str] = ()
) -> Options:
    """Check the options of a query.

    Args:
        items: keys and values, in order.
        language: that is served, its primary tag.
        versions: of the model that are served, besides "latest".
    Raises:
        Refusal: an option cannot be served.
    """
    query = _Query(items)
    for name in sorted(REFUSED):
        if value := query.asked(name):
            raise _refused(name, value, "this is not done here; leave it out")
    _check_language(query, language)
    if (version := query.last("version")) not in ("", "latest", *versions):
        raise _refused("version", version, f"served are {', '.join(('latest', *versions))}")
    encoding, rate = _encoding(query)
    interim = query.flag("interim_results")
    utterance_end = query.milliseconds("utterance_end_ms")
    if utterance_end is not None and not interim:
        value = query.last("utterance_end_ms")
        raise _refused("utterance_end_ms", value, "it wants interim_results=true")
    endpointing = query.last("endpointing").lower()
    pauses = endpointing not in ("false", "0")
    timed = pauses and endpointing not in ("", "true")
    return Options(
        encoding=encoding,
        rate=rate,
        channels=query.number("channels", 1, 1, MOST_CHANNELS),
        interim=interim,
        pauses=pauses,
        silence=query.milliseconds("endpointing") if timed else None,
        utterance_end=utterance_end,
        speech_events=query.flag("vad_events"),
        utterances=query.flag("utterances"),
        hotwords=_hotwords(query),
        without_effect=tuple(name for name in sorted(NO_EFFECT) if query.asked(name)),
    )


class _Query:
    """The values of a query, by key."""

    def __init__(self, items: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in items:
            self._values.setdefault(name, []).append(value.strip())

    def every(self, name: str) -> list[str]:
        return [value for value in self._values.get(name, ()) if value]

    def last(self, name: str) -> str:
        return self._values.get(name, [""])[-1]

    def asked(self, name: str) -> str | None:
        """Return a value that asks for something."""
        return next((each for each in self.every(name) if FLAGS.get(each.lower(), True)), None)

    def flag(self, name: str) -> bool:
        value = self.last(name)
        flag = FLAGS.get(value.lower())
        if flag is None:
            raise _refused(name, value, "want true or false")
        return flag

    def number(self, name: str, default: int, least: int, most: int) -> int:
        value = self.last(name)
        if not value:
            return default
        if not (value.isascii() and value.isdigit() and least <= int(value[:9]) <= most):
            raise _refused(name, value, f"want {least} to {most}")
        return int(value)

    def milliseconds(self, name: str) -> float | None:
        """Return a time in seconds; a shorter one than can be kept is the shortest."""
        value = self.last(name)
        if FLAGS.get(value.lower()) is False:
            return None
        return max(LEAST_MS, self.number(name, 0, 1, MOST_MS)) / 1000


def _check_language(query: _Query, language: str) -> None:
    for name in ("language", "language_hint"):
        asked = query.every(name)
        if asked and language not in [each.lower().split("-")[0] for each in asked]:
            raise _refused(name, asked[0], f"served is {language!r}")


def _encoding(query: _Query) -> tuple[str | None, int]:
    encoding = query.last("encoding").lower() or None
    if encoding is not None and encoding in OPUS and find_spec("av") is None:
        text = "this server has no decoder for it: pip install 'rill-asr[media]'"
        raise _refused("encoding", encoding, text)
    if encoding is not None and encoding not in (*ENCODINGS, *OPUS):
        raise _refused("encoding", encoding, f"want one of {', '.join((*ENCODINGS, *OPUS))}")
    if encoding == "linear16" and not query.last("sample_rate"):
        raise Refusal(
            400, "sample_rate is missing; linear16 has no rate of its own", param="sample_rate"
        )
    return encoding, query.number("sample_rate", TELEPHONE_RATE, LOWEST_RATE, HIGHEST_RATE)


def _hotwords(query: _Query) -> dict[str, float]:
    hotwords = dict.fromkeys(query.every("keyterm"), BOOST)
    for keyword in query.every("keywords"):
        word, colon, intensifier = keyword.rpartition(":")
        try:
            boost = BOOST * float(intensifier) if colon else BOOST
        except ValueError:
            boost = float("nan")
        if not -MOST_BOOST <= boost <= MOST_BOOST:
            most = MOST_BOOST / BOOST
            raise Refusal(
                400,
                f"keywords has the intensifier {quoted(intensifier)}; want -{most:g} to {most:g}",
                param="keywords",
            )
        hotwords[word if colon else keyword] = boost
    return hotwords


def _refused(name: str, value: str, text: str) -> Refusal:
    return Refusal(400, f"{name} is {quoted(value)}; {text}", param=name)
