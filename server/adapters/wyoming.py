"""Wyoming, Home Assistant's protocol for speech services: bytes of a TCP connection in and out.

`Wyoming` is the conversation of one connection, `server.adapters.wyoming_framing` cuts its bytes
into events. No sockets, clock or threads, and nothing that a peer sends raises.

Rules:

1. `describe` is answered with `info`, `ping` with `pong`, at any time. Unknown events are ignored.
   None of these keeps a connection: a peer that sends nothing else is idle.
2. A slot is taken with an utterance, not with the connection: `audio-start`, or an `audio-chunk`
   without one, asks for it (`Open`). If there is none, the peer gets an `error`, and the connection
   is closed.
3. The payload is PCM of `rate`, `width` bytes (2 and 4 signed, 1 unsigned) and `channels`, which are
   mixed as those of files are (`stream.audio.channels`). A frame may be split between payloads; a
   part of one at the end is dropped.
4. `audio-stop` ends the utterance. As text becomes final, `transcript-start` and `transcript-chunk`s
   come; behind the last result `transcript` with all of it, then `transcript-stop`. The slot is
   freed, and another utterance may follow. Clients read up to the first `transcript`.
5. `transcribe` may have `transcript_names` and `transcript_terms`, which are hotwords of the
   utterances behind it; those that the model cannot spell are left out, since Home Assistant sends
   all that it has.
6. A mistake of the peer, or a fault of the engine, is an `error` event, then the end of the
   connection.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from server.adapters.wyoming_framing import EventReader, FramingError, WireEvent, encode
from server.protocol.hotwords import Speller
from server.protocol.states import NO_KEYWORDS, Close, Event, State
from server.protocol.stream import Conversation
from server.protocol.transcript import Recording
from stream.audio import HIGHEST_RATE, LOWEST_RATE, Mixer
from stream.engine.engine import Result
from stream.front_end.log_mel import SAMPLE_RATE

__all__ = ["Offer", "Open", "Wyoming", "WyomingEvent"]

logger = logging.getLogger(__name__)
WIDTHS = {1: "u1", 2: "<i2", 4: "<i4"}
MOST_CHANNELS = 64
UTTERANCE = ("transcribe", "audio-start", "audio-chunk", "audio-stop")


@dataclass(frozen=True)
class Offer:
    """What `info` says about this server.

    Attributes:
        model: its name.
        language: that it understands, a primary tag.
        version: of the server.
        description: of the model, one line.
        url: where the server comes from.
    """

    model: str = "general"
    language: str = "en"
    version: str = ""
    description: str = "Streaming speech recognition"
    url: str = ""

    def info(self) -> str:
        """Return the event."""
        artifact = {
            "attribution": {"name": "Rill", "url": self.url},
            "installed": True,
            "description": self.description,
            "version": self.version,
        }
        model = {"name": self.model, **artifact, "languages": [self.language]}
        program = {
            "name": "rill",
            **artifact,
            "models": [model],
            "supports_transcript_streaming": True,
            "requires_external_vad": True,
        }
        others = ("tts", "handle", "intent", "wake", "mic", "snd")
        return encode("info", {"asr": [program], **{name: [] for name in others}})


@dataclass(frozen=True)
class Open:
    """Take a slot, with keywords that its decoder favours.

    If there is none, `Wyoming.receive_refusal`, and forget the events behind it.
    """

    keywords: Mapping[str, float] = field(default_factory=dict)


WyomingEvent: TypeAlias = Open | Event


class _Format(msgspec.Struct):
    rate: int = SAMPLE_RATE
    width: int = 2
    channels: int = 1

    def fault(self) -> str | None:
        """Return what cannot be served about it, if anything."""
        if not LOWEST_RATE <= self.rate <= HIGHEST_RATE:
            return f"rate is {self.rate}; want {LOWEST_RATE} to {HIGHEST_RATE}"
        if self.width not in WIDTHS:
            return f"width is {self.width}; want one of {', '.join(map(str, WIDTHS))}"
        if not 1 <= self.channels <= MOST_CHANNELS:
            return f"channels is {self.channels}; want 1 to {MOST_CHANNELS}"
        return None

    @property
    def frame_bytes(self) -> int:
        """Bytes of a sample of every channel."""
        return self.width * self.channels

    def samples(self, frames: bytes) -> NDArray[np.float32]:
        """Return whole frames as (n, channels) float32, full scale 1."""
        values = np.frombuffer(frames, WIDTHS[self.width]).reshape(-1, self.channels)
        scale = 1 << (8 * self.width - 1)
        return np.asarray(values / scale - (self.width == 1), np.float32)


class _Utterance:
    """The dialect of one utterance; its messages are events."""

    rate = SAMPLE_RATE
    end = "audio-stop"
    greeting: tuple[str, ...] = ()
    farewell = Close(1000)

    def __init__(self, language: str) -> None:
        self.format = _Format()
        self._mixer = Mixer()
        self._recording = Recording()
        self._language = {"language": language}
        self._began = False

    def expect(self, format: _Format) -> None:
        """Take payloads of a format from now on."""
        if format.channels != self.format.channels:
            self._mixer = Mixer()
        self.format = format

    def receive_audio(self, channel: Conversation, message: bytes) -> None:
        """Take a payload."""
        frames = channel.whole_frames(message, self.format.frame_bytes)
        cancelled = self._mixer.cancelled
        channel.push(self._mixer.mix(self.format.samples(frames)))
        if self._mixer.cancelled and not cancelled:
            logger.warning(
                "the channels of a stream cancel each other; channel %d (from 0) is heard alone",
                self._mixer.taken,
            )

    def receive_text(self, channel: Conversation, text: str) -> None:
        """Take nothing: there are no texts."""

    def send_result(self, channel: Conversation, result: Result) -> None:
        """Say what is final, and at the end everything."""
        self._recording.add(result)
        text = result.text if self._began else result.text.lstrip()
        if not self._began and (text or result.last):
            self._began = True
            channel.say(encode("transcript-start", self._language))
        if text:
            channel.say(encode("transcript-chunk", {"text": text}))
        if result.last:
            channel.say(encode("transcript", {"text": self._recording.text} | self._language))
            channel.say(encode("transcript-stop"))


class Wyoming:
    """The conversation of one connection, driven as a `Conversation`, but in bytes.

    Args:
        offer: what the server says about itself.
        speller: of the utterances' hotwords.
    """

    def __init__(
        self,
        offer: Offer | None = None,
        speller: Speller | None = None,
    ) -> None:
        self._speller = speller or Speller()
        self._keywords = NO_KEYWORDS
        self._offer = offer or Offer()
        self._reader = EventReader()
        self._format = _Format()
        self._dialect: _Utterance
        self._utterance: Conversation | None = None
        self._events: list[WyomingEvent] = []
        self._messages: list[bytes | Close] = []
        self._closed = False

    @property
    def state(self) -> State:
        """Whether something is expected of the peer, of the engine, or of nobody."""
        if self._closed:
            return State.CLOSED
        return State.OPEN if self._utterance is None else self._utterance.state

    @property
    def unanswered(self) -> int:
        """Bytes of audio, as 16 bits at 16 kHz, without a result; and those not handed out."""
        waiting = sum(len(message) for message in self._messages if isinstance(message, bytes))
        return waiting + (self._utterance.unanswered if self._utterance else 0)

    def receive_data(self, received: bytes) -> bool:
        """Take bytes; return whether an event of an utterance has come with them."""
        if self._closed:
            return False
        self._reader.feed(received)
        spoken = False
        try:
            while not self._closed and (event := self._reader.next_event()) is not None:
                self._receive(event)
                spoken = spoken or event.type in UTTERANCE
        except FramingError as error:
            self._fail(str(error))
        return spoken

    def receive_refusal(self, reason: str) -> None:
        """Take note that there is no slot."""
        self._utterance = None
        self._events.clear()
        if not self._closed:  # by a mistake behind the one that asked for it
            self._fail(reason, "busy")

    def receive_idle(self, seconds: float) -> None:
        """Take note that nothing came for so long."""
        if self.state is State.OPEN:
            self._fail(f"no event for {seconds:g} s")

    def receive_stall(self, seconds: float) -> None:
        """Take note that the peer read nothing for so long."""
        if not self._closed:
            self._messages.clear()  # they would wait behind those that it does not read
            self._fail(f"nothing was read for {seconds:g} s")

    def receive_shutdown(self, reason: str = "the server is shutting down") -> None:
        """Take note that the server can wait no longer for the end of an utterance, and why."""
        if self._utterance is not None:
            self._utterance.receive_shutdown(reason)
            self._follow()
        elif not self._closed:
            self._close(Close(1001))

    def receive_gone(self) -> None:
        """Take note that the connection is closed."""
        self._release()
        self._messages.clear()
        self._closed = True

    def send_result(self, result: Result) -> None:
        """Take a result of the engine."""
        if self._utterance is not None:
            self._utterance.send_result(result)
            self._follow()

    def send_fault(self, reason: str) -> None:
        """Say that the engine failed the utterance."""
        if self._utterance is not None:
            self._utterance.send_fault(reason)
            self._follow()

    def events(self) -> list[WyomingEvent]:
        """Return and forget what the engine has to do, in order."""
        events, self._events = self._events, []
        return events

    def messages_to_send(self) -> list[bytes | Close]:
        """Return and forget the bytes for the peer, in order; a Close ends the connection."""
        messages, self._messages = self._messages, []
        return messages

    def _receive(self, event: WireEvent) -> None:
        match event.type:
            case "describe":
                self._say(self._offer.info())
            case "ping":
                self._say(encode("pong", {"text": event.data.get("text")}))
            case "transcribe":
                self._check_request(event)
            case "audio-start" | "audio-chunk":
                self._receive_audio(event)
            case "audio-stop" if self._utterance is not None:
                self._utterance.receive_end()
                self._follow()

    def _check_request(self, event: WireEvent) -> None:
        name, language = event.data.get("name"), event.data.get("language")
        if name not in (None, "", self._offer.model):
            self._fail(f"name is {str(name)[:100]!r}; served is {self._offer.model!r}")
        elif language and str(language).lower().split("-")[0] != self._offer.language:
            self._fail(f"language is {str(language)[:100]!r}; served is {self._offer.language!r}")
        else:
            given = (event.data.get(key) for key in ("transcript_names", "transcript_terms"))
            lists = (words for words in given if isinstance(words, list))
            hotwords = (word for words in lists for word in words if isinstance(word, str))
            self._keywords = self._speller.spell(self._speller.spellable(hotwords))

    def _receive_audio(self, event: WireEvent) -> None:
        known = {"rate": self._format.rate, "width": self._format.width}
        known["channels"] = self._format.channels
        try:
            self._format = msgspec.convert(known | dict(event.data), _Format, strict=False)
        except msgspec.ValidationError as error:
            self._fail(f"{event.type}: {error}")
            return
        fault = self._format.fault()
        if fault is not None:
            self._fail(f"{event.type}: {fault}")
            return
        if self._utterance is not None and self._utterance.state is not State.OPEN:
            self._fail(f"{event.type} before the transcript of the audio before")
            return
        if self._utterance is None:
            self._dialect = _Utterance(self._offer.language)
            self._utterance = Conversation(self._dialect)
            self._events.append(Open(self._keywords))
        self._dialect.expect(self._format)
        self._utterance.listen_at(self._format.rate)
        if event.type == "audio-chunk" and event.payload:
            self._utterance.receive_audio(event.payload)
        self._follow()

    def _follow(self) -> None:
        """Hand on what the utterance asks for and says, and leave it when it is over."""
        utterance = self._utterance
        if utterance is None:
            return
        self._events += utterance.events()
        if utterance.state is State.CLOSED:
            self._utterance = None
        for message in utterance.messages_to_send():
            if isinstance(message, str):
                self._say(message)
            elif message.code == 1001:
                self._close(message)
            elif message.code != 1000:
                self._fail(message.reason)

    def _release(self) -> None:
        if self._utterance is not None:
            self._utterance.receive_gone()
            self._events += self._utterance.events()
            self._utterance = None

    def _fail(self, reason: str, code: str | None = None) -> None:
        """Say what is wrong, and end the connection."""
        self._release()
        self._say(encode("error", {"text": reason} | ({"code": code} if code else {})))
        self._close(Close(1008, reason))

    def _say(self, message: str) -> None:
        self._messages.append(message.encode(errors="replace"))

    def _close(self, close: Close) -> None:
        self._messages.append(close)
        self._closed = True
