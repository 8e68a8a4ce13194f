"""Access: who may use the server, by the requested host, the origin of a page, and a token.

1. The `Host` of a request has to be a name of this server (`server.http.hosts`): a page whose name was
   made to resolve to the server gets 421.
2. Requests of web pages carry their origin. The server's own page may use it; other origins only if
   they are listed, since any page can reach a server on its reader's own machine. Programs send no
   origin, or the server's own.
3. A token is in the header `Authorization: Bearer <token>` or in the query as `token=<token>`
   (browsers cannot set headers of websockets). Tokens are compared in constant time. If none are
   configured, none is needed.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from server.http.hosts import ANY, NULL, Hosts, parse_host, parse_origin
from server.refusals import Refusal, quoted


@dataclass(frozen=True)
class Access:
    """The access rules of a server.

    Attributes:
        tokens: a request needs one of them; none: no token is needed.
        origins: of other web pages, such as "https://example.org"; "*" is every one.
        hosts: the names of this server.
    """

    tokens: tuple[str, ...] = ()
    origins: frozenset[str] = frozenset()
    hosts: Hosts = field(default_factory=Hosts)

    def check_host(self, given: Sequence[str], required: bool = True) -> None:
        """Raise a `Refusal` of a request for its `Host` headers.

        Args:
            given: all of them.
            required: whether there has to be one, as in HTTP/1.1.
        """
        if len(given) > 1 or (required and not given):
            raise Refusal(400, f"the request has {len(given)} Host headers; want one", "host")
        if not given or not given[0].strip():
            return
        host = parse_host(given[0])
        if host is None:
            raise Refusal(400, f"the Host header is {quoted(given[0])}, not a host", "host")
        if not self.hosts.allow(host[0]):
            raise Refusal(
                421,
                f"{quoted(host[0])} is not a name of this server; if it should be, list it in "
                "--allowed-hosts",
                "host",
            )

    def check(
        self,
        headers: Mapping[str, str],
        query: Mapping[str, str],
        scheme: str,
        public: bool = False,
    ) -> None:
        """Raise a `Refusal` of a request for its origin or token.

        Args:
            headers, query: of the request.
            scheme: that the client used, "http" or "https".
            public: whether the path needs no token.
        """
        origin = headers.get("Origin")
        if origin is not None and not self.allows_origin(origin, headers.get("Host", ""), scheme):
            raise Refusal(
                403,
                f"web pages of {quoted(origin)} may not use this server; see --allowed-origins, or "
                "--trusted-proxies where a proxy ends TLS",
                "origin",
            )
        if self.tokens and not public and not self._has_token(headers, query):
            raise Refusal(
                401,
                "send the token as 'Authorization: Bearer <token>' or ?token=<token>",
                "token",
                {"WWW-Authenticate": "Bearer"},
                code="invalid_api_key",
            )

    def allows_origin(self, origin: str, host: str, scheme: str) -> bool:
        """Return whether a page of an origin may use the server under the name `host`."""
        if ANY in self.origins or (origin == NULL and NULL in self.origins):
            return True
        page, own = parse_origin(origin), parse_origin(f"{scheme}://{host}")
        return page is not None and (page == own or str(page) in self.origins)

    @property
    def frame_ancestors(self) -> str:
        """The pages that may show this server's in a frame, as a policy says it (CSP)."""
        listed = sorted(each for each in self.origins if each != NULL)
        return " ".join(["frame-ancestors", *([ANY] if ANY in listed else ["'self'", *listed])])

    def _has_token(self, headers: Mapping[str, str], query: Mapping[str, str]) -> bool:
        kind, _, shown = headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer":
            shown = query.get("token", "")
        given = shown.strip().encode(errors="replace")
        # Every token is compared, so that the time does not reveal which one is similar.
        return any([hmac.compare_digest(given, token.encode()) for token in self.tokens])


def parse_tokens(text: str) -> tuple[str, ...]:
    """Read a token file: one token per line; empty lines and those that begin with # are skipped."""
    lines = (line.strip() for line in text.splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))
