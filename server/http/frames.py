"""A check that aiohttp leaves out: every frame of a client is masked, RFC 6455 section 5.1.

The bytes of a connection are followed from frame to frame, without looking at payloads, before
aiohttp's reader gets them. An unmasked frame is replaced by one that the reader refuses as a protocol
error: Close 1002.
"""

from __future__ import annotations

from aiohttp.http import WebSocketReader

MASKED = 0x80
LENGTH = 0x7F
LENGTHS = {126: 2, 127: 8}  # bytes of a longer length
MASK_BYTES = 4
MEDIUM, HEAD_BYTES = 0xFE, 8  # second byte of a masked frame with 2 bytes of length; its head
REFUSED = b"\xf0\x80"  # all reserved bits are set


class MaskedFrames:
    """Stands before a reader and lets only masked frames through."""

    def __init__(self, reader: WebSocketReader) -> None:
        self._reader = reader
        self._payload = 0  # bytes of a frame still to come, its mask included
        self._held = b""  # an incomplete header, which the reader has not got
        self._refused = False

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Take the next bytes."""
        size = len(data)
        # Most reads hold one masked frame of 126 to 65535 bytes, and nothing else.
        if (
            size > HEAD_BYTES
            and data[1] == MEDIUM
            and size == HEAD_BYTES + (data[2] << 8 | data[3])
            and not (self._payload or self._held or self._refused)
        ):
            return self._reader.feed_data(data)
        if self._refused:
            return False, b""
        data, self._held = self._held + data, b""
        place, size = self._payload, len(data)
        while place < size:  # where a frame begins
            if size - place < 2:
                break
            length = data[place + 1] & LENGTH
            if not data[place + 1] & MASKED:
                self._refused = True
                return self._reader.feed_data(data[:place] + REFUSED)
            longer = LENGTHS.get(length, 0)
            payload = place + 2 + longer
            if payload > size:
                break
            if longer:
                length = int.from_bytes(data[place + 2 : payload], "big")
            place = payload + MASK_BYTES + length
        else:
            self._payload = place - size
            return self._reader.feed_data(data)
        self._payload, self._held = 0, data[place:]
        return self._reader.feed_data(data[:place])

    def feed_eof(self) -> None:
        """Take the end of the connection."""
        self._reader.feed_eof()
