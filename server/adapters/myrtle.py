"""Myrtle's websocket API, as a dialect. What a request may ask for is in `server.live.request`.

Messages are defined in `server.adapters.myrtle_messages`. Times are seconds from the start of the
stream. Rules of the audio, besides those of `server.protocol.states`:

1. Audio is cut into chunks, whatever the messages contain, even within a sample. Each chunk, 1920 bytes
   (60 ms) of an LSTM, gets a response, with or without text, in order: clients in lock-step wait for it.
   It is exactly one, unless text becomes final while other text stays provisional: then the final
   response is followed by the provisional one.
2. An empty binary message ends the stream. One closing response follows, then Close 1000.
3. If half a sample is left at the end, all text is sent as in rule 2, but the Close is 1008 and
   gives the reason: the client's audio is damaged, or not in the format it claims.
4. Audio after the end is a mistake of the client: it is ignored, and the Close is 1008 as in 3.
5. Text messages are not part of this API: Close 1003.

Rules of a response:

6. Final text never changes; provisional text follows it and is replaced by the next response.
   `start` and `end` are the chunk's, except where there is provisional text: then `start` is that of
   its first token until some of it is final, and after that the `end` of the final response.
7. `confidence` is the probability of the least certain token. After the documented keys, and only
   where they are not empty, come `words`, those that the response completes (see
   `server.protocol.running_words`), and `end_of_utterance`. In strict mode `confidence` is 1.0 and
   nothing is added, as in Myrtle's server.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec
import numpy as np

from server.adapters.myrtle_messages import (
    NOTHING,
    SAMPLE_BYTES,
    Alternative,
    Response,
    Word,
)
from server.protocol.running_words import RunningWords
from server.protocol.states import State
from server.protocol.stream import Dialect, StreamProtocol
from stream.decoding.greedy import Token
from stream.decoding.hypothesis import Hypothesis
from stream.engine.engine import Result
from stream.front_end.log_mel import SAMPLE_RATE


class Myrtle(Dialect):
    """One client of Myrtle's API.

    Args:
        alternatives: the largest number that a response may hold.
        strict: whether responses have nothing that Myrtle's server does not send.
    """

    rate = SAMPLE_RATE
    end = "an empty one"

    def __init__(self, alternatives: int = 1, strict: bool = False) -> None:
        self._alternatives = alternatives
        self._strict = strict
        self._words = RunningWords()
        self._since: float | None = None  # rule 6: where the provisional text begins

    def receive_audio(self, stream: StreamProtocol, message: bytes) -> None:
        """Take PCM; an empty message is the end of the stream."""
        if stream.state is not State.OPEN:
            if message:
                stream.note_mistake("400 audio after the empty message that ends a stream")
        elif message:
            stream.push(np.frombuffer(stream.whole_frames(message, SAMPLE_BYTES), "<i2"))
        else:
            damaged = stream.ends_within_a_frame
            stream.receive_end()
            if damaged:
                stream.note_mistake("400 the audio ends within a 16-bit sample; want raw S16LE")

    def receive_text(self, stream: StreamProtocol, text: str) -> None:
        """Take a text message, which is a mistake."""
        stream.close(1003, f"text message of {len(text)} characters; send audio as binary ones")

    def send_result(self, stream: StreamProtocol, result: Result) -> None:
        """Answer a chunk, or close the stream with the last result."""
        said = result.text or result.tokens or result.provisional or result.last or result.endpoint
        if not said and self._since is None:
            stream.send(NOTHING % (result.start, result.end))
            return
        if result.text or not result.provisional:
            stream.send(self._final(result))
        if result.provisional:
            stream.send(self._provisional(result))

    def _final(self, result: Result) -> str:
        start = result.start if self._since is None else self._since
        self._since = None
        response = Response(
            _short(start),
            _short(result.end),
            False,
            [self._alternative(result.text, result.tokens)],
        )
        if not self._strict:
            words = [
                Word(word.text, word.start, word.end, _short(word.confidence))
                for word in self._words.add(result)
            ]
            response.words = words or msgspec.UNSET
            response.end_of_utterance = result.endpoint or msgspec.UNSET
        return _encode(response)

    def _provisional(self, result: Result) -> str:
        best: Hypothesis = result.provisional[0]
        if self._since is None:
            step = best.tokens[0].step if best.tokens else None
            begins = result.start if step is None else result.frame_seconds * step
            self._since = result.end if result.text else begins
        alternatives = [
            self._alternative(each.text, each.tokens)
            for each in result.provisional[: self._alternatives]
        ]
        return _encode(Response(_short(self._since), _short(result.end), True, alternatives))

    def _alternative(self, text: str, tokens: Iterable[Token]) -> Alternative:
        least = 0.0 if self._strict else min((each.log_probability for each in tokens), default=0.0)
        return Alternative(text, _short(math.exp(min(least, 0.0))))


def _encode(response: Response) -> str:
    return msgspec.json.encode(response).decode()


def _short(value: float) -> float:
    """Round for the wire: 0.06 * 3 is 0.18, not 0.18000000000000002; a sample takes 0.0001 s."""
    return round(value, 4)
