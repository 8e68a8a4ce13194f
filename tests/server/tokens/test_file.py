from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.tokens.file import (
    MOST,
    Token,
    TokenFileError,
    digest,
    new_secret,
    parse_tokens,
    read_tokens,
    table_of,
)

HASH = "a" * 64
OTHER = "b" * 64


def test_a_table_is_a_token_and_its_limits() -> None:
    text = f"""
    [call-centre]
    sha256 = "{HASH}"
    note = "the desk in Lyon"
    streams = 20
    audio_seconds_per_minute = 1200
    audio_seconds_per_day = 36_000.5
    stream_seconds = 600
    models = ["fr"]
    protocols = ["vosk", "openai"]
    metrics = true
    expires = 2027-01-01
    disabled = true
    """
    assert parse_tokens(text, "tokens.toml", ["fr"], ["vosk", "openai"]) == {
        "call-centre": Token(
            sha256=HASH,
            note="the desk in Lyon",
            streams=20,
            audio_seconds_per_minute=1200.0,
            audio_seconds_per_day=36000.5,
            stream_seconds=600.0,
            models=("fr",),
            protocols=("vosk", "openai"),
            metrics=True,
            expires=datetime(2027, 1, 1, tzinfo=UTC),
            disabled=True,
        )
    }


@pytest.mark.parametrize(
    "text, fault",
    [
        ("[desk]", "desk: sha256 is missing"),
        ("[desk]\nsha256 = 'short'", "desk: sha256 is not 64 hexadecimal digits"),
        (f"[desk]\nsha256 = '{HASH.upper()}'", "desk: sha256 is not 64 hexadecimal digits"),
        (
            f"[desk]\nsha256 = '{HASH}'\nstream = 2",
            "desk: unknown key stream (did you mean streams",
        ),
        (f"[desk]\nsha256 = '{HASH}'\nstreams = -1", "desk: streams is -1; want 0 or more"),
        (f"[desk]\nsha256 = '{HASH}'\nstreams = '2'", "desk: streams: Expected `int | null`"),
        (
            f"[desk]\nsha256 = '{HASH}'\naudio_seconds_per_day = nan",
            "desk: audio_seconds_per_day is nan; want more than 0",
        ),
        (f"[desk]\nsha256 = '{HASH}'\nmodels = ['de']", "desk: models has 'de'; there are en"),
        (f"[desk]\nsha256 = '{HASH}'\nprotocols = ['morse']", "protocols has 'morse'; there are"),
        (
            f"[desk]\nsha256 = '{HASH}'\nexpires = 2027-01-01T00:00:00",
            "desk: expires is 2027-01-01 00:00:00 without an offset; write 2027-01-01T00:00:00Z",
        ),
        (f"['a b']\nsha256 = '{HASH}'", "the name is 'a b'; want 1 to 64 letters"),
        (f"['a\\\"}} 1\\nrill_up 0']\nsha256 = '{HASH}'", "the name is"),
        ("sha256 = 'x'", "sha256: is not a table"),
        (f"[a]\nsha256 = '{HASH}'\n[b]\nsha256 = '{HASH}'", "b: sha256 is the same as that of a"),
        (f"[a]\nsha256 = '{HASH}'\n[a]\nsha256 = '{OTHER}'", "not TOML"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(text: str, fault: str) -> None:
    with pytest.raises(TokenFileError, match=f"tokens.toml: {re.escape(fault)}|{re.escape(fault)}"):
        parse_tokens(text, "tokens.toml", ["en"], ["vosk"])


def test_all_faults_of_a_file_are_named_at_once() -> None:
    text = f"[a]\nsha256 = 'x'\n[b]\nsha256 = '{HASH}'\nstreems = 1\nmodels = ['de']\n[c]"
    with pytest.raises(TokenFileError) as raised:
        parse_tokens(text, "t.toml", ["en"])
    lines = str(raised.value).splitlines()
    assert [line.split(": ")[1] for line in lines] == ["a", "b", "b", "c"]


def test_a_file_without_a_token_or_with_too_many_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text("# nobody\n")
    with pytest.raises(TokenFileError, match="no token in it"):
        read_tokens(file)
    tables = (f'[t{n}]\nsha256 = "{digest(str(n))}"' for n in range(MOST + 1))
    file.write_text("\n".join(tables))
    with pytest.raises(TokenFileError, match=f"{MOST + 1} tokens; want {MOST} or fewer"):
        read_tokens(file)


def test_secrets_are_long_and_never_the_same() -> None:
    first, second = new_secret(), new_secret()
    assert first != second
    assert re.fullmatch(r"rill_[A-Za-z0-9_-]{43}", first)


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)
counts = st.none() | st.integers(0, 1000)
seconds = st.none() | st.floats(1e-3, 1e6)
notes = st.text(st.characters(exclude_characters="\x7f", exclude_categories=["Cs"]))


@given(names, counts, seconds, notes)
def test_a_token_is_what_its_table_says(
    name: str, streams: int | None, audio: float | None, note: str
) -> None:
    token = Token(sha256=HASH, streams=streams, audio_seconds_per_day=audio, note=note)
    assert parse_tokens(table_of(name, token), "t.toml") == {name: token}
