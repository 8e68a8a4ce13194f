"""The interface of a prediction network family: tokens in, one vector after each of them out.

A family is a frozen msgspec struct of its sizes, tagged with its name, with the methods below; it holds
no arrays. Its first array is "prediction.embedding", (vocabulary, n); the start of a sequence, which has
the id of blank, is a zero vector there.
"""

from __future__ import annotations

from array_api_compat import array_namespace, device

from stream.encoders.family import Arrays, Family
from stream.stage import Array, State

EMBEDDING = "prediction.embedding"


class Prediction(Family):
    """A prediction network of one family and size."""

    __slots__ = ()

    def shapes(self, vocabulary: int) -> dict[str, tuple[int, ...]]:
        """Return the shape of each array by its name, which begins with "prediction."."""
        raise NotImplementedError

    def step(self, arrays: Arrays, tokens: Array, state: State) -> tuple[Array, State]:
        """Read tokens; written over their array namespace, as `Encoder.step` is.

        Args:
            arrays: as `prepare` returns them.
            tokens: (batch, n) int64; the id of blank stands for the start of a sequence.
            state: before the tokens.
        Returns:
            (batch, n, size), and the state after them.
        """
        raise NotImplementedError


def with_start(table: Array) -> Array:
    """Return the embedding, (V, n), with one more row: the zero vector of the start of a sequence."""
    xp = array_namespace(table)
    start = xp.zeros((1, table.shape[1]), dtype=table.dtype, device=device(table))
    return xp.concat([table, start], axis=0)


def embed(table: Array, tokens: Array) -> Array:
    """Return the rows of tokens, (batch, n) -> (batch, n, size)."""
    xp = array_namespace(table)
    rows = xp.take(table, xp.reshape(tokens, (-1,)), axis=0)
    return xp.reshape(rows, (*tokens.shape, table.shape[1]))
