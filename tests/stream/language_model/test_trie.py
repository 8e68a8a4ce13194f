"""KenLM's trie binaries: those that KenLM wrote, those that are written here, and broken ones.

The files of the folder kenlm were written by build_binary of KenLM 0.3.0 from small.arpa: trie, quantised with
-q 4 -b 3, array with -a 22, and quantised-array with both.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import ArgumentError
from stream.language_model.files import open_ngram
from stream.language_model.kenlm import read_kenlm
from stream.language_model.ngram import ArpaTable, Ngram, NgramError, log10_probability, read_arpa
from stream.language_model.written_trie import kenlm_trie
from tests.places import REPOSITORY

KENLM = REPOSITORY / "tests" / "stream" / "language_model" / "kenlm"
SMALL = read_arpa(KENLM / "small.arpa")
# Of what build_binary writes of the golden ARPA file: trie, and trie with -q 6 -b 6.
GOLDEN = {
    None: "516d0e3a92daf4afc672e43a9649cd078188916efdb561e555c2d724c156690c",
    6: "2b3555f9e1d7a4eae7b7dcf1912f0243662ea3494ab63b7fe6661e5b2f7e550e",
}


def largest_difference(content: bytes) -> float:
    """Return by how much values differ from those of small.arpa, all of whose n-grams are there."""
    table = read_kenlm(content)
    assert set(table.words()) == set(SMALL.ids)
    ids = {number: table.word(text) for text, number in SMALL.ids.items()}
    largest = 0.0
    for ngram, want in SMALL.ngrams.items():
        found = table.find(tuple(ids[number] for number in ngram))  # type: ignore[misc]
        assert found is not None, ngram
        largest = max(largest, *np.abs(np.subtract(found, want)).tolist())
    return largest


@pytest.mark.parametrize("name", ["trie", "array"])
def test_a_file_of_kenlm_has_every_ngram(name: str) -> None:
    assert largest_difference((KENLM / f"{name}.binary").read_bytes()) < 1e-6


@pytest.mark.parametrize("name", ["quantised", "quantised-array"])
def test_a_quantised_file_of_kenlm_has_every_ngram_about_so(name: str) -> None:
    assert 0.0 < largest_difference((KENLM / f"{name}.binary").read_bytes()) < 0.2


def test_bins_and_pointers_are_the_same_whether_pointers_are_compressed() -> None:
    plain, compressed = (
        read_kenlm((KENLM / f"{name}.binary").read_bytes())
        for name in ("quantised", "quantised-array")
    )
    ids = {number: plain.word(text) for text, number in SMALL.ids.items()}
    for ngram in SMALL.ngrams:
        words = tuple(ids[number] for number in ngram)
        assert plain.find(words) == compressed.find(words)  # type: ignore[arg-type]


def test_what_is_not_there_is_not_found() -> None:
    table = read_kenlm((KENLM / "trie.binary").read_bytes())
    assert table.word("eleven") is None
    assert table.find(()) is None
    one, ten = table.word("one"), table.word("ten")
    assert one is not None and ten is not None
    assert table.find((ten, one, ten)) is None
    assert table.find((one, ten)) is None


@pytest.mark.parametrize(("bits", "name"), [(None, "trie"), (4, None)])
def test_what_is_written_is_what_kenlm_writes(bits: int | None, name: str | None) -> None:
    written = kenlm_trie(SMALL, bits)
    if name is not None:
        assert written == (KENLM / f"{name}.binary").read_bytes()
    assert largest_difference(written) < (1e-6 if bits is None else 0.2)


@pytest.mark.parametrize("bits", GOLDEN)
def test_the_golden_model_is_written_byte_by_byte_as_kenlm_writes_it(
    golden: Path, bits: int | None
) -> None:
    written = kenlm_trie(read_arpa(golden / "ngram_v1.14.0" / "ngram.arpa"), bits)
    assert hashlib.sha256(written).hexdigest() == GOLDEN[bits]


def test_an_end_that_pruning_has_taken_is_added_with_what_it_counts(tmp_path: Path) -> None:
    pruned = {ngram: values for ngram, values in SMALL.ngrams.items()}
    three = next(ngram for ngram in pruned if len(ngram) == 3)
    del pruned[three[1:]]
    table = ArpaTable(SMALL.order, SMALL.ids, pruned)
    read = read_kenlm(kenlm_trie(table))
    ids = {number: read.word(text) or 0 for text, number in SMALL.ids.items()}
    for ngram in SMALL.ngrams:
        want = log10_probability(table, ngram[:-1], ngram[-1])
        words = tuple(ids[number] for number in ngram)
        assert log10_probability(read, words[:-1], words[-1]) == pytest.approx(want, abs=1e-5)


@pytest.mark.parametrize(
    ("table", "bits", "error", "said"),
    [
        (ArpaTable(2, {"<s>": 0}, {(0,): (0.0, 0.0)}), None, NgramError, "has no <unk>"),
        (ArpaTable(1, {"<unk>": 0}, {(0,): (0.0, 0.0)}), None, NgramError, "bigrams at least"),
        (SMALL, 1, ArgumentError, "1 bits a value; want 2 to 25"),
    ],
)
def test_what_cannot_be_written_is_refused(
    table: ArpaTable, bits: int | None, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        kenlm_trie(table, bits)


@pytest.mark.parametrize("name", ["trie", "quantised-array"])
def test_a_file_cut_anywhere_is_refused(name: str) -> None:
    content = (KENLM / f"{name}.binary").read_bytes()
    text = sum(len(word.encode()) + 1 for word in SMALL.ids)
    for length in range(0, len(content) - text, 3):
        with pytest.raises(NgramError):
            read_kenlm(content[:length])
    assert read_kenlm(content[:-text]).order == 4


@given(
    name=st.sampled_from(["trie", "quantised", "array", "quantised-array"]),
    place=st.integers(88, 1200),
    value=st.integers(0, 255),
)
def test_no_byte_makes_a_lookup_run_forever_or_out_of_the_file(
    name: str, place: int, value: int
) -> None:
    content = bytearray((KENLM / f"{name}.binary").read_bytes())
    content[place % len(content)] = value
    with contextlib.suppress(NgramError):
        model = Ngram(read_kenlm(bytes(content)), list(SMALL.ids), 1.0)
        context = model.start
        for token in (4, 5, 6, 3, 4, 5, 6, 7):
            score, context = model.step(context, token)
            assert np.isfinite(score)


def test_a_file_is_told_by_its_content(tmp_path: Path) -> None:
    (path := tmp_path / "lm").write_bytes(kenlm_trie(SMALL, 8))
    assert open_ngram(path).order == 4
