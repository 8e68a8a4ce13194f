"""Calibration: run a network on recordings, for the ranges of int8 and the rate of tokens.

The recordings pass front end, normaliser and encoder once, in float32, each as a separate stream
(`export.checks.tracer`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np

from export.checks.tracer import batches
from export.onnx.ranges import Ranges
from stream.backends import Backend, Logits
from stream.decoding.greedy import Greedy, Token
from stream.engine.streams import Progress
from stream.manifest import Utterance
from stream.model.network import Network
from stream.stage import Floats, Integers


class Calibration:
    """A network on recordings.

    Args:
        backend: that computes it, in float32; for `ranges` one that watches the layers of a family which
            has to be calibrated (`export.onnx.watched`).
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
        self._network, self._backend = network, backend
        self.seconds = self.x = 0.0
        # f (B, T, J), projected encoder frames; (B,) frames that count.
        self._batches: list[tuple[Floats, Integers]] = []
        done = 0
        for x, present, seconds in batches(network, utterances):
            self.seconds += seconds
            self.x = max(self.x, float(np.abs(x).max()))
            f, _ = backend.encode(x, backend.initial_state(len(x))[0], present)
            self._batches.append((f, network.specification.encoder.frames(present.sum(1))))
            done += len(x)
            if progress:
                progress(done, len(utterances))

    def outputs(self) -> Iterator[Floats]:
        """Yield f of each recording, (frames, J)."""
        for f, lengths in self._batches:
            for row, length in zip(f, lengths, strict=True):
                yield row[:length]

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
        self.decode(cast(Backend, watched))
        return watched.largest

    def ranges(self) -> Ranges:
        """Return the ranges that int8 needs for what was computed."""
        from export.onnx.prediction import prediction_of

        layers: Mapping[str, float] = getattr(self._backend, "layers", {})
        if "transducer" not in self._network.specification.heads:
            return Ranges(self.x, None, layers)
        bounds = prediction_of(self._network.specification).ranges(self._network)
        return Ranges(self.x, self.joint(), {**layers, **bounds})


class _Watched:
    """A backend that remembers the largest element of the joint's hidden vector."""

    def __init__(self, backend: Backend) -> None:
        self._backend, self.largest = backend, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def join(self, f: Floats, g: Floats) -> Logits:
        if len(f):
            self.largest = max(self.largest, float((f + g).max()))
        return self._backend.join(f, g)
