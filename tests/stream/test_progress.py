import pytest

from stream.progress import show_count, show_line


def test_a_count_is_written_over_until_all_are_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    show_count(1, 2)
    show_count(2, 2)
    show_count(1, 1, "int8")
    out, err = capsys.readouterr()
    assert err == "\r1 of 2\x1b[K\r2 of 2\x1b[K\n\rint8: 1 of 1\x1b[K\n"
    assert out == ""


def test_an_empty_line_clears_the_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    show_line("half of it")
    show_line("")
    assert capsys.readouterr().err == "\rhalf of it\x1b[K\r\x1b[K"


def test_nothing_is_shown_where_stderr_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show_line("half of it")
    show_count(2, 2)
    assert capsys.readouterr().err == ""
