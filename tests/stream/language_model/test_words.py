"""A language model over words behind pieces: every text counts what its words count, however it is spelt."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.language_model.files import language_model
from stream.language_model.fusion import Fusion
from stream.language_model.kenlm import read_kenlm
from stream.language_model.ngram import ArpaTable, Ngram, NgramError, log10_probability, read_arpa
from stream.language_model.words import WordContext, WordNgram, is_over_words
from stream.language_model.written_probing import kenlm_binary
from stream.vocabulary import Vocabulary
from tests.stream.language_model.test_ngram import ARPA
from tests.tiny import tiny_tokenizer

WORDS = ["<unk>", "<s>", "</s>", "do", "dog", "é"]
TABLE = ArpaTable(
    2,
    {word: number for number, word in enumerate(WORDS)},
    {
        **{(0,): (-3.0, 0.0), (1,): (-99.0, -0.25), (2,): (-1.0, 0.0)},
        **{(3,): (-0.5, -0.125), (4,): (-1.5, 0.0), (5,): (-2.0, 0.0)},
        **{(1, 3): (-0.25, 0.0), (3, 4): (-0.0625, 0.0)},
    },
)
PIECES = ["▁", "▁d", "d", "o", "g", "▁do", b"\xc3", b"\xa9", "x", "<EOS>"]
FUSION = Fusion(0.5, 0.75, 2.0)


def counted(model: WordNgram, pieces: list[str | bytes]) -> tuple[float, WordContext]:
    """Return what pieces add, and the context after them."""
    context, total = model.start, 0.0
    for piece in pieces:
        score, context = model.step(context, PIECES.index(piece))  # type: ignore[arg-type]
        total += score
    return total, context


def of_text(text: str) -> float:
    """Return what a whole text counts, word by word."""
    context, total = (WORDS.index("<s>"),), 0.0
    for word in text.split():
        number = WORDS.index(word) if word in WORDS else 0
        total += 0.5 * math.log(10.0) * log10_probability(TABLE, context, number) + 0.75
        total -= 0.0 if number else 2.0
        context = (number,)
    return total


@given(st.lists(st.sampled_from(PIECES[:6] + PIECES[8:9]), max_size=12))
def test_a_text_counts_what_its_words_count(pieces: list[str]) -> None:
    model = WordNgram(TABLE, PIECES, FUSION)
    total, context = counted(model, pieces)
    text = "".join(pieces).replace("▁", " ")
    assert total + model.ending(context) == pytest.approx(of_text(text))


def test_bytes_make_a_character_of_a_word() -> None:
    model = WordNgram(TABLE, PIECES, FUSION)
    total, context = counted(model, ["▁", b"\xc3"])
    assert total == 0.0  # nobody knows of which character it is
    total, context = counted(model, ["▁", b"\xc3", b"\xa9"])
    assert total + model.ending(context) == pytest.approx(of_text("é"))


def test_a_word_that_is_begun_counts_as_the_best_that_it_may_become() -> None:
    model = WordNgram(TABLE, PIECES, FUSION)
    log10 = math.log(10.0)
    assert counted(model, ["▁d"])[0] == pytest.approx(0.5 * log10 * -0.5 + 0.75)
    assert counted(model, ["▁d", "o"])[0] == pytest.approx(0.5 * log10 * -0.5 + 0.75)
    assert counted(model, ["▁do", "g"])[0] == pytest.approx(0.5 * log10 * -1.5 + 0.75)
    assert counted(model, ["▁do", "x"])[0] == pytest.approx(0.5 * log10 * -3.0 + 0.75 - 2.0)


def test_tokens_that_are_no_text_are_skipped() -> None:
    model = WordNgram(TABLE, PIECES, FUSION, frozenset({9}))
    assert model.step(model.start, 9) == (0.0, model.start)


def test_ngrams_are_of_pieces_where_one_has_the_mark_of_a_word(tmp_path: Path) -> None:
    vocabulary = Vocabulary(tiny_tokenizer())
    marked = next(piece for piece in vocabulary.pieces if piece.startswith("▁"))
    (tmp_path / "a.arpa").write_text(ARPA.replace("▁a", marked), "utf-8")
    pieces = read_arpa(tmp_path / "a.arpa")
    assert not is_over_words(pieces, vocabulary.pieces)
    assert isinstance(language_model(pieces, vocabulary, FUSION), Ngram)
    assert isinstance(language_model(TABLE, vocabulary, FUSION), WordNgram)
    assert not is_over_words(TABLE, ["a", "b"])  # a vocabulary without words has no words


def test_a_binary_has_to_include_its_words() -> None:
    content = kenlm_binary(TABLE)
    model = WordNgram(read_kenlm(content), PIECES, FUSION)
    total, context = counted(model, ["▁do", "▁d", "o", "g"])
    assert total + model.ending(context) == pytest.approx(of_text("do dog"))
    length = sum(len(word.encode()) + 1 for word in WORDS)
    with pytest.raises(NgramError, match="does not include its words"):
        WordNgram(read_kenlm(content[:-length]), PIECES, FUSION)


def test_a_model_over_words_wants_an_unknown_word() -> None:
    without = ArpaTable(1, {"<s>": 0, "a": 1}, {(0,): (-99.0, 0.0), (1,): (0.0, 0.0)})
    with pytest.raises(NgramError, match="wants <unk>"):
        WordNgram(without, PIECES, FUSION)
