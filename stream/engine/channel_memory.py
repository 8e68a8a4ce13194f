"""The memory that a channel of an engine takes, by length of chunk."""

from __future__ import annotations

from stream.backends import load_backend
from stream.engine.engine import Engine
from stream.model.network import Network


def channel_bytes(network: Network) -> dict[int, int]:
    """Return the memory of a channel in float32, decoded greedily, by length of chunk in milliseconds.

    It is the encoder's states and caches, those of the prediction network and the front end, and the ring of
    samples. Caches are as long as the longest chunks want, whichever are in use; the ring holds some chunks.
    """
    backend = load_backend("numpy", network)
    return {
        ms: Engine(network.with_chunk(ms), backend, 1).channel_bytes
        for ms in network.specification.encoder.chunk_lengths
    }


def megabytes(found: dict[int, int]) -> str:
    """Return the memory of a channel for people."""
    if len(found) == 1:
        return f"{next(iter(found.values())) / 1e6:.3g} MB"
    return ", ".join(f"{size / 1e6:.3g} MB in chunks of {ms} ms" for ms, size in found.items())
