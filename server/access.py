"""Access: who may use the server, by a token, and which web pages may, by their origin.

A token stands in the header `Authorization: Bearer <token>` or in the query as `token=<token>`
(browsers cannot set headers of websockets). Compared in constant time. Without tokens everybody may.

A request of a web page carries its origin. The server's own page may use it; other origins only if
they are listed, since a page from anywhere can reach a server on its reader's own machine. Programs
send no origin, or the server's own.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from server.request import Refusal

__all__ = ["Access", "parse_tokens"]


@dataclass(frozen=True)
class Access:
    """What a request has to show.

    Attributes:
        tokens: any of them opens the door; none: there is no door.
        origins: of web pages elsewhere, such as "https://example.org"; "*" is every one.
    """

    tokens: tuple[str, ...] = ()
    origins: frozenset[str] = frozenset()

    def refusal(self, headers: Mapping[str, str], query: Mapping[str, str]) -> Refusal | None:
        """Return why a request may not go on, None where it may."""
        origin = headers.get("Origin")
        if origin is not None and not self.allows_origin(origin, headers.get("Host", "")):
            return Refusal(
                403,
                f"web pages of {origin[:100]!r} may not use this server; see --allowed-origins",
                "origin",
            )
        if self.tokens and not self._has_token(headers, query):
            return Refusal(
                401, "send the token as 'Authorization: Bearer <token>' or ?token=<token>", "token"
            )
        return None

    def allows_origin(self, origin: str, host: str) -> bool:
        """Return whether a page of an origin may use the server, which it calls `host`."""
        own = origin.partition("://")[2]
        return bool(own and own == host) or origin in self.origins or "*" in self.origins

    def _has_token(self, headers: Mapping[str, str], query: Mapping[str, str]) -> bool:
        kind, _, shown = headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer":
            shown = query.get("token", "")
        given = shown.strip().encode(errors="replace")
        # Every token is compared, so that the time does not tell which of them came close.
        return any([hmac.compare_digest(given, token.encode()) for token in self.tokens])


def parse_tokens(text: str) -> tuple[str, ...]:
    """Read a token file: one token a line; empty lines and those that begin with # do not count."""
    lines = (line.strip() for line in text.splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))
