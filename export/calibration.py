"""Calibration: what a network computes on recordings, for the ranges of int8 and for rates.

The recordings go through front end, normaliser and encoder once, in float32, each as a stream of its
own. What is made of them is `export.onnx.int8`'s and `export.random`'s business.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from export.onnx.ranges import Ranges
from stream.backends import Backend, Logits
from stream.decoding.greedy import Greedy, Token
from stream.encoders.lstm import PAIR
from stream.engine.streams import Progress
from stream.front_end.log_mel import SAMPLE_RATE, frame_count, streamed_log_mel
from stream.front_end.stacking import STACK, stack, stacked_count
from stream.manifest import Utterance
from stream.model.network import Network
from stream.stage import whole

__all__ = ["Batch", "Calibration", "batches"]

Floats = NDArray[np.float32]
ROWS = 64  # recordings encoded side by side


class Batch(NamedTuple):
    """Recordings of similar length, as the encoder takes them.

    Attributes:
        x: (B, S, 240) normalised stacked frames, S even.
        present: (B, S), False where a frame lies past the end of its recording.
        seconds: of audio.
    """

    x: Floats
    present: NDArray[np.bool_]
    seconds: float


def batches(network: Network, utterances: Sequence[Utterance]) -> Iterator[Batch]:
    """Yield recordings through front end and normaliser, each as a stream of its own.

    Raises:
        AudioError: a recording cannot be decoded.
        ValueError: there are no recordings.
    """
    if not utterances:
        raise ValueError("calibration: no recordings")
    front_end = network.specification.front_end
    ordered = sorted(utterances, key=lambda utterance: utterance.duration)
    for begin in range(0, len(ordered), ROWS):
        audio = [utterance.read() for utterance in ordered[begin : begin + ROWS]]
        samples = np.zeros((len(audio), max(map(len, audio))), np.float32)
        for row, recording in zip(samples, audio, strict=True):
            row[: len(recording)] = recording
        z = whole(network.normaliser, streamed_log_mel(samples, front_end))
        z = np.pad(z, ((0, 0), (0, -z.shape[1] % (STACK * PAIR)), (0, 0)))
        frames = np.array([frame_count(len(recording), front_end) for recording in audio])
        for row, count in zip(z, frames, strict=True):
            row[count:] = 0.0
        x = stack(z)
        counts = np.array([stacked_count(int(count)) for count in frames])
        present = np.arange(x.shape[1])[None] < counts[:, None]
        yield Batch(x, present, sum(map(len, audio)) / SAMPLE_RATE)


class _Encoded(NamedTuple):
    f: Floats  # (B, T, J), projected encoder frames
    lengths: NDArray[np.int64]  # (B,) frames that count


class Calibration:
    """A network on recordings.

    Args:
        network: the model.
        backend: that computes it, in float32.
        utterances: the recordings; their texts are not looked at.
        progress: called with how many are encoded, and how many there are.
    Attributes:
        seconds: of all recordings.
        x: largest magnitude at the encoder's input.
    Raises:
        AudioError: a recording cannot be decoded.
        ValueError: there are no recordings.
    """

    def __init__(
        self,
        network: Network,
        backend: Backend,
        utterances: Sequence[Utterance],
        progress: Progress | None = None,
    ) -> None:
        self._backend = backend
        self.seconds = self.x = 0.0
        self._batches: list[_Encoded] = []
        done = 0
        for x, present, seconds in batches(network, utterances):
            self.seconds += seconds
            self.x = max(self.x, float(np.abs(x).max()))
            f, _ = backend.encode(x, backend.initial_state(len(x))[0], present)
            self._batches.append(_Encoded(f, -(-present.sum(1) // PAIR)))
            done += len(x)
            if progress:
                progress(done, len(utterances))

    def decode(self, backend: Backend | None = None) -> list[list[Token]]:
        """Decode all recordings greedily.

        Args:
            backend: whose joint and prediction network; None: that of the encoder.
        """
        greedy = Greedy(backend or self._backend)
        tokens = []
        for f, lengths in self._batches:
            tokens += greedy.step(f, greedy.initial_state(len(f)), lengths)[0]
        return tokens

    def rate(self) -> float:
        """Return tokens a second of recording."""
        return sum(map(len, self.decode())) / self.seconds

    def joint(self) -> float:
        """Return the largest element of the joint's hidden vector while all is decoded."""
        watched = _Watched(self._backend)
        self.decode(watched)
        return watched.largest

    def ranges(self) -> Ranges:
        """Return the ranges that int8 needs for what was computed."""
        return Ranges(self.x, self.joint())


class _Watched:
    """A backend that remembers the largest element of the joint's hidden vector."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.specification = backend.specification
        self.initial_state, self.encode = backend.initial_state, backend.encode
        self.predict, self.ctc = backend.predict, backend.ctc
        self.largest = 0.0

    def join(self, f: Floats, g: Floats) -> Logits:
        if len(f):
            self.largest = max(self.largest, float((f + g).max()))
        return self._backend.join(f, g)
