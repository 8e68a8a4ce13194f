r"""vosk-server's websocket protocol, as a dialect.

Audio is binary: PCM, signed 16 bits little-endian, mono, at 8 kHz unless the client's first message
{"config": {"sample_rate": 16000, "words": true, "max_alternatives": 0}} says otherwise. JSON has
vosk's format: sorted keys, two spaces of indentation, " : ", six decimals.

Rules:

1. Each binary message gets exactly one reply, once all of its whole chunks are recognised: the result
   of the segments that ended within it, else the partial text since the last result. Clients in
   lock-step wait for it.
2. {"eof" : 1} ends the stream: a final result, then Close 1000. {"reset" : 1} gets a final result
   and starts a new stream, whose times continue.
3. A config is obeyed before the first audio only, and has no reply. Its numbers may be strings, and
   its booleans 0 and 1, since vosk converts any type. `model` has to be the one that is served;
   `max_alternatives` is a limit, and there is one alternative. Unknown keys are ignored. The words of
   its first `phrase_list` become hotwords, not the only possible words; those that the model cannot
   spell ("[unk]") are left out, as by vosk.
4. A sample may be split between messages; half a one at the end of a stream is dropped.
5. Other text is an error of the client: Close 1003, or 1008 for a config that cannot be served.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec
import numpy as np

from server.protocol.hotwords import Speller
from server.protocol.states import State
from server.protocol.stream import Dialect, StreamProtocol
from server.refusals import quoted
from stream.audio import HIGHEST_RATE, LOWEST_RATE
from stream.engine.engine import Result
from stream.transcripts.transcript import OpenSegment, Segment, TimedWord, confidence, timed_words

SAMPLE_BYTES = 2
Json: TypeAlias = "str | float | Sequence[Json] | Mapping[str, Json]"


class _Config(msgspec.Struct):
    sample_rate: float | None = None
    words: bool | None = None
    max_alternatives: int | None = None
    phrase_list: list[str] | None = None
    model: str | None = None


class _Message(msgspec.Struct):
    config: _Config | None = None
    eof: object = None
    reset: object = None


class Vosk(Dialect):
    """One client of vosk-server's protocol.

    Args:
        speller: of its hotwords.
        words: whether results have words, unless the client says otherwise.
        models: names of the model that is served.
    """

    rate = 8000  # the default of vosk-server
    end = 'the text message {"eof" : 1}'

    def __init__(
        self,
        speller: Speller | None = None,
        words: bool = True,
        models: Sequence[str] = ("general",),
    ) -> None:
        self._models = models
        self._speller = speller or Speller()
        self._has_hotwords = False  # whether the stream has hotwords
        self._segment = OpenSegment()
        self._words = words
        self._alternatives = 0
        self._heard_audio = False
        self._completed: list[Segment] = []  # not yet in a reply
        self._decoded = False  # anything since the last result
        # Replies that are due, as (cuts before, results of that stream before).
        self._due: deque[tuple[int, int]] = deque()
        self._cuts_said = 0
        self._cuts = 0
        self._results = 0

    def receive_audio(self, stream: StreamProtocol, message: bytes) -> None:
        """Take PCM; rule 1."""
        if stream.state is not State.OPEN:
            return
        self._heard_audio = True
        samples = np.frombuffer(stream.whole_frames(message, SAMPLE_BYTES), "<i2")
        results = stream.push(samples)
        self._due.append((self._cuts_said, results))
        self._reply(stream)

    def receive_text(self, stream: StreamProtocol, text: str) -> None:
        """Take a command; rules 2, 3 and 5."""
        if stream.state is not State.OPEN:
            return
        try:
            message = msgspec.json.decode(text, type=_Message, strict=False)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            code, fault = (1008, "400 ") if '"config"' in text else (1003, "")
            stream.close(code, f"{fault}{error}")
            return
        if message.config is not None:
            self._configure(stream, message.config)
        elif message.eof is not None:
            stream.receive_end()
        elif message.reset is not None:
            self._cuts_said += 1
            self._heard_audio = True
            stream.restart()
        else:
            stream.close(1003, "text message without config, eof or reset")

    def send_result(self, stream: StreamProtocol, result: Result) -> None:
        """Send the replies that are due; the last result of a stream is always sent."""
        segment = self._segment.add(result, stream.offset)
        if segment is not None:
            self._completed.append(segment)
        if result.last:
            stream.send(self._result())
            self._cuts += 1
            self._results = 0
        else:
            self._decoded = True
            self._results += 1
        self._reply(stream)

    def _configure(self, stream: StreamProtocol, config: _Config) -> None:
        if self._heard_audio:
            return
        if config.model is not None and config.model not in self._models:
            stream.close(
                1008, f"400 model is {quoted(config.model)}; served is {self._models[0]!r}"
            )
            return
        if config.sample_rate is not None:
            if not LOWEST_RATE <= config.sample_rate <= HIGHEST_RATE:
                stream.close(
                    1008,
                    f"400 sample_rate is {config.sample_rate:g}; want {LOWEST_RATE} to {HIGHEST_RATE}",
                )
                return
            stream.set_rate(round(config.sample_rate))
        if config.words is not None:
            self._words = config.words
        if config.max_alternatives is not None:
            self._alternatives = config.max_alternatives
        if config.phrase_list and not self._has_hotwords:
            words = (word for phrase in config.phrase_list for word in phrase.split())
            keywords = self._speller.spell(self._speller.spellable(words))
            if keywords:
                self._has_hotwords = True
                stream.set_hotwords(keywords)

    def _reply(self, stream: StreamProtocol) -> None:
        while self._due and self._due[0] <= (self._cuts, self._results):
            self._due.popleft()
            if self._completed:
                stream.send(self._result())
            else:
                text = self._segment.text + self._segment.provisional
                stream.send(dump({"partial": text.strip()}))

    def _result(self) -> str:
        """Return what was completed since the last result, and forget it."""
        text = "".join(segment.text for segment in self._completed).strip()
        pieces = [piece for segment in self._completed for piece in segment.pieces]
        self._completed.clear()
        decoded, self._decoded = self._decoded, False
        if not (decoded or text):  # vosk writes these two by hand
            return (
                '{"alternatives" : [{"text": "", "confidence" : 1.0}] }'
                if self._alternatives > 0
                else '{"text": ""}'
            )
        said: dict[str, Json] = {"text": text}
        if self._alternatives > 0:
            said["confidence"] = confidence(pieces)
        if self._words and (words := timed_words(pieces)):
            said["result"] = [self._word(word) for word in words]
        return dump({"alternatives": [said]} if self._alternatives > 0 else said)

    def _word(self, word: TimedWord) -> dict[str, Json]:
        said: dict[str, Json] = {"word": word.text, "start": word.start, "end": word.end}
        if self._alternatives <= 0:
            said["conf"] = word.confidence
        return said


def dump(value: Json, depth: int = 1) -> str:
    """Write JSON as vosk does; `depth` counts the brackets around."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, float):
        return f"{value:.6f}"
    if isinstance(value, Mapping):
        pad = "  " * depth
        members = (f'{pad}"{key}" : {dump(value[key], depth + 1)}' for key in sorted(value))
        return "{\n" + ",\n".join(members) + "\n" + pad[2:] + "}"
    return "[" + ", ".join(dump(element, depth + 1) for element in value) + "]"
