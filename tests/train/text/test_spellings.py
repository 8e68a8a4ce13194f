"""Spellings of a text differ by the draw, spell the text, and come as often as the model says."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
import pytest
import sentencepiece

from stream.errors import ArgumentError
from stream.vocabulary import Vocabulary
from train.text.pieces import write_pieces
from train.text.spellings import Spellings

LETTERS = [(letter, -4.0) for letter in "▁eflt"]
MODEL = write_pieces([("▁left", -1.0), ("▁le", -2.0), ("ft", -2.5), *LETTERS])


def test_every_spelling_is_of_the_text_and_equal_seeds_draw_the_same() -> None:
    vocabulary, spellings = Vocabulary(MODEL), Spellings(MODEL, 8, 0.2)
    drawn = [spellings.draw("left left", np.random.default_rng(seed)) for seed in range(40)]
    again = [spellings.draw("left left", np.random.default_rng(seed)) for seed in range(40)]
    assert drawn == again
    assert {vocabulary.decode(tokens) for tokens in drawn} == {"left left"}
    assert len({tuple(tokens) for tokens in drawn}) > 3


def test_the_best_of_one_is_what_the_vocabulary_gives() -> None:
    vocabulary, spellings = Vocabulary(MODEL), Spellings(MODEL, 1, 0.2)
    for text in ("left", "left elf", ""):
        assert spellings.draw(text, np.random.default_rng(0)) == vocabulary.encode(text)


def test_spellings_come_as_often_as_their_probability_to_the_power_of_alpha() -> None:
    # ▁left -1, ▁le ft -4.5, and with letters -10 and less.
    spellings, rng = Spellings(MODEL, 2, 0.5), np.random.default_rng(1)
    counts = Counter(len(spellings.draw("left", rng)) for _ in range(2000))
    assert set(counts) == {1, 2}
    assert counts[1] / counts[2] == pytest.approx(np.exp(0.5 * 3.5), rel=0.15)


def test_a_tokenizer_with_one_spelling_is_refused() -> None:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["left right stop go"] * 10), model_writer=model,
        vocab_size=25, model_type="bpe", minloglevel=2,
    )  # fmt: skip
    with pytest.raises(ArgumentError, match="wants a unigram tokenizer"):
        Spellings(model.getvalue(), 8, 0.2)
