"""CTM files as they are written and read."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.ctm import CtmError, ctm_line, read_ctm


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_ctm_line_has_file_channel_start_duration_word() -> None:
    assert ctm_line("a 1.wav", "yes", 0.6, 0.72) == "a_1.wav 1 0.600 0.120 yes"


def test_a_ctm_gives_words_by_their_ends_and_skips_comments(tmp_path: Path) -> None:
    ctm = write(
        tmp_path / "a.ctm",
        ";; made by hand\none 1 0.50 0.25 cat 0.9\n\none 1 0.10 0.20 the\ntwo 1 0 1 hat 1\n",
    )
    assert read_ctm(ctm) == {
        "one": (("the", pytest.approx(0.3)), ("cat", pytest.approx(0.75))),
        "two": (("hat", 1.0),),
    }


@pytest.mark.parametrize(
    "line", ["one 1 0.5 0.2", "one A 0.5 0.2 cat 1", "one 1 x 0.2 cat 1", "one 1 nan 1 cat 1"]
)
def test_a_ctm_line_of_another_form_is_named(tmp_path: Path, line: str) -> None:
    ctm = write(tmp_path / "a.ctm", f"one 1 0 1 the 1\n{line}\n")
    with pytest.raises(CtmError, match=r"a\.ctm: line 2"):
        read_ctm(ctm)


def test_a_ctm_with_a_byte_order_mark_and_windows_line_ends_is_taken(tmp_path: Path) -> None:
    ctm = tmp_path / "a.ctm"
    ctm.write_bytes(b"\xef\xbb\xbfone 1 0.50 0.25 caf\xc3\xa9 0.9\r\n")
    assert read_ctm(ctm) == {"one": (("café", 0.75),)}


def test_a_ctm_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(CtmError, match=r"none\.ctm: cannot be read"):
        read_ctm(tmp_path / "none.ctm")
