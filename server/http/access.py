"""Access: who may use the server, by the requested host, the origin of a page, and a token.

1. The `Host` of a request has to be a name of this server (`server.http.hosts`): a page whose name was
   made to resolve to the server gets 421.
2. Requests of web pages carry their origin. The server's own page may use it; other origins only if
   they are listed, since any page can reach a server on its reader's own machine. Programs send no
   origin, or the server's own.
3. A token is where the clients of some API put it (`shown_token`). If the server has no tokens, none
   is needed. A client secret (`server.tokens.client_secrets`) stands for its token, for live streams and
   what is public about models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from server.http.hosts import ANY, NULL, Hosts, parse_host, parse_origin
from server.refusals import Refusal, quoted
from server.tokens.account import Account
from server.tokens.client_secrets import PREFIX, ClientSecret, Read, Signer, new_signer
from server.tokens.keyring import Keyring

# How browsers, which cannot set headers of websockets, show a token as a subprotocol: OpenAI's way as a
# part of one, Deepgram's as the one after its kind. The other one that they offer is the answer.
SUBPROTOCOL_PREFIX = "openai-insecure-api-key."
SUBPROTOCOLS = ("realtime", "token", "bearer")
SCHEMES = ("bearer", "token")  # of Authorization; the second is Deepgram's


@dataclass(frozen=True)
class Grant:
    """What a request may do.

    Attributes:
        account: that its streams count for.
        secret: the client secret that it showed, None for the token itself, or none.
    """

    account: Account
    secret: ClientSecret | None = None


@dataclass(frozen=True)
class Access:
    """The access rules of a server.

    Attributes:
        keyring: the tokens, of which a request needs one.
        signer: of client secrets.
        origins: of other web pages, such as "https://example.org"; "*" is every one.
        hosts: the names of this server.
    """

    keyring: Keyring = field(default_factory=lambda: Keyring({}))
    signer: Signer = field(default_factory=new_signer)
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
    ) -> Grant:
        """Return what a request may do, or raise a `Refusal` for its origin or token.

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
        shown = shown_token(headers, query)
        if (read := self._read_secret(shown)) is not None:
            return Grant(*read)
        if public or not self.keyring:
            return Grant(self.keyring.anyone)
        account = self.keyring.find(shown)
        if account is None:
            text = "send the token as 'Authorization: Bearer <token>' or ?token=<token>"
            if shown.startswith(PREFIX):
                text = "the client secret has expired, or is not one of this server's"
            challenge = {"WWW-Authenticate": "Bearer"}
            raise Refusal(401, text, "token", challenge, code="invalid_api_key")
        return Grant(account)

    def make_secret(self, account: Account, seconds: int, session: bytes) -> tuple[str, int]:
        """Return a client secret and its expiry: after these seconds, or with its token if that is sooner."""
        end = account.token.expires
        expires = int(self.keyring.clock()) + seconds
        if end is not None:
            expires = min(expires, int(end.timestamp()))
        return self.signer.make(account, expires, session), expires

    def allows_origin(self, origin: str, host: str, scheme: str) -> bool:
        """Return whether a page of an origin may use the server under the name `host`."""
        if ANY in self.origins or (origin == NULL and NULL in self.origins):
            return True
        page, own = parse_origin(origin), parse_origin(f"{scheme}://{host}")
        return page is not None and (page == own or str(page) in self.origins)

    def _read_secret(self, shown: str) -> Read | None:
        keyring = self.keyring
        find = keyring.named if keyring else lambda name: None if name else keyring.anyone
        return self.signer.read(shown, find, keyring.clock())

    @property
    def frame_ancestors(self) -> str:
        """The pages that may show this server's in a frame, as a policy says it (CSP)."""
        listed = sorted(each for each in self.origins if each != NULL)
        return " ".join(["frame-ancestors", *([ANY] if ANY in listed else ["'self'", *listed])])


def shown_token(headers: Mapping[str, str], query: Mapping[str, str]) -> str:
    """Return the token that a request shows, "" where it shows none; the first of these counts.

    1. `Authorization: Bearer <token>`, or Deepgram's `Authorization: Token <token>`.
    2. A subprotocol of a websocket: `openai-insecure-api-key.<token>`, or the one after `token` or `bearer`.
    3. The query's `token=<token>`.
    """
    kind, _, shown = headers.get("Authorization", "").partition(" ")
    if kind.lower() in SCHEMES:
        return shown.strip()
    offered = [each.strip() for each in headers.get("Sec-WebSocket-Protocol", "").split(",")]
    for each in offered:
        if each.startswith(SUBPROTOCOL_PREFIX):
            return each.removeprefix(SUBPROTOCOL_PREFIX)
    if len(offered) > 1 and offered[0].lower() in SCHEMES:
        return offered[1]
    return query.get("token", "").strip()
