"""The NumPy backend: the readable reference, in float32 or in Myrtle's block floating point."""

from __future__ import annotations

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from stream.encoders.lstm import lstm_stack
from stream.model.network import TIME_STACK, Network
from stream.stage import Array, State

__all__ = ["NumpyBackend", "join_pairs", "load"]


def load(network: Network, threads: int = 1) -> NumpyBackend:
    """Build the backend from a network; BLAS has the threads it has."""
    return NumpyBackend(network)


def join_pairs(h: Array, present: Array | None = None) -> Array:
    """Join encoder frames in pairs, oldest first: (B, S, H) -> (B, S/2, 2H).

    Args:
        h: S even.
        present: (B, S) bool, False where a frame lies past the end of its stream and counts as zeros.
    """
    xp = array_namespace(h)
    if present is not None:
        h = xp.where(present[:, :, None], h, xp.zeros_like(h))
    batch, frames, hidden = h.shape
    return xp.reshape(h, (batch, frames // TIME_STACK, TIME_STACK * hidden))


class NumpyBackend:
    """A `Backend` of the stages in `stream.encoders.lstm`; computes in the float dtype of its input."""

    def __init__(self, network: Network) -> None:
        self.specification = spec = network.specification
        self._pre, self._post, self._lstm = (
            lstm_stack(list(network.layers(name)), spec.activation, spec.number_format)
            for name in ("encoder.pre", "encoder.post", "prediction.lstm")
        )
        arrays = network.arrays
        # The start of a sequence is a zero vector: one more row, at the id of blank.
        self._embedding = np.vstack(
            [arrays["prediction.embedding"], np.zeros((1, spec.prediction_hidden), np.float32)]
        )
        self._linear = {
            name: (
                np.ascontiguousarray(arrays[f"joint.{name}.weight"].T),
                arrays[f"joint.{name}.bias"],
            )
            for name in ("encoder", "prediction", "output")
        }

    def initial_state(self, batch: int) -> tuple[State, State]:
        """Return zeros."""
        encoder = (self._pre.initial_state(batch), self._post.initial_state(batch))
        return encoder, self._lstm.initial_state(batch)

    def encode(
        self, x: NDArray[np.float32], state: State, present: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.float32], State]:
        """Encode stacked frames; see `Backend`."""
        pre, post = state
        h, pre = self._pre.step(x, pre)
        h, post = self._post.step(join_pairs(h, present), post)
        return self._project("encoder", h), (pre, post)

    def predict(self, tokens: NDArray[np.int64], state: State) -> tuple[NDArray[np.float32], State]:
        """Advance the prediction network by one token a row; see `Backend`."""
        h, state = self._lstm.step(self._embedding[tokens][:, None, :], state)
        return self._project("prediction", h[:, 0]), state

    def join(self, f: NDArray[np.float32], g: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the logits; see `Backend`."""
        return self._project("output", np.maximum(f + g, 0.0))

    def _project(self, name: str, x: NDArray[np.float32]) -> NDArray[np.float32]:
        weight, bias = self._linear[name]
        return np.asarray(x @ weight + bias)
