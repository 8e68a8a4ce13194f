"""The torch backend: a `Network` computed by the training module, as a `stream.backends.Backend`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stream.backends import Logits
from stream.model.network import Network
from stream.stage import State, map_state
from train.model import Transducer


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
        self._device = next(module.parameters()).device

    def initial_state(self, batch: int) -> tuple[State, State]:
        """Return zeros."""
        encoder, prediction = map_state(_array, self.module.initial_state(batch))
        return encoder, prediction

    @torch.inference_mode()
    def encode(
        self, x: NDArray[np.float32], state: State, present: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.float32], State]:
        """Encode input frames; see `Backend`."""
        mask = None if present is None else self._tensor(present)
        f, state = self.module.encode(self._tensor(x), map_state(self._tensor, state), mask)
        return _array(f), map_state(_array, state)

    @torch.inference_mode()
    def predict(self, tokens: NDArray[np.int64], state: State) -> tuple[NDArray[np.float32], State]:
        """Advance the prediction network by one token a row; see `Backend`."""
        g, state = self.module.predict(
            self._tensor(tokens)[:, None], map_state(self._tensor, state)
        )
        return _array(g[:, 0]), map_state(_array, state)

    @torch.inference_mode()
    def join(self, f: NDArray[np.float32], g: NDArray[np.float32]) -> Logits:
        """Return the logits; see `Backend`."""
        logits: Logits = self.module.join(self._tensor(f), self._tensor(g)).cpu().numpy()
        return logits

    @torch.inference_mode()
    def ctc(self, f: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return CTC's log-probabilities; see `Backend`."""
        return _array(self.module.ctc_log_probabilities(self._tensor(f)))

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self._device)


def _array(value: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = value.detach().cpu().numpy()
    return array
