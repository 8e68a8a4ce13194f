"""Whole frames of audio out of messages of any size: what splits a sample is completed by the next.

A frame is one sample of every channel, `frame_bytes` long. Every dialect cuts its audio here, so that
a client may split its bytes wherever it likes, even where the server that we stand in for drops the
rest of a message. No meaning of the bytes: they become samples in the dialects.
"""

from __future__ import annotations

import logging

__all__ = ["SampleBuffer"]

logger = logging.getLogger(__name__)


class SampleBuffer:
    """The bytes of one stream, cut at frames.

    Attributes:
        left: bytes of a frame that is not complete.
    """

    def __init__(self) -> None:
        self.left = b""
        self._frame_bytes = 1

    def take(self, message: bytes, frame_bytes: int) -> bytes:
        """Return the whole frames of what is left and a message; the rest is left.

        Another size of the frames is another format, which begins with the message.
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
        """Forget what is left, at the end of a stream."""
        if self.left:
            logger.debug(
                "the audio ends %d bytes into a frame of %d, which are dropped",
                len(self.left),
                self._frame_bytes,
            )
        self.left = b""
