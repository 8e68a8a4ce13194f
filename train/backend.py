"""The torch backend: a `Network` computed by the training module, as a `stream.backends.Backend`."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stream.backends import Logits
from stream.model.network import Network
from stream.stage import State, map_state
from train.model import Transducer

__all__ = ["TorchBackend", "load"]


def load(network: Network, threads: int = 1) -> TorchBackend:
    """Build the backend from a network, in its number format.

    A quantisation is left aside: `train.integer_backend` computes its integers.
    """
    return TorchBackend(Transducer.from_network(network.in_float()))


class TorchBackend:
    """A `Backend` of a module in evaluation mode; also what validates a model that is still training."""

    def __init__(self, module: Transducer) -> None:
        self.module = module
        self.specification = module.specification

    def initial_state(self, batch: int) -> tuple[State, State]:
        """Return zeros."""
        encoder, prediction = map_state(_array, self.module.initial_state(batch))
        return encoder, prediction

    @torch.inference_mode()
    def encode(
        self, x: NDArray[np.float32], state: State, present: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.float32], State]:
        """Encode input frames; see `Backend`."""
        mask = None if present is None else torch.from_numpy(present)
        f, state = self.module.encode(torch.from_numpy(x), map_state(torch.from_numpy, state), mask)
        return _array(f), map_state(_array, state)

    @torch.inference_mode()
    def predict(self, tokens: NDArray[np.int64], state: State) -> tuple[NDArray[np.float32], State]:
        """Advance the prediction network by one token a row; see `Backend`."""
        g, state = self.module.predict(
            torch.from_numpy(tokens)[:, None], map_state(torch.from_numpy, state)
        )
        return _array(g[:, 0]), map_state(_array, state)

    @torch.inference_mode()
    def join(self, f: NDArray[np.float32], g: NDArray[np.float32]) -> Logits:
        """Return the logits; see `Backend`."""
        logits: Logits = self.module.join(torch.from_numpy(f), torch.from_numpy(g)).numpy()
        return logits

    @torch.inference_mode()
    def ctc(self, f: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return CTC's log-probabilities; see `Backend`."""
        return _array(self.module.ctc_log_probabilities(torch.from_numpy(f)))


def _array(value: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = value.detach().numpy()
    return array
