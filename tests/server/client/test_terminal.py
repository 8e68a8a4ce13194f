from __future__ import annotations

import io

from server.client.terminal import LiveText, growing_line


def test_final_text_is_written_once_and_provisional_text_is_taken_back() -> None:
    stream = io.StringIO()
    live = LiveText(stream, columns=40)
    live.show(" and", "")
    live.show(" and we", " a")
    live.show(" and we are", "")
    live.end()
    assert stream.getvalue() == (
        "\x1b[Kand"
        "\x1b[K we\x1b[2m a\x1b[22m\x1b[2D"
        "\x1b[K are"
        "\x1b[K\n"
    )  # fmt: skip


def test_provisional_text_never_wraps() -> None:
    stream = io.StringIO()
    live = LiveText(stream, columns=10)
    live.show("twelve chars", "provisional")
    assert stream.getvalue() == "\x1b[Ktwelve chars\x1b[2mprovisi\x1b[22m\x1b[7D"


def test_elsewhere_final_text_is_written_as_it_grows_and_provisional_text_is_not() -> None:
    stream = io.StringIO()
    line = growing_line(stream)
    grown = []
    for final, provisional in ((" and", " wee"), (" and we", ""), (" and we", " a")):
        line.show(final, provisional)
        grown.append(stream.getvalue())
    line.end()
    assert grown == ["and", "and we", "and we"]
    assert stream.getvalue() == "and we\n"
