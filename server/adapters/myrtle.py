"""Myrtle's websocket API, as a dialect; what a request may ask for is `server.live.request`.

Audio on the wire is PCM, signed 16 bits little-endian, mono, 16 kHz, in messages of any size. Times
are seconds from the start of the stream. Rules of the audio, besides those of `server.protocol.states`:

1. Audio is cut at chunks, wherever the messages cut it, even within a sample. Each chunk of 1920
   bytes (60 ms) gets a response, with or without text, in order: clients in lock-step wait for it.
   It is exactly one, unless text becomes final while other text stays provisional: then the final
   response is followed by the provisional one.
2. An empty binary message ends the stream. One closing response follows, then Close 1000.
3. If half a sample is left at the end, all text is sent as in rule 2, but the Close is 1008 and
   says so: the client's audio is damaged, or not what it says it is.
4. Audio after the end is a mistake of the client: it is not heard, and the Close is 1008 as in 3.
5. A text message is not part of this API: Close 1003.

Rules of a response:

6. Final text never changes; provisional text follows it and is replaced by the next response.
   `start` and `end` are the chunk's, unless there is provisional text: then `start` is that of its
   first token until some of it is final, and of what follows then, `end`.
7. `confidence` is the probability of the least certain token. Behind the documented keys, and only
   where there is something in them, come `words`, those that the response completes (see
   `server.protocol.running_words`), and `end_of_utterance`. In strict mode `confidence` is 1.0 and nothing
   is added, as Myrtle's server has it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec
import numpy as np

from server.live.request import Parameters
from server.protocol.running_words import RunningWords
from server.protocol.states import Close, State
from server.protocol.stream import Conversation
from stream.engine.engine import Hypothesis, Result, Token
from stream.front_end.log_mel import SAMPLE_RATE
from stream.words import FRAME_SECONDS

__all__ = ["Myrtle"]


SAMPLE_BYTES = 2
# Most responses, and so not worth an encoder; %r writes a float as JSON has it.
NOTHING = (
    '{"start":%r,"end":%r,"is_provisional":false,'
    '"alternatives":[{"transcript":"","confidence":1.0}]}'
)


class _Alternative(msgspec.Struct):
    transcript: str
    confidence: float


class _Word(msgspec.Struct):
    word: str
    start: float
    end: float
    confidence: float


class _Response(msgspec.Struct):
    start: float
    end: float
    is_provisional: bool
    alternatives: list[_Alternative]
    words: list[_Word] | msgspec.UnsetType = msgspec.UNSET
    end_of_utterance: bool | msgspec.UnsetType = msgspec.UNSET


class Myrtle:
    """One client of Myrtle's.

    Args:
        parameters: what it asked for.
        strict: whether responses have nothing that Myrtle's have not.
    """

    rate = SAMPLE_RATE
    end = "an empty one"
    greeting: tuple[str, ...] = ()
    farewell = Close(1000)

    def __init__(self, parameters: Parameters, strict: bool = False) -> None:
        self._parameters = parameters
        self._strict = strict
        self._words = RunningWords()
        self._since: float | None = None  # rule 6: where the provisional text begins

    def receive_audio(self, channel: Conversation, message: bytes) -> None:
        """Take PCM; an empty message is the end of the stream."""
        if channel.state is not State.OPEN:
            if message:
                channel.blame("400 audio after the empty message that ends a stream")
        elif message:
            channel.push(np.frombuffer(channel.whole_frames(message, SAMPLE_BYTES), "<i2"))
        else:
            damaged = channel.ends_within_a_frame
            channel.receive_end()
            if damaged:
                channel.blame("400 the audio ends within a 16-bit sample; want raw S16LE")

    def receive_text(self, channel: Conversation, text: str) -> None:
        """Take a text message, which is a mistake."""
        channel.close(1003, f"text message of {len(text)} characters; send audio as binary ones")

    def send_result(self, channel: Conversation, result: Result) -> None:
        """Answer a chunk, or close the stream with the last result."""
        if result.text or not result.provisional:
            channel.say(self._final(result))
        if result.provisional:
            channel.say(self._provisional(result))

    def _final(self, result: Result) -> str:
        said = result.text or result.tokens or result.last or result.endpoint
        if not said and self._since is None:
            return NOTHING % (_short(result.start), _short(result.end))
        start = result.start if self._since is None else self._since
        self._since = None
        response = _Response(
            _short(start),
            _short(result.end),
            False,
            [self._alternative(result.text, result.tokens)],
        )
        if not self._strict:
            words = [
                _Word(word.text, word.start, word.end, _short(word.confidence))
                for word in self._words.add(result)
            ]
            response.words = words or msgspec.UNSET
            response.end_of_utterance = result.endpoint or msgspec.UNSET
        return _encode(response)

    def _provisional(self, result: Result) -> str:
        best: Hypothesis = result.provisional[0]
        if self._since is None:
            begins = FRAME_SECONDS * best.tokens[0].step if best.tokens else result.start
            self._since = result.end if result.text else begins
        alternatives = [
            self._alternative(each.text, each.tokens)
            for each in result.provisional[: self._parameters.alternatives]
        ]
        return _encode(_Response(_short(self._since), _short(result.end), True, alternatives))

    def _alternative(self, text: str, tokens: Iterable[Token]) -> _Alternative:
        least = 0.0 if self._strict else min((each.log_probability for each in tokens), default=0.0)
        return _Alternative(text, _short(math.exp(min(least, 0.0))))


def _encode(response: _Response) -> str:
    return msgspec.json.encode(response).decode()


def _short(value: float) -> float:
    """Round for the wire: 0.06 * 3 is 0.18, not 0.18000000000000002; a sample takes 0.0001 s."""
    return round(value, 4)
