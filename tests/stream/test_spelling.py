"""Spelling: transcripts for which a tokenizer has no pieces are counted, shown and refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.manifest import ManifestError, Utterance
from stream.spelling import check_spelling, unspelt
from stream.vocabulary import Vocabulary
from tests.tiny import tiny_tokenizer

SPELT = "a cat"  # by the tiny tokenizer, which has no capitals and no accents


def utterances(*texts: str) -> list[Utterance]:
    return [
        Utterance(
            id="a.wav", audio=Path("a.wav"), text=text, duration=1.0, manifest=Path("m"), line=line
        )
        for line, text in enumerate(texts, 1)
    ]


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary(tiny_tokenizer())


def test_texts_that_can_be_spelt_are_no_matter(vocabulary: Vocabulary) -> None:
    assert unspelt(vocabulary, utterances(SPELT, "", "  a  ")) is None
    check_spelling(vocabulary, utterances(SPELT, ""), "--normalise", "--allow")


def test_what_cannot_be_spelt_is_counted_by_character_and_word(vocabulary: Vocabulary) -> None:
    found = unspelt(vocabulary, utterances(SPELT, "a CAT", "CAT é", "a cat É"))
    assert found is not None
    assert found.transcripts == (3, 4)
    assert found.characters == {"C": 2, "A": 2, "T": 2, "é": 1, "É": 1}
    assert found.words == {"CAT": 2, "é": 1, "É": 1}
    assert found.example.line == 2
    assert not found.small  # é is none either


def test_the_error_names_line_characters_words_and_both_options(vocabulary: Vocabulary) -> None:
    with pytest.raises(ManifestError) as caught:
        check_spelling(vocabulary, utterances(SPELT, "A cat", "a A"), "--lower", "--allow")
    assert str(caught.value) == (
        "m: line 2: the tokenizer cannot spell 2 of 3 transcripts, such as 'A cat'. It has no "
        "'A' (2); words with them: 'A' (2). They can be spelt in small letters: --lower. To take "
        "them as <unk>: --allow."
    )


def test_what_small_letters_would_not_help_has_another_advice(vocabulary: Vocabulary) -> None:
    with pytest.raises(ManifestError, match="or use a tokenizer that has them"):
        check_spelling(vocabulary, utterances("é"), "--lower", "--allow")


def test_many_characters_are_shown_as_the_most_frequent_ones(vocabulary: Vocabulary) -> None:
    text = "".join(chr(0x410 + n) for n in range(20))
    assert "and 12 more" in str(unspelt(vocabulary, utterances(text)))
