r"""Asterisk's WebSocket channel (chan_websocket), as a dialect: audio in binary, events in text.

Asterisk connects to this server (`Dial(WebSocket/rill/c(ulaw))`, or ARI's externalMedia), and sends the
frames of a call as they are, without headers. The first message says what they are, as JSON or, with
the older `control_message_format`, as a line:

    {"event": "MEDIA_START", "channel_id": "1761245643.1", "format": "ulaw", ...}
    MEDIA_START connection_id:e226e283 channel:WebSocket/rill/0x51 format:ulaw optimal_frame_size:160

Rules, besides those of `server.adapters.telephony.call`:

1. The call is watched by the query's `call` (the dial string's `v(call=...)`), else by `channel_id`, else
   by `connection_id`. Nothing is sent to Asterisk, which would take it for commands.
2. Formats are those of `FORMATS`. Another one, or audio before MEDIA_START, closes with 1008.
3. Asterisk closes the connection when the call is over. Other events are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from server.adapters.telephony.call import Call, OpenCall
from server.protocol.encodings import A_LAW, LINEAR16, MU_LAW, Encoding
from server.protocol.states import State
from server.protocol.stream import StreamProtocol
from server.refusals import quoted

PATH = "/asterisk"
SUBPROTOCOLS = ("media",)
START = "MEDIA_START"
NAME = re.compile("[A-Z_]{1,40}")
# By Asterisk's name of the codec: the encoding, and its rate in Hz.
FORMATS: Mapping[str, tuple[Encoding, int]] = MappingProxyType(
    {"ulaw": (MU_LAW, 8000), "alaw": (A_LAW, 8000), "slin": (LINEAR16, 8000)}
    | {f"slin{khz}": (LINEAR16, 1000 * khz) for khz in (12, 16, 24, 32, 48, 96)}
    | {"slin44": (LINEAR16, 44_100)}
)


class _Event(msgspec.Struct):
    event: str
    format: str = ""
    channel_id: str = ""
    connection_id: str = ""


class Asterisk(Call):
    """One call.

    Args:
        open_call: lets a call be watched by its id.
        call_id: that the query gives, "" where it gives none.
    """

    end = "a Close"

    def __init__(self, open_call: OpenCall, call_id: str = "") -> None:
        super().__init__(open_call)
        self._query_id = call_id
        self._encoding: Encoding | None = None  # once the media has started

    def receive_audio(self, stream: StreamProtocol, message: bytes) -> None:
        """Take frames."""
        if stream.state is not State.OPEN:
            return
        if self._encoding is None:
            stream.close(1008, f"audio before {START}, which names its format")
        else:
            self.push(stream, message, self._encoding)

    def receive_text(self, stream: StreamProtocol, text: str) -> None:
        """Take an event."""
        if stream.state is not State.OPEN:
            return
        try:
            event = _read(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            stream.close(1003, f"the event cannot be read: {error}")
            return
        if not NAME.fullmatch(event.event):
            stream.close(1003, f"event is {quoted(event.event)}, which is not Asterisk's")
        elif event.event != START:
            return
        elif event.format not in FORMATS:
            stream.close(
                1008, f"format is {quoted(event.format)}; want one of {', '.join(FORMATS)}"
            )
        elif self._encoding is not None:
            stream.close(1008, f"{START} for the second time")
        else:
            self._encoding, rate = FORMATS[event.format]
            stream.set_rate(rate)
            self.start(self._query_id or event.channel_id or event.connection_id)


def _read(text: str) -> _Event:
    """Return an event in JSON, or in a line of its name and then key:value."""
    if text.startswith("{"):
        return msgspec.json.decode(text, type=_Event)
    name, *fields = text.split() or [""]
    values = {key: value for key, _, value in (field.partition(":") for field in fields)}
    return msgspec.convert(values | {"event": name}, _Event)
