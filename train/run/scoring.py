"""The word error rate of a model in training on the dev set, by corpus."""

from __future__ import annotations

from collections.abc import Sequence

from stream.error_rate import word_error_rate
from stream.front_end.normaliser import Normaliser
from stream.vocabulary import Vocabulary
from train.evaluation import tokens_of_all
from train.model import Transducer
from train.run.start import Material

__all__ = ["dev_error_rates"]


def dev_error_rates(
    module: Transducer, normaliser: Normaliser, vocabulary: Vocabulary, material: Material
) -> dict[str, float]:
    """Decode the dev set; return the word error rate of `all` and of each corpus, fractions.

    Args:
        module: in evaluation mode.
        normaliser: with the statistics that every utterance starts from.
    """
    found = tokens_of_all(module, normaliser, material.dev_audio)
    texts = [vocabulary.decode([token for token, _ in tokens]) for tokens in found]
    corpora = {"all": list(range(len(texts)))}
    for i, utterance in enumerate(material.dev):
        corpora.setdefault(utterance.corpus or "unnamed", []).append(i)

    def rate(rows: Sequence[int]) -> float:
        return word_error_rate([material.dev[i].text for i in rows], [texts[i] for i in rows]).wer

    return {name: rate(rows) for name, rows in corpora.items()}
