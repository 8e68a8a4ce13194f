"""Hypotheses: hashes of texts, sums of probabilities, and the memo of histories."""

from __future__ import annotations

import copy
import gc
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.decoding.greedy import Token
from stream.decoding.hypothesis import Extender, Node, Path, TextHash, log_add, text_hash
from stream.decoding.keywords import KeywordTrie
from stream.language_model.ngram import Ngram

EMPTY = TextHash()


@given(pieces=st.lists(st.text("▁ab'", max_size=3), max_size=8))
def test_a_hash_is_that_of_the_text_however_it_is_cut(pieces: list[str]) -> None:
    text, state = "", EMPTY
    for piece in pieces:
        state = text_hash(state, piece)
        text += piece[1:] if text.endswith("▁") and piece.startswith("▁") else piece
    assert state[0] == sum(
        ord(character) * 0x10FFFF ** (len(text) - 1 - i) for i, character in enumerate(text)
    ) % 1000000000039  # fmt: skip
    assert state[1] == text.endswith("▁")


def test_a_word_mark_behind_a_word_mark_is_no_text() -> None:
    marked = text_hash(EMPTY, "▁a▁")
    assert text_hash(marked, "▁") == marked
    assert text_hash(marked, "▁b") == text_hash(marked, "b")
    assert text_hash(EMPTY, "ab") != text_hash(EMPTY, "ba")


@pytest.mark.parametrize(("a", "b"), [(-1.0, -2.0), (-2.0, -1.0), (0.0, -800.0), (-3.0, -3.0)])
def test_probabilities_add_up(a: float, b: float) -> None:
    assert log_add(a, b) == pytest.approx(float(np.logaddexp(a, b)), abs=1e-15)


def test_a_merged_path_keeps_its_content() -> None:
    path = Path(-1.0, 3, (Token(1, 2, -0.5),), Node(1, ()), keyword=4)
    merged = path.merged(-1.0)
    assert merged.score == pytest.approx(-1.0 + math.log(2.0))
    assert merged[1:] == path[1:]
    assert merged.mean == merged.score / 3


def test_a_history_is_the_same_while_it_lives_and_forgotten_after() -> None:
    root = Node(9, ())
    root.prediction = (np.zeros(2),)
    first = root.child(3)
    assert root.child(3) is first
    assert root.child(4) is not first
    assert first.token == 3
    assert first.before is root.prediction
    first.g = np.zeros(2, np.float32)
    del first
    gc.collect()
    assert root.child(3).g is None


def test_a_copied_state_shares_what_is_known_of_its_history() -> None:
    path = Path(0.0, 1, (), Node(9, ()))
    assert copy.deepcopy(path).node is path.node


def hashed(*pieces: str | bytes) -> TextHash:
    text = EMPTY
    for piece in pieces:
        text = text_hash(text, piece)
    return text


def test_a_character_in_bytes_is_the_same_text_as_its_piece() -> None:
    assert hashed("▁a", b"\xc3", b"\xa9") == hashed("▁a", "é")
    assert hashed("▁a", b"\x20") == hashed("▁a", "▁")
    assert hashed("▁a", b"\xc3", "b") == hashed("▁a", "\ufffd", "b")


def test_bytes_that_wait_are_a_text_of_their_own() -> None:
    texts = [(), ("a",), (b"\xc3",), ("a", b"\xc3"), ("a", b"\xe6"), ("a", b"\xe6", b"\x9d")]
    assert len({hashed(*pieces).value for pieces in texts}) == len(texts)


class OnlyB:
    """A unigram table in which every word but b costs 1 in base 10."""

    order = 1

    def word(self, text: str) -> int | None:
        return {"<s>": 0, "a": 1, "b": 2}.get(text)

    def find(self, words: tuple[int, ...]) -> tuple[float, float]:
        return (0.0 if words == (2,) else -1.0), 0.0


def test_a_token_adds_its_log_probability_and_the_terms_of_ngram_and_keywords() -> None:
    root = Node(2, ())
    path = Path(-1.0, 1, (), root)
    token = Token(0, 7, -0.5)
    plain = Extender("ab", None).extend(path, path.score, token, None)
    assert (plain.score, plain.length, plain.tokens, plain.symbols) == (-1.5, 2, (token,), 1)
    assert plain.node is root.child(0)
    assert plain.text == text_hash(TextHash(), "a")
    ngram = Ngram(OnlyB(), ["a", "b"], 2.0)
    scored = Extender("ab", ngram).extend(path, -3.0, token, KeywordTrie({"a": 4.0}, "ab"))
    assert scored.score == pytest.approx(-3.0 - 0.5 - 2.0 * math.log(10.0) + 4.0)
    assert scored.tokens == (token,)  # the recorded probability is the model's
