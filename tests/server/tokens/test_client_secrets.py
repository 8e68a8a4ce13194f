from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.tokens.account import Account
from server.tokens.client_secrets import KeyFileError, Signer, new_signer, read_key
from server.tokens.file import Token, digest

DESK = Account("desk", Token(sha256=digest("one")))
SIGNER = Signer(b"k" * 32)


def find(name: str) -> Account | None:
    return DESK if name == "desk" else None


def encode(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def test_a_secret_says_what_it_was_made_for_until_it_expires() -> None:
    value = SIGNER.make(DESK, 1000, b'{"type":"transcription"}')
    assert value.startswith("ek_")
    read = SIGNER.read(value, find, 999.9)
    assert read is not None
    account, said = read
    assert account is DESK
    assert (said.token, said.expires, bytes(said.session)) == (
        "desk",
        1000,
        b'{"type":"transcription"}',
    )
    assert SIGNER.read(value, find, 1000.0) is None
    assert value != SIGNER.make(DESK, 1000, b'{"type":"transcription"}')


def test_any_server_with_the_key_takes_it_and_no_other() -> None:
    value = SIGNER.make(DESK, 1000)
    assert Signer(b"k" * 32).read(value, find, 0.0) is not None
    assert new_signer().read(value, find, 0.0) is None


def test_it_ends_with_its_token() -> None:
    value = SIGNER.make(DESK, 1000)
    assert SIGNER.read(value, lambda name: None, 0.0) is None
    replaced = Account("desk", Token(sha256=digest("another")))
    assert SIGNER.read(value, lambda name: replaced, 0.0) is None


@pytest.mark.parametrize(
    "place, forged", [(0, "admin"), (1, 10**9), (2, {"include": []}), (3, "another")]
)
def test_what_it_says_cannot_be_changed(place: int, forged: object) -> None:
    payload, _, signature = SIGNER.make(DESK, 1000)[3:].partition(".")
    said = json.loads(urlsafe_b64decode(f"{payload}=="))
    said[place] = forged
    value = f"ek_{encode(json.dumps(said).encode())}.{signature}"
    assert SIGNER.read(value, lambda name: DESK, 0.0) is None


@pytest.mark.parametrize(
    "value",
    [
        "",
        "ek_",
        "ek_.",
        "ek_e30.",
        f"ek_{encode(b'[]')}.{encode(bytes(32))}",
        f"ek_{encode(b'[' * 3000)}.x",
        f"ek_{encode(json.dumps(['desk', 'soon', {}, '']).encode())}.x",
        f"ek_{'A' * 1_000_000}.x",
        "ek_\udcff.\0",
        "ek_é.é",
    ],
)
def test_what_is_none_is_refused_and_raises_nothing(value: str) -> None:
    assert SIGNER.read(value, find, 0.0) is None


@given(st.text(max_size=200))
def test_no_text_raises(text: str) -> None:
    assert SIGNER.read(f"ek_{text}", find, 0.0) is None


@given(st.integers(0, 80), st.integers(0, 255))
def test_a_changed_signature_is_none(place: int, byte: int) -> None:
    payload, _, signature = SIGNER.make(DESK, 1000)[3:].partition(".")
    raw = bytearray(urlsafe_b64decode(f"{signature}=="))
    raw[place % len(raw)] ^= byte
    value = f"ek_{payload}.{encode(bytes(raw))}"
    assert (SIGNER.read(value, find, 0.0) is None) == (byte != 0)


def test_a_key_comes_from_a_file_and_is_long(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("f" * 64 + "\n")
    assert read_key(file) == b"f" * 64
    file.write_text("short\n")
    with pytest.raises(KeyFileError, match="the key has 5 bytes; want 32 or more: openssl rand"):
        read_key(file)
    with pytest.raises(ValueError, match="a key has 0 bytes"):
        Signer(b"")
