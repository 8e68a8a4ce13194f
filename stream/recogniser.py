"""Recogniser: one channel, samples in, results out. A thin engine of one slot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream.backends import Backend, load_backend
from stream.decoding.decoding import Decoding, Search
from stream.decoding.greedy import Token
from stream.engine.engine import Engine, Result
from stream.engine.front_end import FrontEndKind
from stream.model.network import Network, open_model


class Recogniser:
    """Recognises one stream after another.

    Args:
        model: a path that `open_model` takes, or a network.
        backend: the name of one of `stream.backends.BACKENDS`, or one that computes the model.
        decoding: greedy or beam search, and what goes with it; None: greedy.
        front_end: the model's in float, or the same in fixed point.
    """

    def __init__(
        self,
        model: str | Path | Network,
        backend: str | Backend = "numpy",
        decoding: Decoding | Search | None = None,
        front_end: FrontEndKind = "float",
    ) -> None:
        network = model if isinstance(model, Network) else open_model(model)
        self.network = network
        computed = load_backend(backend, network) if isinstance(backend, str) else backend
        self._engine = Engine(network, computed, 1, decoding, front_end)
        self._slot = self._engine.open() or 0

    def push(self, samples: NDArray[np.float32]) -> list[Result]:
        """Recognise more of a stream, (n,) float32 at 16 kHz; one result for every chunk of the model."""
        self._engine.push(self._slot, samples)
        return self._run()

    def finish(self) -> list[Result]:
        """End the stream; the last result has `last` set. Then `reset` begins another."""
        self._engine.finish(self._slot)
        return self._run()

    def reset(self, *, keep_statistics: bool = False) -> None:
        """Begin a new stream, with the running statistics as they are or fresh."""
        self._engine.restart(self._slot, keep_statistics=keep_statistics)

    def transcribe(self, samples: NDArray[np.float32]) -> tuple[str, list[Token]]:
        """Recognise a whole recording as a stream of its own; returns its text and tokens."""
        self.reset()
        results = self.stream(samples)
        self.reset()
        tokens = [token for result in results for token in result.tokens]
        return "".join(result.text for result in results).strip(), tokens

    def stream(
        self, samples: NDArray[np.float32], cuts: Sequence[int] | NDArray[np.int64] = ()
    ) -> list[Result]:
        """Recognise a whole stream, handed in by pieces that end at the cuts, samples from its start."""
        results = []
        for piece in np.split(samples, cuts):
            results += self.push(piece)
        return results + self.finish()

    def _run(self) -> list[Result]:
        results = []
        while self._engine.pending():
            results += self._engine.tick()
        return results
