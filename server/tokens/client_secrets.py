"""Client secrets: short-lived tokens for browsers, signed instead of stored.

A page must not hold the token of its site, so the site's server asks for a client secret and hands that to the
page. It holds the name of the token, its expiry and the settings of a session, and is signed (HMAC-SHA256): every
server with the same key can check it, and none has to remember it. Rules:

1. The signature covers the hash of the token, so a secret ends with its token: when that is removed,
   disabled, expired or replaced.
2. It opens any number of live streams until it expires; they count as streams of the token.
3. Without a key file each server makes a key at its start, and the others refuse its secrets.

    ek_<base64url(JSON [token, expires, session, nonce])>.<base64url(HMAC)>
"""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import msgspec

from server.tokens.account import Account
from stream.errors import InputError

PREFIX = "ek_"  # as OpenAI's begin
PURPOSE = b"rill client secret 1\n"  # so that nothing the same key signs elsewhere is valid here
KEY_BYTES = 32
NONCE_BYTES = 9
SESSION_BYTES = 2048  # the secret is sent in a header or as a subprotocol
LONGEST = 4096  # characters


class KeyFileError(InputError):
    """A file that holds no key."""


class ClientSecret(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a client secret says.

    Attributes:
        token: name of the token that it counts for.
        expires: when it stops opening streams, seconds since 1970.
        session: settings of OpenAI's realtime session, {} for none.
        nonce: makes each one different.
    """

    token: str
    expires: int
    session: msgspec.Raw
    nonce: str


Read: TypeAlias = tuple[Account, ClientSecret]


class Signer:
    """Makes and reads client secrets.

    Args:
        key: secret bytes, the same on all servers that are to take them.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < KEY_BYTES:
            raise ValueError(f"a key has {len(key)} bytes; want {KEY_BYTES} or more")
        self._key = key

    def make(self, account: Account, expires: int, session: bytes = b"{}") -> str:
        """Return a client secret for the streams of a token."""
        nonce = secrets.token_urlsafe(NONCE_BYTES)
        said = ClientSecret(account.name, expires, msgspec.Raw(session), nonce)
        payload = msgspec.json.encode(said)
        return f"{PREFIX}{_encode(payload)}.{_encode(self._sign(payload, account))}"

    def read(self, value: str, find: Callable[[str], Account | None], now: float) -> Read | None:
        """Return what a client secret says and the account that it counts for; None where it is not valid.

        Args:
            value: that a client shows.
            find: returns the account of a token by its name.
            now: the time, seconds since 1970.
        """
        if not value.startswith(PREFIX) or len(value) > LONGEST:
            return None
        head, _, tail = value.removeprefix(PREFIX).partition(".")
        try:
            payload, signature = (urlsafe_b64decode(f"{part}==") for part in (head, tail))
            said = msgspec.json.decode(payload, type=ClientSecret)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return None
        account = find(said.token)
        if account is None or now >= said.expires:
            return None
        signed = hmac.compare_digest(self._sign(payload, account), signature)
        return (account, said) if signed else None

    def _sign(self, payload: bytes, account: Account) -> bytes:
        said = b"".join((PURPOSE, account.token.sha256.encode(), b"\n", payload))
        return hmac.digest(self._key, said, "sha256")


def new_signer() -> Signer:
    """Return a signer with a key of its own."""
    return Signer(secrets.token_bytes(KEY_BYTES))


def read_key(path: Path) -> bytes:
    """Return the key in a file, without white space around it.

    Raises:
        OSError: it cannot be read.
        KeyFileError: it is too short.
    """
    key = path.read_bytes().strip()
    if len(key) < KEY_BYTES:
        raise KeyFileError(
            f"{path}: the key has {len(key)} bytes; want {KEY_BYTES} or more: openssl rand -hex 32 > {path}"
        )
    return key


def _encode(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()
