"""Modified Kneser-Ney: probabilities computed by hand, and sums of one behind every context."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import InputError
from stream.language_model.ngram import BEGIN, UNKNOWN, ArpaTable, Ngram
from train.lm.kneser_ney import END, build_ngrams


def probability(table: ArpaTable, *words: str) -> float:
    """Return the probability of the last word behind the others, as a decoder computes it."""
    pieces = list(table.ids)
    ngram = Ngram(table, pieces, 1.0)
    context = tuple(table.ids[word] for word in words[:-1])[-(table.order - 1) :]
    score, _ = ngram.step(context if table.order > 1 else (), table.ids[words[-1]])
    return math.exp(score)


def test_bigrams_by_hand() -> None:
    # "a b", "a a": bigrams <s>a 2, ab 1, b</s> 1, aa 1, a</s> 1. Too few for counts of counts: D = 0.5, 1, 1.5.
    # Words before a: <s>, a = 2; b: a = 1; </s>: b, a = 2. So unigrams of 5: taken 1 + 0.5 + 1 = 2.5, left 1/2,
    # which goes to the 4 words <unk>, </s>, a, b alike.
    table = build_ngrams([["a", "b"], ["a", "a"]], 2)
    assert probability(table, UNKNOWN) == pytest.approx(0.5 / 4)
    assert probability(table, "a") == pytest.approx((2 - 1) / 5 + 0.125)
    assert probability(table, "b") == pytest.approx((1 - 0.5) / 5 + 0.125)
    # Behind a: b, a and </s> once each, of 3; 3 * 0.5 are taken: half goes to the unigrams.
    assert probability(table, "a", "b") == pytest.approx(0.5 / 3 + 0.5 * 0.225)
    assert probability(table, "a", UNKNOWN) == pytest.approx(0.5 * 0.125)
    # Behind <s>: a twice of 2, of which 1 is taken.
    assert probability(table, BEGIN, "a") == pytest.approx(0.5 + 0.5 * 0.325)


def test_discounts_follow_from_the_counts_of_counts() -> None:
    # Unigrams that occur 1, 1, 1, 1, 2, 2, 3, 4 times: n = 4, 2, 1, 1; Y = 4 / 8, D = 1/2, 5/4, 1.
    counts = dict(zip("abcdefgh", (1, 1, 1, 1, 2, 2, 3, 4), strict=True))
    table = build_ngrams([[word] * count for word, count in counts.items()], 1)
    total = sum(counts.values()) + 8  # and </s>
    left = (4 * 0.5 + 2 * 1.25 + 3 * 1.0) / total / 10
    assert probability(table, "a") == pytest.approx(0.5 / total + left)
    assert probability(table, "e") == pytest.approx(0.75 / total + left)
    assert probability(table, "h") == pytest.approx(3.0 / total + left)
    assert probability(table, END) == pytest.approx(7.0 / total + left)


@given(
    texts=st.lists(st.lists(st.sampled_from("abc"), max_size=6), min_size=1, max_size=8),
    order=st.integers(1, 4),
)
def test_probabilities_behind_any_context_add_up_to_one(texts: list[list[str]], order: int) -> None:
    table = build_ngrams(texts, order, words=["d"])
    words = [word for word in table.ids if word != BEGIN]
    contexts = [()] if table.order == 1 else itertools.product(table.ids, repeat=table.order - 1)
    for context in itertools.islice(contexts, 40):
        assert sum(probability(table, *context, word) for word in words) == pytest.approx(1.0)


def test_what_is_pruned_counts_by_the_shorter_ngram_and_the_rest_adds_up_to_one() -> None:
    # Bigrams <s>a 2, ab 1, b</s> 1, aa 1, a</s> 1 as above: those of count 1 go, whose counts are left to unigrams.
    table = build_ngrams([["a", "b"], ["a", "a"]], 2, prune=[0, 1])
    assert [ngram for ngram in table.ngrams if len(ngram) == 2] == [
        (table.ids[BEGIN], table.ids["a"])
    ]
    assert probability(table, "a", "b") == pytest.approx(probability(table, "b"))
    assert probability(table, BEGIN, "a") == pytest.approx(0.5 + 0.5 * 0.325)


@given(
    texts=st.lists(st.lists(st.sampled_from("abc"), max_size=6), min_size=1, max_size=8),
    prune=st.lists(st.integers(0, 3), max_size=3).map(sorted),
)
def test_a_pruned_model_adds_up_to_one_and_has_what_its_ngrams_begin_and_end_with(
    texts: list[list[str]], prune: list[int]
) -> None:
    table = build_ngrams(texts, 3, prune=[0, *prune])
    words = [word for word in table.ids if word != BEGIN]
    contexts = [()] if table.order == 1 else itertools.product(table.ids, repeat=table.order - 1)
    for context in itertools.islice(contexts, 30):
        assert sum(probability(table, *context, word) for word in words) == pytest.approx(1.0)
    for ngram in table.ngrams:
        assert len(ngram) == 1 or {ngram[:-1], ngram[1:]} <= table.ngrams.keys()


def test_no_text_makes_no_model() -> None:
    with pytest.raises(InputError, match="there is no text"):
        build_ngrams([], 3)
