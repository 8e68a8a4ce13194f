"""The bfp16 backend: any model with its LSTM layers in Myrtle's block floating point, by NumPy."""

from __future__ import annotations

from stream.backends.numpy import NumpyBackend
from stream.model.network import Network


def load(network: Network, threads: int = 1) -> NumpyBackend:
    """Build the backend from a network; BLAS has the threads it has."""
    return NumpyBackend(network.in_bfp16())
