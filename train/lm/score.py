"""Perplexity: how well a language model predicts texts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from stream.errors import InputError
from stream.language_model.fusion import LanguageModel


def perplexity(
    ngram: LanguageModel, texts: Iterable[Sequence[int]], words: int
) -> tuple[float, float]:
    """Return the perplexity a token and a word, of texts without their ends.

    Args:
        ngram: language model with the weight 1.
        texts: each its tokens.
        words: of all texts.
    Raises:
        InputError: there is not one token.
    """
    total, count = 0.0, 0
    for tokens in texts:
        context = ngram.start
        for token in tokens:
            score, context = ngram.step(context, token)
            total, count = total - score, count + 1
        total -= ngram.ending(context)
    if not count or not words:
        raise InputError("perplexity: there is no text")
    return math.exp(total / count), math.exp(total / words)
