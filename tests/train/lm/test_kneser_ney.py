"""Modified Kneser-Ney: probabilities computed by hand, and sums of one behind every context."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.errors import InputError
from stream.language_model.levels import ids_of, listed
from stream.language_model.ngram import BEGIN, END, UNKNOWN, ArpaTable, Ngram
from stream.records.workspace import workspace
from train.lm.kneser_ney import build_ngrams

TINY = 600  # bytes: blocks of a few n-grams


def built(
    texts: Iterable[Sequence[str]],
    order: int,
    words: Sequence[str] = (),
    prune: Sequence[int] = (),
    memory: int = 1 << 20,
) -> ArpaTable:
    """Return a language model in memory, by ids in the order of its words."""
    ngrams = {}
    with workspace(memory=memory) as space:
        model = build_ngrams(texts, order, space, words, prune)
        places = listed(model.words)
        for level in model.levels:
            for piece in level.pieces():
                ids = places[ids_of(piece["key"])[:, ::-1]].tolist()
                values = piece[["probability", "backoff"]].tolist()
                ngrams |= dict(zip(map(tuple, ids), values, strict=True))
    return ArpaTable(model.order, {word: n for n, word in enumerate(model.words)}, ngrams)


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
    table = built([["a", "b"], ["a", "a"]], 2)
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
    table = built([[word] * count for word, count in counts.items()], 1)
    total = sum(counts.values()) + 8  # and </s>
    left = (4 * 0.5 + 2 * 1.25 + 3 * 1.0) / total / 10
    assert probability(table, "a") == pytest.approx(0.5 / total + left)
    assert probability(table, "e") == pytest.approx(0.75 / total + left)
    assert probability(table, "h") == pytest.approx(3.0 / total + left)
    assert probability(table, END) == pytest.approx(7.0 / total + left)


@settings(max_examples=30)
@given(
    texts=st.lists(st.lists(st.sampled_from("abc"), max_size=6), min_size=1, max_size=8),
    order=st.integers(1, 4),
)
def test_probabilities_behind_any_context_add_up_to_one(texts: list[list[str]], order: int) -> None:
    table = built(texts, order, words=["d"])
    words = [word for word in table.ids if word != BEGIN]
    contexts = [()] if table.order == 1 else itertools.product(table.ids, repeat=table.order - 1)
    for context in itertools.islice(contexts, 40):
        assert sum(probability(table, *context, word) for word in words) == pytest.approx(1.0)


def test_what_is_pruned_counts_by_the_shorter_ngram_and_the_rest_adds_up_to_one() -> None:
    # Bigrams <s>a 2, ab 1, b</s> 1, aa 1, a</s> 1 as above: those of count 1 go, whose counts are left to unigrams.
    table = built([["a", "b"], ["a", "a"]], 2, prune=[0, 1])
    assert [ngram for ngram in table.ngrams if len(ngram) == 2] == [
        (table.ids[BEGIN], table.ids["a"])
    ]
    assert probability(table, "a", "b") == pytest.approx(probability(table, "b"))
    assert probability(table, BEGIN, "a") == pytest.approx(0.5 + 0.5 * 0.325)


@settings(max_examples=30)
@given(
    texts=st.lists(st.lists(st.sampled_from("abc"), max_size=6), min_size=1, max_size=8),
    prune=st.lists(st.integers(0, 3), max_size=3).map(sorted),
)
def test_a_pruned_model_adds_up_to_one_and_has_what_its_ngrams_begin_and_end_with(
    texts: list[list[str]], prune: list[int]
) -> None:
    table = built(texts, 3, prune=[0, *prune])
    words = [word for word in table.ids if word != BEGIN]
    contexts = [()] if table.order == 1 else itertools.product(table.ids, repeat=table.order - 1)
    for context in itertools.islice(contexts, 30):
        assert sum(probability(table, *context, word) for word in words) == pytest.approx(1.0)
    for ngram in table.ngrams:
        assert len(ngram) == 1 or {ngram[:-1], ngram[1:]} <= table.ngrams.keys()


def test_no_text_makes_no_model() -> None:
    with pytest.raises(InputError, match="there is no text"):
        built([], 3)


@settings(max_examples=30)
@given(
    texts=st.lists(st.lists(st.sampled_from("abcde"), max_size=9), min_size=1, max_size=12),
    order=st.integers(1, 5),
    prune=st.lists(st.integers(0, 2), max_size=3).map(sorted),
)
def test_a_model_is_the_same_whatever_memory_there_is(
    texts: list[list[str]], order: int, prune: list[int]
) -> None:
    one, many = (built(texts, order, "fg", [0, *prune], memory) for memory in (1 << 20, TINY))
    assert one == many


@settings(max_examples=30)
@given(
    texts=st.lists(st.lists(st.sampled_from("abc"), max_size=9), min_size=1, max_size=12),
    order=st.integers(1, 5),
)
def test_a_model_has_the_ngrams_of_its_texts_and_no_others(
    texts: list[list[str]], order: int
) -> None:
    table = built(texts, order)
    found = {(word,) for word in table.ids}
    for text in texts:
        words = [BEGIN, *text, END]
        for n in range(2, order + 1):
            found |= {tuple(words[end - n : end]) for end in range(n, len(words) + 1)}
    names = list(table.ids)
    assert {tuple(names[word] for word in ngram) for ngram in table.ngrams} == found


def test_trigrams_by_hand() -> None:
    # Twice "a b c", once "b c": of trigrams <s>ab 2, abc 2, bc</s> 3, <s>bc 1, all discounts 0.5, 1, 1.5. Bigrams: <s>a 2
    # and <s>b 1 as they occur; ab 1 (<s>), bc 2 (a, <s>), c</s> 1 (b). Unigrams: a 1, b 2 (a, <s>), c 1, </s> 1.
    table = built([["a", "b", "c"]] * 2 + [["b", "c"]], 3)
    uniform = (
        (3 * 0.5 + 1) / 5 / 5
    )  # 3 of count 1 and one of 2 are discounted; <unk>, </s>, a, b, c
    c = 0.5 / 5 + uniform
    assert probability(table, "c") == pytest.approx(c)
    b_c = (2 - 1) / 2 + 1 / 2 * c
    assert probability(table, "b", "c") == pytest.approx(b_c)
    assert probability(table, "a", "b", "c") == pytest.approx((2 - 1) / 2 + 1 / 2 * b_c)
    assert probability(table, BEGIN, "b", "c") == pytest.approx((1 - 0.5) / 1 + 0.5 * b_c)


def test_no_order_is_longer_than_the_longest_text() -> None:
    assert built([["a"], []], 5).order == 3  # <s> a </s>


@pytest.mark.parametrize("word", ["<s>", "</s>"])
def test_a_word_that_stands_for_a_beginning_or_end_is_refused(word: str) -> None:
    with pytest.raises(InputError, match=f"text 2 has the word {word}"):
        built([["a"], ["a", word]], 2)
