"""N-grams as sorted records: words by KenLM's keys, n-grams by their words from the last to the first."""

from __future__ import annotations

import numpy as np
import pytest

from stream.language_model.binary import word_key
from stream.language_model.levels import ids_of, key_of, levels_of, listed, ranks
from stream.language_model.ngram import ArpaTable, NgramError

TABLE = ArpaTable(
    3,
    {"<s>": 0, "<unk>": 1, "a": 2, "b": 3},
    {
        (0,): (-99.0, -0.5),
        (1,): (-2.0, 0.0),
        (2,): (-1.0, -0.25),
        (3,): (-0.5, 0.0),
        (0, 2): (-0.25, -0.125),
        (0, 2, 3): (-0.0625, 0.0),
    },
)


def test_ids_are_the_places_of_words_by_key_with_the_unknown_word_first() -> None:
    words = ["<unk>", "<s>", "a", "b"]
    ids = ranks(words)
    assert ids[0] == 0
    by_key = sorted(words[1:], key=word_key)
    assert [words[number] for number in listed(words)] == ["<unk>", *by_key]
    assert [by_key[number - 1] for number in ids[1:]] == words[1:]


def test_keys_sort_as_their_ids_do_and_give_them_back() -> None:
    ids = np.array([[1, 256], [1, 2], [0, 70000], [256, 0]])
    keys = key_of(ids)
    assert ids[np.argsort(keys)].tolist() == sorted(ids.tolist())
    assert ids_of(keys).tolist() == ids.tolist()


def test_levels_have_what_longer_ngrams_begin_and_end_with() -> None:
    model = levels_of(TABLE)
    assert model.words == ["<unk>", "<s>", "a", "b"]
    assert (model.order, model.counts) == (3, [4, 1, 1])
    names = [model.words[place] for place in listed(model.words)]
    (unigrams,) = model.levels[0].pieces()
    found = dict(zip(names, unigrams[["longer", "begins", "place"]].tolist(), strict=True))
    assert found == {
        "<unk>": (0, False, 1),
        "<s>": (0, True, 0),
        "a": (1, False, 2),
        "b": (0, False, 3),
    }
    (bigrams,) = model.levels[1].pieces()
    assert bigrams[["probability", "backoff", "longer", "begins"]].tolist() == [
        (-0.25, -0.125, 0, True)
    ]


def test_an_end_that_is_missing_is_added_with_what_it_counts() -> None:
    assert levels_of(TABLE).counts == [4, 1, 1]
    complete = levels_of(TABLE, complete=True)
    assert complete.counts == [4, 2, 1]
    (bigrams,) = complete.levels[1].pieces()
    assert sorted(bigrams["probability"].tolist()) == [-0.25 - 0.5, -0.25]  # a b: a's back-off, b


def test_a_model_without_an_unknown_word_is_refused() -> None:
    with pytest.raises(NgramError, match="has no <unk>"):
        levels_of(ArpaTable(1, {"<s>": 0}, {(0,): (0.0, 0.0)}))
