"""Configuration of the n-gram model that a run's checkpoints carry."""

from __future__ import annotations

import msgspec


class NgramConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An n-gram model over the tokenizer's pieces, for beam search; training does not use it.

    Attributes:
        path: KenLM's binary.
        weight: factor of its log-probabilities.
    """

    path: str
    weight: float = 0.05
