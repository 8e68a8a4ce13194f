"""sherpa-onnx's websocket protocol (the C++ online server), as a dialect.

Audio is binary: little-endian float32 samples in [-1, 1], messages of any size, at 16 kHz unless the
server is told otherwise. Every chunk of 60 ms is answered with one text message, with text or
without. The text message "Done" ends the stream; behind the last result comes "Done!", and then the
client closes. Results look as theirs do, byte for byte:

    { "text": "one", "tokens": [" one"], "timestamps": [0.00], "ys_probs": [-0.100000], ... }

Rules:

1. Text, tokens and times are those of the segment, cumulative, with the best provisional hypothesis
   at the end; times count from `start_time`, at which the segment began.
2. An endpoint makes a result `is_final`; the segment's number grows and its text begins anew.
3. Incomplete samples at the end of a message are dropped, other text messages and audio behind
   "Done" ignored, as theirs does.
4. Samples that are no audio (not finite, or absurdly loud, as other formats are when read as
   float32) close with 1008; theirs stays silent about them.
"""

from __future__ import annotations

from itertools import chain

import numpy as np

from server.conversation import Conversation
from server.protocol import Close, State
from server.transcript import TokenText
from stream.engine import Result, Token
from stream.features import SAMPLE_RATE
from stream.words import FRAME_SECONDS

__all__ = ["Sherpa"]

LOUDEST = 1e4  # int16 samples sent as floats are heard of, and everything is recognisable below


class Sherpa:
    """One client of sherpa-onnx's.

    Args:
        token_text: of the served model.
        rate: of the audio, Hz.
    """

    end = "the text message Done"
    greeting: tuple[str, ...] = ()
    farewell = Close(1000, by_peer=True)

    def __init__(self, token_text: TokenText, rate: int = SAMPLE_RATE) -> None:
        self.rate = rate
        self._token_text = token_text
        self._samples = 0  # received
        self._segment = 0
        self._start = 0.0
        self._text = ""
        self._tokens: list[Token] = []

    def receive_audio(self, channel: Conversation, message: bytes) -> None:
        """Take samples; rules 3 and 4."""
        if channel.state is not State.OPEN:
            return
        samples = np.frombuffer(message, "<f4", count=len(message) // 4)
        with np.errstate(invalid="ignore"):
            bad = np.flatnonzero(~(np.abs(samples) <= LOUDEST))
        if bad.size:
            channel.close(
                1008,
                f"400 sample {self._samples + bad[0]} is {samples[bad[0]]:g}; send float32, "
                "little-endian, in [-1, 1]",
            )
            return
        self._samples += len(samples)
        channel.push(samples.astype(np.float32))

    def receive_text(self, channel: Conversation, text: str) -> None:
        """End the stream if the client says so."""
        if text == "Done":
            channel.receive_end()

    def send_result(self, channel: Conversation, result: Result) -> None:
        """Say the segment so far."""
        self._text += result.text
        self._tokens += result.tokens
        channel.say(self._describe(result))
        if result.endpoint:
            self._segment += 1
            self._start = result.end
            self._text = ""
            self._tokens.clear()
        if result.last:
            channel.say("Done!")

    def _describe(self, result: Result) -> str:
        text, tokens = self._text, self._tokens
        if result.provisional:
            text += result.provisional[0].text
            tokens = list(chain(tokens, result.provisional[0].tokens))
        names = ", ".join(_quoted(self._token_text(token.id)) for token in tokens)
        times = ", ".join(f"{FRAME_SECONDS * token.step - self._start:.2f}" for token in tokens)
        logs = ", ".join(f"{token.log_probability:.6f}" for token in tokens)
        since = tokens[-1].step + 1 if tokens else round(self._start / FRAME_SECONDS)
        blanks = max(0, round(result.end / FRAME_SECONDS) - since)
        return (
            f'{{ "text": {_quoted(text.lstrip(" "))}, "tokens": [{names}], '
            f'"timestamps": [{times}], "ys_probs": [{logs}], "lm_probs": [], '
            f'"context_scores": [], "segment": {self._segment}, "words": [], '
            f'"num_trailing_blanks": {blanks}, "start_time": {self._start:.2f}, '
            f'"is_final": {_boolean(result.endpoint or result.last)}, '
            f'"is_eof": {_boolean(result.last)}}}'
        )


def _quoted(text: str) -> str:
    """Return a JSON string as theirs: nothing but quotes and backslashes is escaped."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _boolean(value: bool) -> str:
    return "true" if value else "false"
