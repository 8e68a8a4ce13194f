"""Texts as ids on disk, and their n-grams filled with <s>."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.records.workspace import workspace
from train.lm import corpus
from train.lm.corpus import read_corpus


def test_words_have_ids_in_the_order_in_which_they_are_met() -> None:
    with workspace() as space:
        read = read_corpus([["b", "a"], ["a", "c"]], ["z", "a"], space)
        assert read.words == ["<unk>", "<s>", "</s>", "z", "a", "b", "c"]
        assert [piece.tolist() for piece in read.tokens.pieces()] == [[5, 4, 2, 4, 6, 2]]
        assert read.longest == 4


def test_what_is_before_a_text_is_its_beginning() -> None:
    with workspace() as space:
        read = read_corpus([["a", "b"], []], (), space)  # a is 3, b is 4
        (trigrams,) = read.ngrams(3)
    assert trigrams.tolist() == [[3, 1, 1], [4, 3, 1], [2, 4, 3], [2, 1, 1]]


@settings(max_examples=30)
@given(
    texts=st.lists(st.lists(st.sampled_from("abc"), max_size=7), min_size=1, max_size=8),
    order=st.integers(1, 5),
    rows=st.integers(1, 6),
)
def test_ngrams_do_not_depend_on_where_the_file_is_cut(
    texts: list[list[str]], order: int, rows: int
) -> None:
    found = []
    for at_once in (1 << 10, rows):
        with workspace() as space, pytest.MonkeyPatch.context() as patch:
            patch.setattr(corpus, "AT_ONCE", at_once)
            found.append(np.concatenate(list(read_corpus(texts, (), space).ngrams(order))))
    assert found[0].tolist() == found[1].tolist()
