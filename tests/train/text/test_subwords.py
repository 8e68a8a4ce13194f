"""Subword vocabularies: of the size that is asked for, with the ids that the hardware requires."""

from __future__ import annotations

import pytest

from stream.errors import InputError
from stream.vocabulary import Vocabulary
from train.text.subwords import SubwordKind, build_subwords

TEXTS = [
    "aujourd'hui il fait beau",
    "il fera beau demain",
    "l'œuvre d'une vie",
    "une vie d'aujourd'hui",
] * 3


@pytest.mark.parametrize(("kind", "size"), [("unigram", 25), ("bpe", 35), ("char", 20)])
def test_the_size_is_as_asked_for_and_every_text_comes_back(kind: SubwordKind, size: int) -> None:
    vocabulary = Vocabulary(build_subwords(TEXTS, size, kind))
    assert len(vocabulary) == size
    assert vocabulary.pieces[0] == "<unk>"
    assert not {"<s>", "</s>", "<pad>"} & set(vocabulary.pieces)
    for text in TEXTS:
        assert vocabulary.decode(vocabulary.encode(text)) == text


def test_the_same_texts_give_the_same_bytes() -> None:
    assert build_subwords(TEXTS, 25) == build_subwords(iter(TEXTS), 25)


def test_a_symbol_is_a_piece_of_its_own() -> None:
    texts = [f"{text}<EOS>" for text in TEXTS]
    vocabulary = Vocabulary(build_subwords(texts, 24, symbols=["<EOS>"]))
    assert vocabulary.symbols == ("<EOS>",)
    assert vocabulary.encode("il fait beau<EOS>")[-1] == vocabulary.pieces.index("<EOS>")
    assert sum("<EOS>" in piece for piece in vocabulary.pieces) == 1


def test_bytes_spell_what_has_no_piece() -> None:
    assert Vocabulary(build_subwords(TEXTS, 25)).unknown("über") == ["ü"]
    vocabulary = Vocabulary(build_subwords(TEXTS, 280, byte_fallback=True))
    assert vocabulary.unknown("über") == []
    assert vocabulary.decode(vocabulary.encode("über")) == "über"


@pytest.mark.parametrize(
    ("texts", "size", "said"),
    [
        (TEXTS, 10_000, "10000 pieces (unigram): the texts have [0-9]+ at most"),
        (TEXTS, 5, "5 pieces (unigram): wants 20 at least, for single characters"),
        ([], 30, "30 pieces (unigram): there is no text"),
        (["", " "], 30, "30 pieces (unigram): there is no text"),
    ],
)
def test_a_size_that_the_texts_do_not_have_is_refused(
    texts: list[str], size: int, said: str
) -> None:
    with pytest.raises(InputError, match=said.replace("(", r"\(").replace(")", r"\)")):
        build_subwords(texts, size)
