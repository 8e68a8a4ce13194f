"""Whole frames of audio from messages of any size; a split sample is completed by the next message.

A frame is one sample of every channel, `frame_bytes` long. Every dialect cuts its audio here, so that
a client may split its bytes anywhere, even where the original server drops the rest of a message.
The dialects turn the bytes into samples.
"""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)


class SampleBuffer:
    """The bytes of one stream, cut into frames.

    Attributes:
        left: bytes of an incomplete frame.
    """

    def __init__(self) -> None:
        self.left = b""
        self._frame_bytes = 1

    def take(self, message: bytes, frame_bytes: int) -> bytes:
        """Return the whole frames of what is left and a message, and keep the rest.

        A new frame size is a new format, which begins with the message.
        """
        if self.left:
            if frame_bytes != self._frame_bytes:
                self.drop()
            message = self.left + message
            self.left = b""
        self._frame_bytes = frame_bytes
        over = len(message) % frame_bytes
        if over:
            self.left = message[-over:]
            return message[:-over]
        return message

    def drop(self) -> None:
        """Drop what is left, at the end of a stream."""
        if self.left:
            logger.debug(
                "the audio ends %d bytes into a frame of %d, which are dropped",
                len(self.left),
                self._frame_bytes,
            )
        self.left = b""
