"""Pieces to text and back, characters of several bytes among them."""

from __future__ import annotations

import functools
import io

import pytest
import sentencepiece
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream.vocabulary import Vocabulary, add, flush, texts_of
from tests.tiny import tiny_network

TEXTS = ("un café à la crème", "naïve façade", "one two three four", "le garçon été")


@functools.cache
def byte_fallback(
    kind: str = "bpe", size: int = 330, normalised: bool = True, texts: tuple[str, ...] = TEXTS
) -> Vocabulary:
    """Return a small vocabulary with byte fallback, of some texts."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts * 20),
        model_writer=model,
        minloglevel=2,
        vocab_size=size,
        model_type=kind,
        byte_fallback=True,
        character_coverage=0.98,
        hard_vocab_limit=False,
        normalization_rule_name="nmt_nfkc" if normalised else "identity",
        user_defined_symbols=["<EOS>"],
    )
    return Vocabulary(model.getvalue())


VOCABULARIES = [
    ("bpe", 330, True),
    ("bpe", 300, False),
    ("unigram", 300, True),
    ("char", 290, False),
]


def streamed(vocabulary: Vocabulary, tokens: list[int]) -> str:
    texts, waiting = texts_of(tokens, vocabulary.texts)
    return "".join(texts) + flush(waiting)


def ids(vocabulary: Vocabulary, content: bytes) -> list[int]:
    return [vocabulary.spellings.index(bytes([byte])) for byte in content]


def test_token_texts_concatenate_to_the_transcript() -> None:
    vocabulary = tiny_network().vocabulary
    for i, piece in enumerate(vocabulary.pieces):
        if piece.startswith("▁") and len(piece) > 1:
            tokens = [i, i]
            text = streamed(vocabulary, tokens)
            assert text.startswith(" ")
            assert text[1:] == vocabulary.decode(tokens)


@pytest.mark.parametrize("text", ["un café à 東 x", "naïve œuvre 5", "one two", "👩‍🚀 ∀x", "東京"])
@pytest.mark.parametrize("which", VOCABULARIES)
def test_a_text_of_any_characters_is_what_its_tokens_say(
    which: tuple[str, int, bool], text: str
) -> None:
    vocabulary = byte_fallback(*which)
    tokens = vocabulary.encode(text)
    assert streamed(vocabulary, tokens).strip() == vocabulary.decode(tokens).strip()


@pytest.mark.parametrize("which", VOCABULARIES)
@given(numbers=st.lists(st.integers(0, 10_000), max_size=12), data=st.binary(max_size=8))
@example(numbers=[], data="é".encode()[:1])
@example(numbers=[], data=b"\xe6\x9dA")
@example(numbers=[], data=b"\xf0\x9f\x91\xff\xe6\x9d\xb1")
@example(numbers=[], data=b"\xed\xa0\x80\xc0\x80\xf5\x80\x80\x80\xe0\x80\x80")
@example(numbers=[5], data=b"\xf0\x9f\x91")
def test_token_texts_joined_are_the_decoded_text(
    which: tuple[str, int, bool], numbers: list[int], data: bytes
) -> None:
    vocabulary = byte_fallback(*which)
    tokens = ids(vocabulary, data) + [number % len(vocabulary) for number in numbers]
    for some in (tokens, tokens[::-1], tokens + ids(vocabulary, data)):
        assert streamed(vocabulary, some).strip() == vocabulary.decode(some).strip()


@settings(max_examples=30, deadline=None)
@given(
    kind=st.sampled_from(["bpe", "char"]),
    corpus=st.lists(st.text("aé東👩 ▁'", min_size=1, max_size=9), min_size=1, max_size=4),
    normalised=st.booleans(),
    numbers=st.lists(st.integers(0, 10_000), max_size=20),
)
def test_token_texts_joined_are_the_decoded_text_of_any_model(
    kind: str, corpus: list[str], normalised: bool, numbers: list[int]
) -> None:
    vocabulary = byte_fallback(kind, 300, normalised, ("ab", *corpus))
    tokens = [number % len(vocabulary) for number in numbers]
    for some in (tokens, vocabulary.encode(" ".join(corpus))):
        assert streamed(vocabulary, some).strip() == vocabulary.decode(some).strip()


@given(st.binary(max_size=12), st.integers(0, 12))
def test_what_waits_is_the_whole_state(content: bytes, cut: int) -> None:
    pieces = [bytes([byte]) for byte in content]
    numbers = range(len(pieces))
    whole = texts_of(numbers, pieces)
    first, waiting = texts_of(numbers[:cut], pieces)
    rest, after = texts_of(numbers[cut:], pieces, waiting)
    assert (first + rest, after) == whole


def test_a_characters_text_comes_with_its_last_byte() -> None:
    vocabulary = byte_fallback()
    assert texts_of(ids(vocabulary, "東é".encode()), vocabulary.texts)[0] == ["", "", "東", "", "é"]


def test_what_cuts_a_character_short_brings_its_replacement() -> None:
    assert add(b"\xe6\x9d", " a") == ("\ufffd\ufffd a", b"")
    assert add(b"\xe6\x9d", b"\xc3") == ("\ufffd\ufffd", b"\xc3")
    assert flush(b"\xf0\x9f\x91") == "\ufffd\ufffd\ufffd"


def test_the_tokens_of_one_text_can_be_asked_for_one_by_one() -> None:
    vocabulary = byte_fallback()
    for text in ("un café à 東 x", "naïve œuvre 5", "one two"):
        said = "".join(vocabulary.text(token) for token in vocabulary.encode(text))
        assert said.strip() == text


def test_pieces_without_text_and_symbols_are_told_apart() -> None:
    vocabulary = byte_fallback()
    assert vocabulary.symbols == ("<EOS>",)
    assert vocabulary.texts[vocabulary.pieces.index("</s>")] == ""
    assert vocabulary.texts[vocabulary.pieces.index("<EOS>")] == "<EOS>"
    assert vocabulary.texts[0] == " ⁇ "
    assert vocabulary.unknown("東") == []


def test_bytes_that_are_no_tokenizer_are_refused() -> None:
    for content in (b"", b"not a model", b"\x00" * 64):
        with pytest.raises(ValueError, match="not a SentencePiece model"):
            Vocabulary(content)
