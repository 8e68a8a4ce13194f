"""sherpa-onnx's websocket protocol (the C++ online server), as a dialect.

Audio is binary: little-endian float32 samples in [-1, 1], messages of any size, at 16 kHz unless the
server is told otherwise. Every chunk, 60 ms of an LSTM, is answered with one text message, with or without
text. The text message "Done" ends the stream; "Done!" follows the last result, and then the client
closes. Results have the format of sherpa-onnx, byte for byte:

    { "text": "one", "tokens": [" one"], "timestamps": [0.00], "ys_probs": [-0.100000], ... }

Rules:

1. Text, tokens and times are those of the segment, cumulative, with the best provisional hypothesis
   at the end; times count from `start_time`, at which the segment began. A token's time is the start
   of its sound once that is known, at the latest where the segment ends, and until then, as in
   sherpa-onnx, that of its encoder frame.
2. An endpoint makes a result `is_final`; the next segment has the next number and starts empty.
3. A sample may be split between messages (sherpa-onnx drops its first part, and reads noise after
   it). Half a sample at the end is dropped; other text messages and audio after "Done" are ignored,
   as by sherpa-onnx.
4. Samples that are no audio (not finite, or absurdly loud, as other formats are when read as
   float32; `stream.audio.LOUDEST`) close with 1008; sherpa-onnx accepts them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from server.protocol.states import Close, State
from server.protocol.stream import Dialect, StreamProtocol
from stream.audio import first_bad_sample
from stream.decoding.hypothesis import Hypothesis
from stream.engine.alignment import Span
from stream.engine.engine import Result
from stream.front_end.log_mel import SAMPLE_RATE

SAMPLE_BYTES = 4


class Sherpa(Dialect):
    """One client of sherpa-onnx's protocol.

    Args:
        rate: of the audio, Hz.
    """

    end = "the text message Done"
    closing = Close(1000, by_peer=True)

    def __init__(self, rate: int = SAMPLE_RATE) -> None:
        self.rate = rate
        self._samples = 0  # received
        self._number = 0
        self._segment = _Segment(0.0)

    def receive_audio(self, stream: StreamProtocol, message: bytes) -> None:
        """Take samples; rules 3 and 4."""
        if stream.state is not State.OPEN:
            return
        samples = np.frombuffer(stream.whole_frames(message, SAMPLE_BYTES), "<f4")
        bad = first_bad_sample(samples)
        if bad is not None:
            stream.close(
                1008,
                f"400 sample {self._samples + bad} is {samples[bad]:g}; send float32, "
                "little-endian, in [-1, 1]",
            )
            return
        self._samples += len(samples)
        stream.push(samples)

    def receive_text(self, stream: StreamProtocol, text: str) -> None:
        """End the stream at "Done"."""
        if text == "Done":
            stream.receive_end()

    def send_result(self, stream: StreamProtocol, result: Result) -> None:
        """Send the segment so far."""
        self._segment.add(result, result.frame_seconds)
        self._segment.time(result.spans)
        segment = self._segment
        if result.provisional:
            best = result.provisional[0]
            segment = replace(segment, emitted=list(segment.emitted))
            segment.add(best, result.frame_seconds)
        stream.send(self._describe(segment, result))
        if result.endpoint:
            self._number += 1
            self._segment = _Segment(result.end)
        if result.last:
            stream.send("Done!")

    def _describe(self, segment: _Segment, result: Result) -> str:
        frame = result.frame_seconds
        since = round(segment.start / frame) if segment.step is None else segment.step + 1
        blanks = max(0, round(result.end / frame) - since)
        times = ", ".join([*segment.times, *segment.emitted])
        return (
            f'{{ "text": {_quoted(segment.text.lstrip(" "))}, "tokens": [{segment.names}], '
            f'"timestamps": [{times}], "ys_probs": [{segment.logs}], "lm_probs": [], '
            f'"context_scores": [], "segment": {self._number}, "words": [], '
            f'"num_trailing_blanks": {blanks}, "start_time": {segment.start:.2f}, '
            f'"is_final": {_boolean(result.endpoint or result.last)}, '
            f'"is_eof": {_boolean(result.last)}}}'
        )


@dataclass
class _Segment:
    """A segment as it is written: every message has all of it, so its lists only grow.

    Attributes:
        start: seconds at which it begins.
        text: of its tokens.
        names, logs: elements of the lists in JSON.
        times: of the tokens whose sound is known; emitted: of those after them.
        step: of the last token.
    """

    start: float
    text: str = ""
    names: str = ""
    logs: str = ""
    times: list[str] = field(default_factory=list)
    emitted: list[str] = field(default_factory=list)
    step: int | None = None

    def add(self, said: Result | Hypothesis, frame_seconds: float) -> None:
        """Add tokens, whose steps count encoder frames."""
        self.text += said.text
        for token, text in zip(said.tokens, said.texts, strict=True):
            comma = "" if self.step is None else ", "
            self.names += comma + _quoted(text)
            self.emitted.append(self._time(frame_seconds * token.step))
            self.logs += f"{comma}{token.log_probability:.6f}"
            self.step = token.step

    def time(self, spans: Sequence[Span]) -> None:
        """Set when the first tokens without a known time sound."""
        self.times += [self._time(span.start) for span in spans]
        del self.emitted[: len(spans)]

    def _time(self, seconds: float) -> str:
        return f"{max(seconds - self.start, 0.0):.2f}"


def _quoted(text: str) -> str:
    """Return a JSON string as sherpa-onnx writes it: only quotes and backslashes are escaped."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _boolean(value: bool) -> str:
    return "true" if value else "false"
