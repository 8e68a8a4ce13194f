"""KenLM's probing binary: one that was written, the golden one, and broken ones."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.language_model.binary import word_key
from stream.language_model.files import open_ngram
from stream.language_model.kenlm import read_kenlm
from stream.language_model.ngram import ArpaTable, Ngram, NgramError, read_arpa
from stream.language_model.written_probing import kenlm_binary
from tests.stream.language_model.test_ngram import ARPA, PIECES, log10s


@pytest.fixture
def arpa(tmp_path: Path) -> ArpaTable:
    path = tmp_path / "small.arpa"
    path.write_text(ARPA, "utf-8")
    return read_arpa(path)


def test_it_scores_as_the_arpa_file_that_it_was_made_of(arpa: ArpaTable, tmp_path: Path) -> None:
    path = tmp_path / "small.binary"
    path.write_bytes(kenlm_binary(arpa))
    table = open_ngram(path)
    assert table.order == 3
    assert table.word("▁a") is not None
    assert table.word("nothing") is None
    assert table.find((0, 0)) is None
    for tokens in ([1, 2, 2, 2, 1], [3, 2], [2, 1, 2]):
        want = log10s(Ngram(arpa, PIECES, 1.0), tokens)
        assert log10s(Ngram(table, PIECES, 1.0), tokens) == pytest.approx(want, abs=1e-6)


def test_words_are_listed_where_the_file_includes_them(arpa: ArpaTable) -> None:
    content = kenlm_binary(arpa)
    assert set(read_kenlm(content).words()) == set(arpa.ids)
    text = sum(len(word.encode()) + 1 for word in arpa.ids)
    with pytest.raises(NgramError, match="does not include its words"):
        read_kenlm(content[:-text]).words()


def test_words_hash_as_the_published_function_does() -> None:
    # Of the reference implementation, seed 0; lengths around a whole block of 8 bytes.
    assert word_key("") == 0
    assert word_key("hello") == 0x1E68D17C457BF117
    assert len({word_key("x" * n) for n in range(20)}) == 20


def test_the_golden_binary_has_every_ngram_of_the_golden_arpa_file(golden: Path) -> None:
    arpa = read_arpa(golden / "ngram_v1.14.0" / "ngram.arpa")
    table = open_ngram(golden / "ngram_v1.14.0" / "ngram.binary")
    words = {number: table.word(text) for text, number in arpa.ids.items()}
    for ngram, want in arpa.ngrams.items():
        ids = tuple(word for i in ngram if (word := words[i]) is not None)
        assert table.find(ids) == pytest.approx(want, abs=1e-5)


@pytest.mark.parametrize(
    ("place", "new", "said"),
    [
        (0, b"MMAP", "not a KenLM binary"),
        (60, b"\x01", "another layout"),
        (88, b"\x00", "of order 0"),
        (92, b"\0\0\0\0", "multiplier 0.0"),
        (96, b"\x01", "of kind 1"),
        (108, b"\xff\xff\xff\xff", "cut short"),
    ],
)
def test_a_changed_header_is_refused(arpa: ArpaTable, place: int, new: bytes, said: str) -> None:
    content = bytearray(kenlm_binary(arpa))
    content[place : place + len(new)] = new
    with pytest.raises(NgramError, match=said):
        read_kenlm(bytes(content))


def test_a_file_cut_anywhere_is_refused(arpa: ArpaTable) -> None:
    content = kenlm_binary(arpa)
    text = sum(len(word.encode()) + 1 for word in arpa.ids)  # of which nothing is needed
    for length in range(len(content) - text):
        with pytest.raises(NgramError):
            read_kenlm(content[:length])
    assert read_kenlm(content[:-text]).order == 3


@given(place=st.integers(108, 600), value=st.integers(0, 255))
def test_no_byte_makes_a_lookup_run_forever_or_out_of_the_file(place: int, value: int) -> None:
    words = ["<unk>", "<s>", "▁a", "b"]
    table = ArpaTable(
        2,
        {word: i for i, word in enumerate(words)},
        {(i,): (-1.0, -0.5) for i in range(4)} | {(1, 2): (-0.5, 0.0), (2, 3): (-0.25, 0.0)},
    )
    content = bytearray(kenlm_binary(table))
    content[place % len(content)] = value
    with contextlib.suppress(NgramError):
        log10s(Ngram(read_kenlm(bytes(content)), PIECES, 1.0), [1, 2, 3, 2])
