"""Spellings: other ways to cut a text into pieces, drawn instead of the most probable one.

A model that sees `▁left` always as one piece never learns to spell it. Subword regularisation draws one of
the n best segmentations with a probability proportional to its own to the power of alpha.

Source: Kudo (2018), subword regularization, equation 8. The draw is made here, not by SentencePiece, whose
generator is one for the process: equal seeds give equal tokens in any number of workers.
"""

from __future__ import annotations

import numpy as np
import sentencepiece

from stream.errors import ArgumentError


class Spellings:
    """The segmentations of a unigram SentencePiece model.

    Args:
        model: bytes of the model.
        best: number of segmentations that are drawn from; 1 is the most probable one.
        alpha: 0 draws them all alike, 1 as probably as the model says, more prefers the best.
    Raises:
        ArgumentError: the model has one segmentation of a text only (BPE, characters, words).
    """

    def __init__(self, model: bytes, best: int, alpha: float) -> None:
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self._best, self._alpha = best, alpha
        try:
            self._segmentations("a")
        except RuntimeError as error:
            raise ArgumentError(
                "augmentation.spellings wants a unigram tokenizer; this one has a single spelling of a "
                "text (BPE or the like). Leave it at 1"
            ) from error

    def _segmentations(self, text: str) -> list[list[int]]:
        found: list[list[int]] = self._processor.nbest_encode(
            text, out_type=int, nbest_size=self._best
        )
        return found

    def draw(self, text: str, rng: np.random.Generator) -> list[int]:
        """Return the tokens of one spelling of a text."""
        found = self._segmentations(text)
        logarithms = np.array([sum(map(self._processor.get_score, tokens)) for tokens in found])
        weights = np.exp(self._alpha * (logarithms - logarithms.max()))
        return found[int(rng.choice(len(found), p=weights / weights.sum()))]
