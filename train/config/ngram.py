"""Configuration of the n-gram model that a run's checkpoints carry."""

from __future__ import annotations

import msgspec


class NgramConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An n-gram model over the tokenizer's pieces, for beam search; training does not use it.

    Attributes:
        path: KenLM's binary.
        weight: factor of its log-probabilities.
        word_bonus, unknown_penalty, internal_weight: of `stream.language_model.fusion.Fusion`.
    """

    path: str
    weight: float = 0.05
    word_bonus: float = 0.0
    unknown_penalty: float = 0.0
    internal_weight: float = 0.0
