"""Pruning marks what stays: what counts enough, and what longer n-grams that stay begin and end with."""

from __future__ import annotations

import numpy as np

from stream.language_model.levels import ids_of
from stream.records.workspace import workspace
from train.lm.corpus import read_corpus
from train.lm.counts import count_ngrams
from train.lm.pruning import pruned


def test_an_ngram_stays_that_begins_or_ends_a_longer_one_which_stays() -> None:
    with workspace() as space:
        corpus = read_corpus([["a", "b", "c"]] * 2 + [["c", "a"]], (), space)
        counted = count_ngrams(corpus, np.arange(len(corpus.words)), 3, space)
        found = []
        for level in pruned(counted, [0, 2, 1], space):
            for piece in level.ngrams.pieces():
                ids = ids_of(piece["key"][piece["kept"]])[:, ::-1].tolist()
                found.append({" ".join(corpus.words[word] for word in ngram) for ngram in ids})
        assert len(list(space.folder.iterdir())) == 3
    assert found == [
        {"a", "b", "c", "</s>"},
        {"<s> a", "a b", "b c", "c </s>"},  # none of which counts more than 2
        {"<s> a b", "a b c", "b c </s>"},
    ]


def test_nothing_is_pruned_by_zeros() -> None:
    with workspace() as space:
        corpus = read_corpus([["a"]], (), space)
        counted = count_ngrams(corpus, np.arange(len(corpus.words)), 2, space)
        assert pruned(counted, [0, 0], space) == counted
