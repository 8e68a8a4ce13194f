"""KenLM's probing binary: one written here byte by byte, the golden one, and broken ones."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.language_model.files import open_ngram
from stream.language_model.kenlm import LAYOUT, MAGIC, _murmur, read_kenlm
from stream.language_model.ngram import ArpaTable, Ngram, NgramError, read_arpa
from tests.stream.language_model.test_ngram import ARPA, PIECES, log10s

MULTIPLIER = 1.5


def hashed(entries: dict[int, bytes], size: int, count: int) -> bytes:
    """Lay out a probing hash table with room for `count` entries."""
    buckets = [bytes(size)] * max(count + 1, int(MULTIPLIER * count))
    for key, value in entries.items():
        at = key % len(buckets)
        while buckets[at] != bytes(size):
            at = (at + 1) % len(buckets)
        buckets[at] = struct.pack("<Q", key) + value
    return b"".join(buckets)


def binary(table: ArpaTable) -> bytes:
    """Write a probing binary; <unk> has the id 0 in it."""
    ids = {"<unk>": 0} | {
        word: i for i, word in enumerate((w for w in table.ids if w != "<unk>"), 1)
    }
    renamed = {number: ids[word] for word, number in table.ids.items()}
    ngrams = {tuple(renamed[w] for w in words): v for words, v in table.ngrams.items()}
    counts = [sum(len(words) == n for words in ngrams) for n in range(1, table.order + 1)]
    content = MAGIC.ljust(56, b"\0") + LAYOUT + struct.pack("<B3xfiB3xI", table.order, 1.5, 0, 1, 0)
    content += struct.pack(f"<{table.order}Q", *counts)
    content += bytes(-len(content) % 8) + struct.pack("<II", 0, len(ids))
    words = {_murmur(w.encode()): struct.pack("<I", i) for w, i in ids.items() if w != "<unk>"}
    content += hashed(words, 12, len(ids))  # with room for <unk>, although it is not in it
    unigrams = {words[0]: v for words, v in ngrams.items() if len(words) == 1}
    content += b"".join(struct.pack("<ff", *unigrams[i]) for i in range(len(ids))) + bytes(8)
    for order in range(2, table.order + 1):
        entries = {}
        for words_, (probability, backoff) in ngrams.items():
            if len(words_) != order:
                continue
            key = words_[-1]
            for word in reversed(words_[:-1]):
                key = (key * 8978948897894561157 ^ (1 + word) * 17894857484156487943) % 2**64
            value = struct.pack("<f", probability)
            entries[key] = value if order == table.order else value + struct.pack("<f", backoff)
        content += hashed(entries, 12 if order == table.order else 16, len(entries))
    return content + b"".join(word.encode() + b"\0" for word in ids)


@pytest.fixture
def arpa(tmp_path: Path) -> ArpaTable:
    path = tmp_path / "small.arpa"
    path.write_text(ARPA, "utf-8")
    return read_arpa(path)


def test_it_scores_as_the_arpa_file_that_it_was_made_of(arpa: ArpaTable, tmp_path: Path) -> None:
    path = tmp_path / "small.binary"
    path.write_bytes(binary(arpa))
    table = open_ngram(path)
    assert table.order == 3
    assert table.word("▁a") is not None
    assert table.word("nothing") is None
    assert table.find((0, 0)) is None
    for tokens in ([1, 2, 2, 2, 1], [3, 2], [2, 1, 2]):
        want = log10s(Ngram(arpa, PIECES, 1.0), tokens)
        assert log10s(Ngram(table, PIECES, 1.0), tokens) == pytest.approx(want, abs=1e-6)


def test_words_hash_as_the_published_function_does() -> None:
    # Of the reference implementation, seed 0; lengths around a whole block of 8 bytes.
    assert _murmur(b"") == 0
    assert _murmur(b"hello") == 0x1E68D17C457BF117
    assert len({_murmur(b"x" * n) for n in range(20)}) == 20


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
        (96, b"\x02", "of kind 2"),
        (108, b"\xff\xff\xff\xff", "cut short"),
    ],
)
def test_a_changed_header_is_refused(arpa: ArpaTable, place: int, new: bytes, said: str) -> None:
    content = bytearray(binary(arpa))
    content[place : place + len(new)] = new
    with pytest.raises(NgramError, match=said):
        read_kenlm(bytes(content))


def test_a_file_cut_anywhere_is_refused(arpa: ArpaTable) -> None:
    content = binary(arpa)
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
    content = bytearray(binary(table))
    content[place % len(content)] = value
    with contextlib.suppress(NgramError):
        log10s(Ngram(read_kenlm(bytes(content)), PIECES, 1.0), [1, 2, 3, 2])
