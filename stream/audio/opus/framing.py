"""The packets of Opus, bare or in Ogg or WebM, from bytes that come one after the other.

`stream.audio.recording` reads files, which it can search; here are only the bytes so far, split anywhere.
Rules:

1. A stream of packets has one kind of framing: none (`Packets`), Ogg pages (`OggPackets`, RFC 3533 and 7845),
   or WebM blocks (`WebmPackets`), as a browser's MediaRecorder writes them. `framing_of` tells by the first bytes.
2. Whatever a sender writes, at most `MOST_BYTES` wait to become a packet, and a message has at most
   `MOST_ELEMENTS`. What is beyond, and anything else that is wrong, raises `OpusError`; nothing can follow.
3. Checksums are not looked at.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Protocol

MOST_BYTES = 1 << 17  # a page of Ogg has half of it
MOST_ELEMENTS = 1 << 15
OGG, WEBM = b"OggS", b"\x1aE\xdf\xa3"
_PAGE, _SEGMENTS, _CONTINUED = 27, 26, 1
_HEADERS = (b"OpusHead", b"OpusTags")
_SEGMENT, _CLUSTER, _BLOCK_GROUP = 0x18538067, 0x1F43B675, 0xA0  # elements that hold others
_ENTERED = (_SEGMENT, _CLUSTER, _BLOCK_GROUP)
_SIMPLE_BLOCK, _BLOCK, _TRACKS = 0xA3, 0xA1, 0x1654AE6B
_READ = (_SIMPLE_BLOCK, _BLOCK, _TRACKS)
_LACING = 0x06


class OpusError(ValueError):
    """Bytes that are no Opus; the message is half a sentence, after "the audio"."""


class Framing(Protocol):
    """Cuts bytes into packets."""

    def feed(self, received: bytes) -> Iterator[bytes]:
        """Take bytes, and yield the packets that are whole now."""


class Packets:
    """Bare packets, each a message."""

    def feed(self, received: bytes) -> Iterator[bytes]:
        """Yield the packet."""
        if received:
            yield received


class OggPackets:
    """Packets in the pages of Ogg."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._packet = bytearray()  # that goes on in the next page

    def feed(self, received: bytes) -> Iterator[bytes]:
        """Take bytes, and yield the packets that are whole now, without headers."""
        data = self._bytes
        data += received
        while len(data) >= _PAGE:
            if not data.startswith(OGG):
                raise OpusError("has something else between the pages of Ogg")
            body = _PAGE + data[_SEGMENTS]
            table = bytes(data[_PAGE:body])
            end = body + sum(table)
            if len(data) < body or len(data) < end:
                return
            page, at = bytes(data[:end]), body
            del data[:end]
            if not page[5] & _CONTINUED:
                self._packet.clear()
            for size in table:
                self._packet += page[at : at + size]
                at += size
                if len(self._packet) > MOST_BYTES:
                    raise OpusError(f"has a packet of more than {MOST_BYTES} bytes")
                if size < 255:
                    packet = bytes(self._packet)
                    self._packet.clear()
                    if packet and not packet.startswith(_HEADERS):
                        yield packet


class WebmPackets:
    """Packets in the blocks of WebM (Matroska, RFC 9559) with one track."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._skipping = 0  # bytes of an element of no interest

    def feed(self, received: bytes) -> Iterator[bytes]:
        """Take bytes, and yield the packets that are whole now."""
        data = self._bytes
        data += received
        for count in itertools.count():
            if not data:
                return
            if count == MOST_ELEMENTS:
                raise OpusError(f"has more than {MOST_ELEMENTS} elements of WebM in a message")
            if self._skipping:
                skipped = min(self._skipping, len(data))
                del data[:skipped]
                self._skipping -= skipped
                continue
            head = self._head()
            if head is None:
                return
            kind, size, begin = head
            if kind in _ENTERED:
                del data[:begin]
            elif kind in _READ:
                if size > MOST_BYTES:
                    raise OpusError(f"has a block of {size} bytes; at most {MOST_BYTES} are taken")
                if len(data) < begin + size:
                    return
                content = bytes(data[begin : begin + size])
                del data[: begin + size]
                if kind == _TRACKS:
                    if b"A_OPUS" not in content:
                        raise OpusError("is WebM without Opus")
                else:
                    yield _payload(content)
            else:
                del data[:begin]
                self._skipping = size

    def _head(self) -> tuple[int, int, int] | None:
        """Return id and size of the first element, and where its content begins; None: not yet whole."""
        data = self._bytes
        kind_bytes = _length(data[0], 4)
        if len(data) <= kind_bytes:
            return None
        size_bytes = _length(data[kind_bytes], 8)
        begin = kind_bytes + size_bytes
        if len(data) < begin:
            return None
        mask = (1 << 7 * size_bytes) - 1
        size = int.from_bytes(data[kind_bytes:begin], "big") & mask
        kind = int.from_bytes(data[:kind_bytes], "big")
        if size == mask and kind not in _ENTERED:
            raise OpusError("has an element of WebM without a size")
        return kind, size, begin


def _length(first: int, most: int) -> int:
    """Return how many bytes a variable-length number of EBML takes, by its first byte."""
    length = 9 - first.bit_length()
    if length > most:
        raise OpusError("has something that is no element of WebM")
    return length


def _payload(block: bytes) -> bytes:
    """Return the packet of a block: behind the track's number, the time and the flags."""
    head = _length(block[0], 8) + 3 if block else 1
    if len(block) <= head:
        raise OpusError("has an empty block of WebM")
    if block[head - 1] & _LACING:
        raise OpusError("has several packets in a block of WebM")
    return block[head:]


def framing_of(first: bytes) -> Framing | None:
    """Return the framing of a stream that begins with some bytes; None for no container of Opus."""
    if first.startswith(OGG):
        return OggPackets()
    return WebmPackets() if first.startswith(WEBM) else None
