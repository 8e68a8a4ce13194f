r"""Wyoming's framing: events to bytes and back.

An event is one line of JSON, {"type": "audio-chunk", "version": "1.10.2", "data_length": 50,
"payload_length": 2048}, then `data_length` bytes of JSON, merged over the header's own `data`, then
`payload_length` raw bytes. What events mean is in `server.adapters.wyoming`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import msgspec

VERSION = "1.10.2"  # of the protocol
HEADER_BYTES = 1 << 16
PART_BYTES = 1 << 20  # most of data and of payload
_T = TypeVar("_T")


class FramingError(ValueError):
    """Bytes that are no event."""


@dataclass(frozen=True)
class WireEvent:
    """One event as it came."""

    type: str
    data: Mapping[str, object]
    payload: bytes


class _Header(msgspec.Struct):
    type: str
    data: dict[str, object] | None = None
    data_length: int | None = None
    payload_length: int | None = None


class EventReader:
    """Cuts the bytes of a connection into events."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._searched = 0  # no line ends before
        self._header: _Header | None = None

    def feed(self, received: bytes) -> None:
        """Take bytes, as many as came."""
        self._bytes += received

    def next_event(self) -> WireEvent | None:
        """Return the next event, None where it is not complete.

        Raises:
            FramingError: the bytes are no event, or one is too large. Nothing can follow.
        """
        if self._header is None:
            self._header = self._read_header()
            if self._header is None:
                return None
        header = self._header
        data_length = max(header.data_length or 0, 0)
        payload_length = max(header.payload_length or 0, 0)
        for name, length in (("data", data_length), ("payload", payload_length)):
            if length > PART_BYTES:
                raise FramingError(f"{name} of {length} bytes; at most {PART_BYTES} are taken")
        if len(self._bytes) < data_length + payload_length:
            return None
        self._header = None
        data = dict(header.data or {})
        if data_length:
            data |= _decode(self._take(data_length), dict[str, object], "data")
        return WireEvent(header.type, data, self._take(payload_length))

    def _read_header(self) -> _Header | None:
        end = self._bytes.find(b"\n", self._searched)
        if max(end, len(self._bytes) if end < 0 else 0) > HEADER_BYTES:
            raise FramingError(f"no end of line within {HEADER_BYTES} bytes")
        if end < 0:
            self._searched = len(self._bytes)
            return None
        self._searched = 0
        return _decode(self._take(end + 1), _Header, "line")

    def _take(self, count: int) -> bytes:
        taken = bytes(self._bytes[:count])
        del self._bytes[:count]
        return taken


def _decode(encoded: bytes, kind: type[_T], name: str) -> _T:
    try:
        return msgspec.json.decode(encoded, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise FramingError(f"the {name} is not an event: {error}") from error


def encode(kind: str, data: Mapping[str, object] | None = None) -> str:
    """Write an event without payload as Wyoming's own library does."""
    header: dict[str, object] = {"type": kind, "version": VERSION}
    text = json.dumps(data, ensure_ascii=False) if data else ""
    if text:
        header["data_length"] = len(text.encode())
    return f"{json.dumps(header, ensure_ascii=False)}\n{text}"
