"""The keyring: all tokens of a server, found by their secrets, and read again while it runs.

The token file is read again on SIGHUP, and within two seconds of a change. Open streams go on, but those of
tokens that were removed or disabled are ended. A file with faults changes nothing: the tokens stay as
they were, the log names the faults, and a metric says that the last reload failed.
"""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from server.tokens.account import Account
from server.tokens.file import Token, TokenFileError, digest

logger = logging.getLogger(__name__)
NOBODY = Token(sha256=digest(""), metrics=True)


class Keyring:
    """The tokens of a server.

    Args:
        tokens: by name; none: no token is needed.
        path: the file that is watched, None if there is none.
        read: returns all tokens, from the file and the environment.
        clock: returns the time, seconds since 1970.

    Attributes:
        reloaded: whether the last reload succeeded.
        anyone: the account of all streams where no token is needed.
    """

    def __init__(
        self,
        tokens: Mapping[str, Token],
        path: Path | None = None,
        read: Callable[[], Mapping[str, Token]] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._accounts = {name: Account(name, token, clock) for name, token in tokens.items()}
        self._path, self._read = path, read
        self._loaded = self._seen = self._state()
        self.clock = clock
        self.reloaded = True
        self.anyone = Account("", NOBODY)

    def __bool__(self) -> bool:
        """Return whether a token is needed."""
        return bool(self._accounts)

    def __iter__(self) -> Iterator[Account]:
        """Iterate over the accounts of all tokens."""
        return iter(tuple(self._accounts.values()))

    def find(self, secret: str) -> Account | None:
        """Return the account of a secret; None if it is no token's, or one that is disabled or expired."""
        given = digest(secret)
        found = None
        # Every hash is compared, so that the time says nothing about which one is similar.
        for account in self._accounts.values():
            if hmac.compare_digest(given, account.token.sha256):
                found = account
        return found if found is not None and self._valid(found.token) else None

    def named(self, name: str) -> Account | None:
        """Return the account of a name; None as for `find`."""
        account = self._accounts.get(name)
        return account if account is not None and self._valid(account.token) else None

    def tick(self) -> None:
        """Count audio, and check whether the file has changed; to be called each second."""
        for account in self._accounts.values():
            if account.leases:
                account.count()
        state = self._state()
        # A file that is being written is read when it has been the same twice.
        if state is not None and state != self._loaded and state == self._seen:
            self.reload()
        self._seen = state

    def reload(self) -> None:
        """Read the file again."""
        if self._read is None:
            return
        self._loaded = self._state()
        try:
            tokens = self._read()
        except (OSError, TokenFileError) as error:
            self.reloaded = False
            logger.error("the tokens stay as they were: %s", error)
            return
        self.reloaded = True
        self.replace(tokens)
        logger.info("tokens were read again: %d", len(tokens))

    def replace(self, tokens: Mapping[str, Token]) -> None:
        """Take these tokens instead; a name that stays keeps what it has used."""
        before = self._accounts
        self._accounts = {
            name: before.get(name) or Account(name, token, self.clock)
            for name, token in tokens.items()
        }
        for name, account in before.items():
            if name not in tokens or tokens[name].disabled:
                account.withdraw()
        for name, token in tokens.items():
            self._accounts[name].token = token

    def _valid(self, token: Token) -> bool:
        expires = token.expires
        return not token.disabled and (expires is None or self.clock() < expires.timestamp())

    def _state(self) -> tuple[int, int, int] | None:
        """Return what differs after a change of the file; None while there is none."""
        if self._path is None:
            return None
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
