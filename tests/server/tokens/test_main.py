from __future__ import annotations

import re
from pathlib import Path

import pytest

from server.tokens.__main__ import main
from server.tokens.file import digest, read_tokens


def test_new_prints_the_secret_once_and_writes_its_hash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "tokens.toml"
    limits = ["--streams", "20", "--audio-seconds-per-day", "3600", "--note", 'the "desk"\nin Lyon']
    assert main(["new", "desk", "--file", str(file), *limits, "--expires-days", "30"]) == 0
    secret = capsys.readouterr().out.strip()
    (token,) = read_tokens(file).values()
    assert token.sha256 == digest(secret) and secret not in file.read_text()
    assert (token.streams, token.audio_seconds_per_day) == (20, 3600.0)
    assert token.note == 'the "desk"\nin Lyon' and token.expires is not None
    assert file.stat().st_mode & 0o777 == 0o600


def test_new_keeps_what_the_file_has_and_its_mode(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "tokens.toml"
    main(["new", "first.one", "--file", str(file)])
    file.write_text(f"# of the desk\n{file.read_text()}streams = 3 # as agreed\n")
    file.chmod(0o640)
    assert main(["new", "second", "--file", str(file)]) == 0
    assert file.read_text().startswith("# of the desk\n") and "# as agreed" in file.read_text()
    assert [*read_tokens(file)] == ["first.one", "second"]
    assert file.stat().st_mode & 0o777 == 0o640
    capsys.readouterr()
    assert main(["list", "--file", str(file)]) == 0
    assert capsys.readouterr().out == "first.one: streams 3\nsecond: no limits\n"


@pytest.mark.parametrize(
    "argv, status, said",
    [
        (["new", "desk"], 2, "has a token 'desk' already"),
        (["new", "a b"], 2, "the name is 'a b'; want 1 to 64 letters"),
        (["new", "x", "--streams", "-1"], 2, "streams is -1; want 0 or more"),
        (["new", "x", "--expires-days", "-1"], 2, "--expires-days is -1; want more than 0"),
        (["new", "x", "--expires-days", "inf"], 2, "--expires-days is inf; want more than 0"),
        (["new", "x", "--note", "\x7f"], 3, "not TOML"),
    ],
)
def test_what_cannot_be_added_is_said_and_the_file_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str], status: int, said: str
) -> None:
    file = tmp_path / "tokens.toml"
    main(["new", "desk", "--file", str(file)])
    before = file.read_text()
    assert main([*argv, "--file", str(file)]) == status
    assert re.search(re.escape(said), capsys.readouterr().err)
    assert file.read_text() == before


def test_a_list_of_plain_tokens_is_not_written_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", "desk", "--file", str(tmp_path / "tokens")]) == 2
    assert "ends in .toml" in capsys.readouterr().err
