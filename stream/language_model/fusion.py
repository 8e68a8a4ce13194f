"""Shallow fusion: how much a language model counts in a beam search.

The score of a hypothesis is

    log p(text | audio) + weight log p(text) + word_bonus words - unknown_penalty unknown - internal_weight log p_i(text)

with natural logarithms, where `words` begin with the word mark, `unknown` are those that the language model lacks, and
p_i is what the transducer has learned of texts from its transcripts, by its prediction network alone: the joint's
probabilities with a zero vector in place of the encoder's, without blank (Variani et al., 2020, hybrid autoregressive
transducer; Meng et al., 2021, internal language model estimation). A CTC head has no such part.

The field calls the weight alpha and the word bonus beta.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Protocol, TypeAlias

from stream.errors import ArgumentError
from stream.model.network import NgramFile

Context: TypeAlias = Any  # a hashable value


@dataclass(frozen=True)
class Fusion:
    """How much a language model counts.

    Attributes:
        weight: factor of its log-probabilities.
        word_bonus: added for each word, natural log; negative for fewer words.
        unknown_penalty: subtracted for each word that it does not know, natural log.
        internal_weight: factor of the log-probabilities of the transducer's internal language model, which are subtracted.
    Raises:
        ArgumentError: one of them is not a finite number.
    """

    weight: float
    word_bonus: float = 0.0
    unknown_penalty: float = 0.0
    internal_weight: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            if not math.isfinite(value := getattr(self, field.name)):
                name = field.name.replace("_", "-")
                raise ArgumentError(f"n-gram: {name} is {value}, wants a finite number")

    @staticmethod
    def of(fusion: Fusion | float) -> Fusion:
        """Return a fusion; of a number, one with that weight alone."""
        return fusion if isinstance(fusion, Fusion) else Fusion(fusion)


def carried(ngram: NgramFile) -> Fusion | None:
    """Return how much the language model that a model carries counts; None: the model does not say."""
    if ngram.weight is None:
        return None
    return Fusion(ngram.weight, ngram.word_bonus, ngram.unknown_penalty, ngram.internal_weight)


class LanguageModel(Protocol):
    """What a beam search asks of a language model: contexts are values, and no context depends on another.

    Attributes:
        start: context at the start of a stream.
    """

    start: Context

    def step(self, context: Context, token: int) -> tuple[float, Context]:
        """Return what a token adds to the score, and the context after it."""
        ...

    def ending(self, context: Context) -> float:
        """Return what the score still lacks where a text ends."""
        ...
