r"""Twilio's Media Streams, as a dialect: JSON text with G.711 mu-law at 8 kHz in base64.

    {"event": "connected", ...}, {"event": "start", "start": {"callSid": "CA1f", ...}, "streamSid": "MZ2a"},
    {"event": "media", "media": {"track": "inbound", "payload": "..."}}, ..., {"event": "stop"}

Rules, besides those of `server.adapters.telephony.call`:

1. The call is watched by its `callSid`. Transcript messages go to the socket too, with `streamSid`:
   a program between Twilio and this server reads them there, Twilio itself takes no notice of them.
2. One track is recognised, "inbound" (the caller) unless `start.customParameters.track` is "outbound".
3. `media` before `start`, another format than mu-law at 8 kHz, and audio that is not base64 close with 1008.
4. `mark` and `dtmf` are ignored; `stop` ends the stream: Close 1000.
"""

from __future__ import annotations

from typing import Any

import msgspec

from server.adapters.telephony.call import Call, OpenCall
from server.protocol.encodings import MU_LAW, decode_base64
from server.protocol.states import State
from server.protocol.stream import StreamProtocol
from server.refusals import quoted
from stream.audio.g711 import RATE

PATH = "/twilio"
TRACKS = ("inbound", "outbound")
ENCODING = "audio/x-mulaw"
UNUSED = ("connected", "mark", "dtmf")


class _Format(msgspec.Struct, rename="camel"):
    encoding: str = ENCODING
    sample_rate: int = RATE
    channels: int = 1


class _Start(msgspec.Struct, rename="camel"):
    call_sid: str = ""
    media_format: _Format = msgspec.field(default_factory=_Format)
    custom_parameters: dict[str, str] = {}


class _Media(msgspec.Struct):
    payload: str
    track: str = TRACKS[0]


class _Message(msgspec.Struct, rename="camel"):
    event: str
    stream_sid: str = ""
    start: _Start | None = None
    media: _Media | None = None


class Twilio(Call):
    """One stream of a call."""

    end = 'the message "stop"'

    def __init__(self, open_call: OpenCall) -> None:
        super().__init__(open_call)
        self._stream_sid = ""
        self._track: str | None = None  # that is recognised, once the stream has started

    def receive_audio(self, stream: StreamProtocol, message: bytes) -> None:
        """Take a binary message, which is a mistake."""
        stream.close(1003, f"binary message of {len(message)} bytes; Twilio's messages are text")

    def receive_text(self, stream: StreamProtocol, text: str) -> None:
        """Take a message of Twilio's."""
        if stream.state is not State.OPEN:
            return
        try:
            message = msgspec.json.decode(text, type=_Message, strict=False)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            stream.close(1003, f"the message cannot be read: {error}")
            return
        match message.event:
            case "start":
                self._begin(stream, message)
            case "media":
                self._take(stream, message.media)
            case "stop":
                stream.receive_end()
            case event if event not in UNUSED:
                stream.close(1003, f"event is {quoted(event)}, which is not Twilio's")

    def tell(self, stream: StreamProtocol, message: dict[str, Any]) -> None:
        """Send a transcript message to those who watch, and to the socket."""
        super().tell(stream, message)
        stream.send(msgspec.json.encode(message | {"streamSid": self._stream_sid}).decode())

    def _begin(self, stream: StreamProtocol, message: _Message) -> None:
        start = message.start or _Start()
        form = start.media_format
        track = start.custom_parameters.get("track", TRACKS[0])
        if (form.encoding, form.sample_rate, form.channels) != (ENCODING, RATE, 1):
            given = f"{form.encoding[:50]} at {form.sample_rate} Hz, {form.channels} channels"
            stream.close(1008, f"mediaFormat is {given}; want {ENCODING} at {RATE} Hz, 1 channel")
        elif track not in TRACKS:
            stream.close(1008, f"track is {quoted(track)}; want one of {', '.join(TRACKS)}")
        elif self._track is not None:
            stream.close(1008, "start for the second time")
        else:
            self._track, self._stream_sid = track, message.stream_sid
            self.start(start.call_sid)

    def _take(self, stream: StreamProtocol, media: _Media | None) -> None:
        if self._track is None or media is None:
            stream.close(1008, "media without a start" if media else "media without its audio")
        elif media.track == self._track:
            try:
                audio = decode_base64(media.payload)
            except ValueError as error:
                stream.close(1008, f"payload {error}")
                return
            self.push(stream, audio, MU_LAW)
