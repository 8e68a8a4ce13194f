from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from server.refusals import Refusal
from server.tokens.file import Token, TokenFileError, digest, read_tokens
from server.tokens.keyring import Keyring

ONE, TWO = Token(sha256=digest("one")), Token(sha256=digest("two"))


def write(path: Path, **tokens: str) -> None:
    """Write a token file with tables, each given by its lines, at a later time than before."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text("\n".join(f"[{name}]\n{lines}" for name, lines in tokens.items()))
    os.utime(path, ns=(before + 10**9, before + 10**9))


def of_file(path: Path) -> Keyring:
    return Keyring(read_tokens(path), path, lambda: read_tokens(path))


def test_a_secret_finds_its_token() -> None:
    keyring = Keyring({"a": ONE, "b": TWO})
    names = [found and found.name for found in map(keyring.find, ["one", "two", "three", ""])]
    assert names == ["a", "b", None, None]


@pytest.mark.parametrize("hostile", ["\udcff\0", "a" * 100_000, ONE.sha256, "one ", "ONE"])
def test_nothing_else_finds_one(hostile: str) -> None:
    assert Keyring({"a": ONE}).find(hostile) is None


def test_a_token_is_found_until_it_expires_and_never_while_it_is_disabled() -> None:
    now = datetime(2027, 1, 1, tzinfo=UTC).timestamp() - 1
    expiring = Token(sha256=digest("one"), expires=datetime(2027, 1, 1, tzinfo=UTC))
    keyring = Keyring({"a": expiring}, clock=lambda: now)
    assert keyring.find("one") is not None
    now += 1
    assert keyring.find("one") is None and keyring.named("a") is None
    assert Keyring({"a": Token(sha256=digest("one"), disabled=True)}).find("one") is None


def test_a_changed_file_is_read_once_it_has_come_to_rest(tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    write(file, a=f'sha256 = "{digest("one")}"')
    keyring = of_file(file)
    write(file, b=f'sha256 = "{digest("two")}"')
    keyring.tick()
    assert keyring.find("two") is None  # it may be half written
    keyring.tick()
    assert keyring.find("two") is not None and keyring.find("one") is None


def test_a_file_with_a_fault_or_none_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "tokens.toml"
    write(file, a=f'sha256 = "{digest("one")}"')
    keyring = of_file(file)
    write(file, a="sha256 = 'x'")
    for _ in range(3):
        keyring.tick()
    assert keyring.find("one") is not None and not keyring.reloaded
    assert len(caplog.records) == 1 and "a: sha256 is not 64" in caplog.text
    file.unlink()
    for _ in range(3):
        keyring.tick()
    assert keyring.find("one") is not None
    write(file, a=f'sha256 = "{digest("one")}"')
    for _ in range(2):
        keyring.tick()
    assert keyring.reloaded


def test_an_emptied_file_does_not_open_the_server(tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    write(file, a=f'sha256 = "{digest("one")}"')
    keyring = of_file(file)
    file.write_text("")
    keyring.reload()
    assert keyring and not keyring.reloaded
    with pytest.raises(TokenFileError):
        of_file(file)


def test_what_a_name_has_used_stays_and_streams_of_a_withdrawn_token_are_ended() -> None:
    keyring = Keyring({"a": ONE, "b": TWO})
    a, b = keyring
    ended: list[str] = []
    with a.lease("vosk") as kept, b.lease("vosk") as gone:
        kept.end = lambda refusal: ended.append("a")
        gone.end = lambda refusal: ended.append(f"b {refusal.status}: {refusal}")
        keyring.replace({"a": Token(sha256=digest("new"), streams=1)})
        assert ended == ["b 403: the token was withdrawn"]
        assert keyring.find("one") is None and keyring.find("new") is a
        with pytest.raises(Refusal, match="has its 1 streams open"), a.lease("vosk"):
            pass
        keyring.replace({"a": Token(sha256=digest("new"), disabled=True)})
        assert ended[1:] == ["a"]
