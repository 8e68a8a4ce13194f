"""Backends: one model, several ways to compute it, all with the same few calls.

A backend computes encoder, prediction network and joint and nothing else: features come in normalised
and stacked, logits go out. Arrays are NumPy's, whatever a backend computes with; every state leaf has
the batch axis first. `stream.backends.states` holds encoder states of many rows; `stream.decoding` picks
tokens from logits.
"""

from __future__ import annotations

import importlib
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stream.extras import explain_missing_extras
from stream.model.network import Network
from stream.model.specification import Specification
from stream.stage import State

Floats = NDArray[np.float32]
Logits: TypeAlias = NDArray[np.float32] | NDArray[np.float64]


class Backend(Protocol):
    """The calls. B rows, n input frames of the encoder, J joint size, C = V + 1 classes."""

    specification: Specification

    def initial_state(self, batch: int) -> tuple[State, State]:
        """Return the states of encoder and prediction network at the start of a stream."""

    def encode(
        self, x: Floats, state: State, present: NDArray[np.bool_] | None = None
    ) -> tuple[Floats, State]:
        """Encode input frames.

        Args:
            x: (B, n, inputs) normalised and stacked, whole chunks.
            state: of the encoder.
            present: (B, n); False where a frame lies past the end of its stream and counts for
                nothing. None: all are present.
        Returns:
            f, (B, frames, J), projected to the joint size, and the state after the last frame.
        """

    def predict(self, tokens: NDArray[np.int64], state: State) -> tuple[Floats, State]:
        """Advance the prediction network by one token per row; blank is the start of a sequence.

        Returns:
            g, (B, J), projected to the joint size, and the state after the token.
        """

    def join(self, f: Floats, g: Floats) -> Logits:
        """Return the logits (B, C) of f and g, each (B, J).

        Float64 only from a backend whose logits float32 does not hold exactly.
        """

    def ctc(self, f: Floats) -> Floats:
        """Return CTC's log-probabilities (B, T, C) of f, (B, T, J), of a model with a CTC head."""


# By name: torch's stands in train, on which stream does not stand.
BACKENDS = {
    "numpy": "stream.backends.numpy",
    "onnx": "stream.backends.onnx",
    "int8": "stream.backends.int8",
    "integer": "stream.backends.integer",
    "integer-onnx": "stream.backends.integer_onnx",
    "bfp16": "stream.backends.bfp16",
    "torch": "train.backend",
    "torch-integer": "train.integer_backend",
}


def load_backend(name: str, network: Network, threads: int = 1) -> Backend:
    """Build the backend of that name from a network.

    Args:
        name: of `BACKENDS`.
        threads: of one operator, where the backend has its own; NumPy's and torch's are set for the
            process.
    Raises:
        ValueError: there is no such backend.
        ModelError: it cannot compute this network.
        MissingExtraError: it needs a package that is not installed.
    """
    if name not in BACKENDS:
        raise ValueError(f"no backend {name!r}; there are {', '.join(BACKENDS)}")
    with explain_missing_extras():
        backend: Backend = importlib.import_module(BACKENDS[name]).load(network, threads)
        return backend


def default_backend(network: Network) -> str:
    """Return what a model is for: "onnx" of a model directory, else "integer" or "numpy"."""
    if network.path is not None and network.path.is_dir():
        return "onnx"
    return "numpy" if network.specification.quantisation is None else "integer"


def computed_by(name: str, network: Network) -> Network:
    """Return the network in the arithmetic that the backend of that name computes it in."""
    if name in ("integer", "integer-onnx", "torch-integer"):
        return network
    return network.in_bfp16() if name == "bfp16" else network.in_float()
