"""What a model in training makes of the dev set: its texts and their error rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stream.encoders.lstm_layer import Activation
from stream.error_rate import ErrorRate, word_error_rate
from stream.model.specification import Head
from stream.stage import Stage
from stream.vocabulary import Vocabulary
from train.compute.ranks import ALONE, Ranks
from train.evaluation import tokens_of_all
from train.model import Transducer
from train.run.material import Material


@dataclass(frozen=True)
class Score:
    """What a model hears in the dev set, by one head.

    Attributes:
        wer: word error rates of `all` and of each corpus, fractions.
        errors: of all.
        tokens: each utterance's, as (id, step).
        texts: what they spell.
    """

    wer: dict[str, float]
    errors: ErrorRate
    tokens: list[list[tuple[int, int]]]
    texts: list[str]


def activations_of(own: Activation) -> tuple[Activation, ...]:
    """Return the activations that a run is scored with, its own first: a soft run is scored hard, too."""
    return ("soft", "hard") if own == "soft" else ("hard",)


def scored(
    module: Transducer,
    normaliser: Stage,
    vocabulary: Vocabulary,
    material: Material,
    head: Head | None = None,
    ranks: Ranks = ALONE,
) -> Score:
    """Decode the dev set and compare it with its references.

    Args:
        module: in evaluation mode.
        normaliser: with the statistics that every utterance starts from.
        head: that decodes; None: the model's first.
        ranks: among which the utterances are divided; each returns the same.
    """
    found: list[list[tuple[int, int]]] = [[] for _ in material.dev]
    own = tokens_of_all(module, normaliser, material.dev_audio[ranks.rank :: ranks.count], head)
    for rank, tokens in enumerate(ranks.gathered(own)):
        found[rank :: ranks.count] = tokens
    texts = [vocabulary.decode([token for token, _ in tokens]) for tokens in found]
    corpora: dict[str, list[int]] = {}
    for i, utterance in enumerate(material.dev):
        corpora.setdefault(utterance.corpus or "unnamed", []).append(i)

    def errors(rows: Sequence[int]) -> ErrorRate:
        return word_error_rate([material.dev[i].text for i in rows], [texts[i] for i in rows])

    of_all = errors(range(len(texts)))
    wer = {"all": of_all.wer} | {name: errors(rows).wer for name, rows in corpora.items()}
    return Score(wer, of_all, found, texts)
