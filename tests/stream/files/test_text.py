"""Text files: byte order marks, line ends, and what is no UTF-8."""

from __future__ import annotations

import contextlib
import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.files.text import TextError, decode_text, read_lines, read_text


def test_a_byte_order_mark_and_the_line_ends_of_windows_are_no_part_of_the_text(
    tmp_path: Path,
) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo \xe6\x9d\xb1\r\n")
    assert read_text(path) == "one\ntwo 東\n"


def test_line_ends_of_any_system_are_the_same() -> None:
    assert decode_text(b"a\nb") == decode_text(b"a\r\nb") == decode_text(b"a\rb") == "a\nb"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-16-le", "utf-16-be"])
def test_other_encodings_are_refused_by_name(encoding: str) -> None:
    with pytest.raises(TextError, match=r"UTF-(16|32).*save it as UTF-8"):
        decode_text("one\ntwo\n".encode(encoding))


def test_a_byte_that_is_no_character_is_named_with_its_line() -> None:
    with pytest.raises(TextError, match="line 2: byte 0xE9 is not part") as caught:
        decode_text(b"one\r\ncaf\xe9\r\n")
    assert caught.value.line == 2


@given(st.text(st.characters(exclude_characters="\r\0\ufeff", codec="utf-8")), st.booleans())
def test_any_text_is_read_as_it_was_written(text: str, marked: bool) -> None:
    assert decode_text(text.encode("utf-8-sig" if marked else "utf-8")) == text


@given(st.binary())
def test_any_bytes_give_text_or_a_text_error(content: bytes) -> None:
    with contextlib.suppress(TextError):
        assert isinstance(decode_text(content), str)


@given(st.text(st.characters(exclude_characters="\0\ufeff", codec="utf-8")), st.booleans())
def test_lines_one_by_one_are_those_of_the_whole_text(
    tmp_path_factory: pytest.TempPathFactory, text: str, compressed: bool
) -> None:
    content = text.encode()
    path = tmp_path_factory.mktemp("lines") / "text"
    path.write_bytes(gzip.compress(content) if compressed else content)
    lines = decode_text(content).split("\n")
    if lines[-1] == "":
        lines.pop()
    assert list(read_lines(path)) == list(enumerate(lines, 1))


def test_a_fault_in_a_line_read_alone_has_its_number(tmp_path: Path) -> None:
    path = tmp_path / "text"
    for content, message in (
        (b"one\r\ncaf\xe9\r\n", "line 2: byte 0xE9 is not part"),
        (b"one\ntwo\0\n", "holds zero bytes"),
        ("one\ntwo".encode("utf-16"), "is UTF-16"),
        (gzip.compress(b"one\n" * 1000)[:-20], "compressed data end"),
    ):
        path.write_bytes(content)
        with pytest.raises(TextError, match=message):
            list(read_lines(path))
