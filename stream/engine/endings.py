"""Endings: the silence that is computed after a stream, so that its last words come.

A model emits a word some tenths of a second after its sound. A recording that is trimmed behind its last word,
and a client that stops sending when it hears silence, would lose that word. Rules:

1. After the last sample of a stream come `Specification.final_padding` zeros. They are computed at once, as fast
   as the machine can; nothing waits for them to pass. A stream without samples gets none.
2. They are stepped like samples, in the batch of all channels: an ending delays others no more than a channel that
   has fallen behind does.
3. Before them comes a whole chunk, if one waits: a front end with a lead has it only with some of the next one's
   samples. It is heard, muted and stepped as any other, and so is what is left then, less than a chunk, together with
   the zeros.
4. None of these has a result of its own. What they say is in the closing result, and times stay those of the audio.
5. Nobody heard the zeros: they mute nothing, do not count as sound (`stream.engine.mute`), and the running statistics
   that a following stream may keep are those before them.

`stream.front_end.log_mel.streamed_log_mel` does the same to a whole recording, which is how models are trained.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stream.decoding.channels import Speech
from stream.stage import Integers


class Endings:
    """The slots of an engine whose streams have ended and whose closing results are due.

    Args:
        slots: of the engine.
        padding: zeros after a stream, samples.
    Attributes:
        finishing: slots that were told to finish.
        draining: (slots,) bool, those of them that have given all their results but the closing one.
        padded: (slots,) bool, those of them whose zeros wait with what is left of the samples, or are stepped.
        silence: (padding,) float32, the zeros.
    """

    def __init__(self, slots: int, padding: int) -> None:
        self.finishing: set[int] = set()
        self.draining = np.zeros(slots, np.bool_)
        self.padded = np.zeros(slots, np.bool_)
        self.silence = np.zeros(padding, np.float32)
        self._said: dict[int, list[Speech]] = {}

    def forget(self, slot: int) -> None:
        """Begin a new stream in a slot, or none."""
        self.finishing.discard(slot)
        self.draining[slot] = self.padded[slot] = False
        self._said.pop(slot, None)

    def add(self, rows: Integers, speech: Sequence[Speech]) -> None:
        """Keep what a step of some draining slots said."""
        for slot, said in zip(rows.tolist(), speech, strict=True):
            self._said.setdefault(slot, []).append(said)

    def close(self, slot: int, last: Speech) -> Speech:
        """Return all that a slot said since it began to drain, of which `last` came last."""
        self.finishing.discard(slot)
        return _joined([*self._said.pop(slot, ()), last])


def _joined(speech: Sequence[Speech]) -> Speech:
    """Join what was said one after another; it has no endpoint, since the stream ends there."""
    texts: list[str] = []
    rest = ""  # of a character that was cut short: belongs before the next token's text
    for said in speech:
        for text in said.texts:
            texts.append(rest + text)
            rest = ""
        rest += said.rest
    return Speech([token for said in speech for token in said.tokens], texts, rest)
