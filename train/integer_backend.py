"""The torch-integer backend: a `Network` in integers, by the module that trains it.

Its forward pass is `stream.integer.network`'s, value by value.
"""

from __future__ import annotations

from stream.integer.network import to_integers
from stream.model.network import Network
from train.backend import TorchBackend
from train.model import Transducer


def load(network: Network, threads: int = 1) -> TorchBackend:
    """Build the backend from a network with a quantisation.

    Raises:
        ModelError: the network has none, or its integers may overflow.
    """
    to_integers(network)
    return TorchBackend(Transducer.from_network(network))
