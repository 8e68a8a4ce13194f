"""Wyoming, Home Assistant's protocol for speech services: bytes of a TCP connection in and out.

`Wyoming` is the protocol of one connection, `server.adapters.wyoming_framing` cuts its bytes into
events, `server.adapters.wyoming_utterance` is the dialect of an utterance. No sockets, clock or
threads, and nothing that a peer sends raises.

Rules:

1. `describe` is answered with `info`, `ping` with `pong`, at any time. Unknown events are ignored.
   None of these keeps a connection open: a peer that sends nothing else is idle.
2. A slot is taken for an utterance, not for the connection: `audio-start`, or an `audio-chunk`
   without one, takes it. If none is free, the peer gets an `error`, and the connection is closed.
3. The payload is PCM of `rate`, `width` bytes (2 and 4 signed, 1 unsigned) and `channels`, which are
   mixed like those of files (`stream.audio.channels`). A frame may be split between payloads; an
   incomplete frame at the end is dropped.
4. `audio-stop` ends the utterance. As text becomes final, `transcript-start` and `transcript-chunk`s
   come; after the last result `transcript` with all of it, then `transcript-stop`. The slot is
   freed, and another utterance may follow. Clients read up to the first `transcript`.
5. `transcribe` may have `transcript_names` and `transcript_terms`: hotwords of the utterances after
   it. Those that the model cannot spell are left out, since Home Assistant sends all it has.
6. A mistake of the peer, or a failure of the engine, is an `error` event, then the end of the
   connection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import msgspec

from server.adapters.wyoming_framing import EventReader, FramingError, WireEvent, encode
from server.adapters.wyoming_utterance import Format, Utterance
from server.protocol.hotwords import Speller
from server.protocol.states import Close, State
from server.protocol.stream import Channel, StreamProtocol
from stream.engine.engine import Result

DESCRIPTION, URL = "Streaming speech recognition", "https://github.com/rill-asr/rill"
UTTERANCE = ("transcribe", "audio-start", "audio-chunk", "audio-stop")
OpenChannel: TypeAlias = Callable[[Mapping[str, float]], Channel | str]


class Peer(Protocol):
    """The client, as `server.live.connection.Connection`."""

    def send(self, message: bytes) -> None: ...
    def close(self, close: Close) -> None: ...


@dataclass(frozen=True)
class Offer:
    """What `info` says about this server.

    Attributes:
        model: its name.
        language: that it understands, a primary tag.
        version: of the server.
        knows: what the model understands, in a few words.
    """

    model: str = "general"
    language: str = "en"
    version: str = ""
    knows: str = ""

    def info(self) -> str:
        """Return the event."""
        artifact = {
            "attribution": {"name": "Rill", "url": URL},
            "installed": True,
            "version": self.version,
        }
        model = {
            "name": self.model,
            **artifact,
            "description": self.knows or DESCRIPTION,
            "languages": [self.language],
        }
        program = {
            "name": "rill",
            **artifact,
            "description": DESCRIPTION,
            "models": [model],
            "supports_transcript_streaming": True,
            "requires_external_vad": True,
        }
        others = ("tts", "handle", "intent", "wake", "mic", "snd")
        return encode("info", {"asr": [program], **{name: [] for name in others}})


class Wyoming:
    """The protocol of one connection.

    Args:
        peer: where events go.
        open_channel: takes a slot, with hotwords and their boosts; returns the reason where there is
            none.
        speller: of the utterances' hotwords.
    """

    def __init__(
        self,
        peer: Peer,
        open_channel: OpenChannel,
        offer: Offer | None = None,
        speller: Speller | None = None,
    ) -> None:
        self._peer = peer
        self._open_channel = open_channel
        self._offer = offer or Offer()
        self._speller = speller or Speller()
        self._keywords: Mapping[str, float] = {}
        self._reader = EventReader()
        self._format = Format()
        self._dialect: Utterance
        self._utterance: StreamProtocol | None = None
        self._seconds = 0.0  # of the utterances before
        self._closed = False

    @property
    def state(self) -> State:
        """The state of the utterance; between two, the stream is open."""
        if self._closed:
            return State.CLOSED
        return State.OPEN if self._utterance is None else self._utterance.state

    @property
    def unanswered(self) -> int:
        """Bytes of audio without a result, as 16 bits at 16 kHz."""
        return self._utterance.unanswered if self._utterance else 0

    @property
    def audio_seconds(self) -> float:
        """Seconds of audio that went to the engine."""
        return self._seconds + (self._utterance.audio_seconds if self._utterance else 0.0)

    def has_slot(self) -> bool:
        """Return whether an utterance is being recognised."""
        return self._utterance is not None

    def receive(self, message: str | bytes) -> bool:
        """Take bytes; return whether an event of an utterance came with them."""
        assert isinstance(message, bytes)
        spoken = False
        if not self._closed:
            self._reader.feed(message)
        try:
            while not self._closed and (event := self._reader.next_event()) is not None:
                self._receive(event)
                spoken = spoken or event.type in UTTERANCE
        except FramingError as error:
            self._fail(str(error))
        return spoken

    def receive_idle(self, seconds: float) -> None:
        """End the utterance, and then the connection, because nothing was received for so long."""
        if self._utterance is not None:
            self._utterance.receive_idle(seconds)
        elif not self._closed:
            self._fail(f"no event for {seconds:g} s")

    def receive_stall(self, seconds: float) -> None:
        """Close the connection because the peer read nothing for so long."""
        if not self._closed:
            self._fail(f"nothing was read for {seconds:g} s")

    def receive_shutdown(
        self, reason: str = "the server is shutting down", code: int = 1001
    ) -> None:
        """End the utterance because the server cannot wait for its end, and say why."""
        if self._utterance is not None:
            self._utterance.receive_shutdown(reason, code)
        elif not self._closed:
            self._close(Close(code))

    def receive_hangup(self) -> None:
        """Take note that the peer has closed the connection."""
        self.receive_gone()

    def receive_gone(self) -> None:
        """Free the slot because the connection is closed."""
        self._closed = True
        self._end_utterance()

    def receive_result(self, result: Result) -> None:
        """Take a result of the engine."""
        if self._utterance is not None:
            self._utterance.receive_result(result)

    def receive_fault(self, reason: str) -> None:
        """Report that the engine failed the utterance."""
        if self._utterance is not None:
            self._utterance.receive_fault(reason)

    # For the utterance, whose peer this is.

    def send(self, message: str) -> None:
        """Send an event."""
        self._peer.send(message.encode(errors="replace"))

    def close(self, close: Close) -> None:
        """End the utterance; the connection continues if it ended well."""
        self._end_utterance()
        if close.code == 1001:
            self._close(close)
        elif close.code != 1000:
            self._fail(close.reason)

    # Events of the peer.

    def _receive(self, event: WireEvent) -> None:
        match event.type:
            case "describe":
                self.send(self._offer.info())
            case "ping":
                self.send(encode("pong", {"text": event.data.get("text")}))
            case "transcribe":
                self._check_request(event)
            case "audio-start" | "audio-chunk":
                self._receive_audio(event)
            case "audio-stop" if self._utterance is not None:
                self._utterance.receive_end()

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
        known = msgspec.structs.asdict(self._format)
        try:
            self._format = msgspec.convert(known | dict(event.data), Format, strict=False)
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
            channel = self._open_channel(self._keywords)
            if isinstance(channel, str):
                self._fail(channel, "busy")
                return
            self._dialect = Utterance(self._offer.language)
            self._utterance = StreamProtocol(self._dialect, channel, self)
        self._dialect.set_format(self._format)
        self._utterance.set_rate(self._format.rate)
        if event.type == "audio-chunk" and event.payload:
            self._utterance.receive(event.payload)

    def _end_utterance(self) -> None:
        utterance, self._utterance = self._utterance, None
        if utterance is not None:
            self._seconds += utterance.audio_seconds
            utterance.receive_gone()

    def _fail(self, reason: str, code: str | None = None) -> None:
        """Say what is wrong, and end the connection."""
        self._end_utterance()
        self.send(encode("error", {"text": reason} | ({"code": code} if code else {})))
        self._close(Close(1008, reason))

    def _close(self, close: Close) -> None:
        self._closed = True
        self._peer.close(close)
