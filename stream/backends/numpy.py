"""The NumPy backend: the readable reference, in float32 or in Myrtle's block floating point."""

from __future__ import annotations

import numpy as np

from stream.backends import Backend
from stream.model.network import Network
from stream.stage import Floats, Integers, Mask, State


def load(network: Network, threads: int = 1) -> NumpyBackend:
    """Build the backend from a network; BLAS has the threads it has."""
    return NumpyBackend(network)


class NumpyBackend(Backend):
    """A backend of the model's families by NumPy; computes in the float dtype of its input."""

    def __init__(self, network: Network) -> None:
        self.specification = spec = network.specification
        self._encoder, self._prediction = spec.encoder, spec.prediction
        self.caches = self._encoder.caches
        self._encoder_arrays = self._encoder.prepare(network.arrays)
        if "transducer" in spec.heads:
            self._prediction_arrays = self._prediction.prepare(network.arrays)
        names = ("joint.encoder", "joint.prediction", "joint.output", "ctc")
        self._linear = {
            name: (np.ascontiguousarray(layer["weight"].T), layer["bias"])
            for name in names
            if (layer := network.layer(name))
        }

    def initial_state(self, batch: int) -> tuple[State, State]:
        """Return the families' initial states; that of a model without a prediction network is empty."""
        transduces = "transducer" in self.specification.heads
        prediction = self._prediction.initial_state(batch) if transduces else ()
        return self._encoder.initial_state(batch), prediction

    def encode(self, x: Floats, state: State, present: Mask | None = None) -> tuple[Floats, State]:
        h, state = self._encoder.step(self._encoder_arrays, x, state, present)
        return self._project("joint.encoder", h), state

    def advance(self, x: Floats, state: State, present: Mask | None = None) -> tuple[Floats, State]:
        """Encode a chunk; see `stream.encoders.family.Encoder.advance`."""
        h, new = self._encoder.advance(self._encoder_arrays, x, state, present)
        return self._project("joint.encoder", h), new

    def predict(self, tokens: Integers, state: State) -> tuple[Floats, State]:
        h, state = self._prediction.step(self._prediction_arrays, tokens[:, None], state)
        return self._project("joint.prediction", h[:, 0]), state

    def join(self, f: Floats, g: Floats) -> Floats:
        return self._project("joint.output", np.maximum(f + g, 0.0))

    def ctc(self, f: Floats) -> Floats:
        logits = self._project("ctc", np.maximum(f, 0.0))
        logits -= logits.max(axis=2, keepdims=True)
        return np.asarray(logits - np.log(np.exp(logits).sum(axis=2, keepdims=True)))

    def _project(self, name: str, x: Floats) -> Floats:
        weight, bias = self._linear[name]
        return np.asarray(x @ weight + bias)
