"""Counts of n-grams: the longest as they occur, shorter ones by the words before them."""

from __future__ import annotations

import numpy as np
import pytest

from stream.language_model.levels import ids_of
from stream.records.file import RecordFile
from stream.records.workspace import workspace
from train.lm.corpus import read_corpus
from train.lm.counts import FALLBACK, Counted, count_ngrams, counted_dtype


def test_shorter_ngrams_count_by_the_words_before_them_and_those_of_a_beginning_as_they_occur() -> (
    None
):
    with workspace() as space:
        corpus = read_corpus([["a", "b"], ["a", "b"], ["b", "b"]], (), space)
        levels = count_ngrams(corpus, np.arange(len(corpus.words)), 3, space)
        found = []
        for level in levels:
            for piece in level.ngrams.pieces():
                ids = ids_of(piece["key"])[:, ::-1].tolist()
                names = [" ".join(corpus.words[word] for word in ngram) for ngram in ids]
                found.append(dict(zip(names, piece["count"].tolist(), strict=True)))
    assert found == [
        {"</s>": 1, "a": 1, "b": 3},  # b: behind <s>, a and b
        {"b </s>": 2, "<s> a": 2, "<s> b": 1, "a b": 1, "b b": 1},
        {"a b </s>": 2, "b b </s>": 1, "<s> a b": 2, "<s> b b": 1},
    ]
    assert [level.counts_of_counts.tolist() for level in levels] == [
        [2, 0, 1, 0],
        [3, 2, 0, 0],
        [2, 2, 0, 0],
    ]


@pytest.mark.parametrize(
    ("counts_of_counts", "discounts"),
    [
        ([4, 2, 1, 1], (0.5, 1.25, 1.0)),  # Y = 1/2
        ([4, 2, 1, 0], FALLBACK),
        ([1, 1, 100, 1], FALLBACK),  # D2 would be below 0
    ],
)
def test_discounts_follow_from_counts_of_counts_where_they_make_sense(
    counts_of_counts: list[int], discounts: tuple[float, ...]
) -> None:
    with workspace() as space:
        none = RecordFile(space.folder / "none", counted_dtype(1))
        counted = Counted(none, np.array(counts_of_counts))
        assert counted.discounts.tolist() == pytest.approx(discounts)
