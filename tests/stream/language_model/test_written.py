"""Language models as files: what is written is what is read, and the bytes are KenLM's own."""

from __future__ import annotations

from pathlib import Path

from stream.language_model.ngram import ArpaTable, read_arpa
from stream.language_model.written import arpa_text

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


def test_an_arpa_file_has_a_section_for_each_order_and_is_read_as_it_was(tmp_path: Path) -> None:
    text = arpa_text(TABLE)
    assert text.startswith("\\data\\\nngram 1=5\nngram 2=2\n\n\\1-grams:\n-2\t<unk>\t0\n")
    assert text.endswith("\n\n\\2-grams:\n-0.25\t<s> ▁un\n-0.0625\t▁un é\n\n\\end\\\n")
    (tmp_path / "a.arpa").write_text(text, "utf-8")
    assert read_arpa(tmp_path / "a.arpa") == TABLE
