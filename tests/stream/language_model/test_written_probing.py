"""KenLM's probing binaries: what is written is what is read, and the bytes are KenLM's own."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.language_model import written_probing
from stream.language_model.kenlm import read_kenlm
from stream.language_model.ngram import ArpaTable, NgramError, read_arpa
from stream.language_model.probing import WORD
from stream.language_model.written_probing import kenlm_binary
from stream.records.workspace import workspace

TABLE = ArpaTable(
    2,
    {"<unk>": 0, "<s>": 1, "</s>": 2, "▁un": 3, "é": 4},
    {
        (0,): (-2.0, 0.0),
        (1,): (-99.0, -0.25),
        (2,): (-1.0, 0.0),
        (3,): (-0.5, -0.125),
        (4,): (-0.75, 0.0),
        (1, 3): (-0.25, 0.0),
        (3, 4): (-0.0625, 0.0),
    },
)


def test_a_binary_has_every_ngram(tmp_path: Path) -> None:
    table = read_kenlm(kenlm_binary(TABLE))
    words = {number: table.word(text) for text, number in TABLE.ids.items()}
    for ngram, want in TABLE.ngrams.items():
        assert table.find(tuple(words[n] or 0 for n in ngram)) == want
    assert table.find((1, 2)) is None


def test_the_golden_model_is_written_byte_by_byte_as_kenlm_wrote_it(golden: Path) -> None:
    written = kenlm_binary(read_arpa(golden / "ngram_v1.14.0" / "ngram.arpa"))
    assert written == (golden / "ngram_v1.14.0" / "ngram.binary").read_bytes()


def test_a_model_without_an_unknown_word_is_refused() -> None:
    without = ArpaTable(1, {"<s>": 0, "a": 1}, {(0,): (-99.0, 0.0), (1,): (0.0, 0.0)})
    with pytest.raises(NgramError, match="has no <unk>"):
        kenlm_binary(without)


@given(
    keys=st.lists(st.integers(1, 40), unique=True, max_size=12).flatmap(st.permutations),
    first=st.integers(0, 10),
    memory=st.sampled_from([1, 1 << 20]),
)
def test_a_table_has_what_putting_in_one_entry_after_another_gives(
    keys: list[int], first: int, memory: int
) -> None:
    size = max(len(keys) + 1, int(1.5 * len(keys)))
    want = [0] * size
    for key in keys:
        bucket = key % size
        while want[bucket]:
            bucket = (bucket + 1) % size
        want[bucket] = key
    entries = np.zeros(len(keys), WORD)
    entries["key"] = keys
    file = io.BytesIO(b"before")
    file.seek(6)
    with workspace(memory=memory) as space, pytest.MonkeyPatch.context() as patch:
        patch.setattr(written_probing, "FIRST", first)
        places = np.arange(len(keys))
        written_probing.write_table(file, [(entries, places)], len(keys), WORD, space)
        file.write(b"after")
    content = file.getvalue()
    assert content[:6] == b"before"
    assert content[-5:] == b"after"
    assert np.frombuffer(content[6:-5], WORD)["key"].tolist() == want
