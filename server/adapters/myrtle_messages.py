"""Messages of Myrtle's websocket API, for the server and for its clients.

Audio is PCM, signed 16 bits little-endian, mono, 16 kHz, in binary messages; an empty one ends the
stream. Responses are `Response` as JSON text. What they mean is in `server.adapters.myrtle`.
"""

from __future__ import annotations

import msgspec
import numpy as np

from stream.front_end.log_mel import SAMPLE_RATE
from stream.stage import Floats

PATH = "/asr/v0.1/stream"
SUBPROTOCOL = "stream.asr.api.myrtle.ai"
QUERY = "content_type=audio/x-raw;format=S16LE;channels=1;rate=16000"
SAMPLE_BYTES = 2
CHUNK, CHUNK_SECONDS = 960, 0.06  # of the audio in a client's message, in samples and seconds
# The response to a silent chunk, as `Response` encodes it; most are such, and %r writes a float as
# JSON does.
NOTHING = (
    '{"start":%r,"end":%r,"is_provisional":false,'
    '"alternatives":[{"transcript":"","confidence":1.0}]}'
)


class Alternative(msgspec.Struct):
    """One transcript of a chunk; see `Response`."""

    transcript: str
    confidence: float = 1.0


class Word(msgspec.Struct):
    """A word that a response completes; an addition of this server."""

    word: str
    start: float
    end: float
    confidence: float


class Response(msgspec.Struct):
    """What one chunk adds to the transcript.

    Attributes:
        start, end: of the chunk, seconds since the stream began.
        is_provisional: whether the next response replaces it.
        alternatives: best first.
        words, end_of_utterance: additions of this server.
    """

    start: float
    end: float
    is_provisional: bool
    alternatives: list[Alternative]
    words: list[Word] | msgspec.UnsetType = msgspec.UNSET
    end_of_utterance: bool | msgspec.UnsetType = msgspec.UNSET


read_response = msgspec.json.Decoder(Response).decode


def messages_until(end: float) -> int:
    """Return how many messages of `CHUNK` samples it takes to the end of a response, seconds."""
    return -(-round(end * SAMPLE_RATE) // CHUNK)


def pcm_bytes(samples: Floats) -> bytes:
    """Return samples as signed 16-bit little-endian; what came from 16 bits is the same again."""
    return np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2").tobytes()
