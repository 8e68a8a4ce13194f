"""Exchanges: a request and its answer, with the headers of all answers and the line in the log.

Every answer carries the id of the request, forbids browsers to guess its type, and names the pages that
may frame it. Every request leaves one line in the log, refused or not; a websocket leaves it when it
ends. No line contains text, audio, a query or a token's secret.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from server.adapters.deepgram import messages as deepgram
from server.http.access import Access, Grant
from server.http.peers import Peer
from server.refusals import Refusal
from server.tokens.account import Account
from server.tokens.keyring import NOBODY

logger = logging.getLogger(__name__)
SERVER = "rill"
PROBES = ("/healthz", "/readyz", "/metrics")  # requested every second: at debug, unless refused
LONGEST = 200  # characters of what a peer wrote


@dataclass
class Exchange:
    """One request, from its arrival to its line in the log.

    Attributes:
        peer: who sent it.
        method, path: as they were sent, for HTTP; without the query, which may hold a token.
        query: of the path; for the handlers, it is not logged.
        headers: of every answer to it.
        grant: what it may do.
        refusal: why it was not served; None if it was.
        fields: further ones of the line.
        began: its arrival, on the monotonic clock.
    """

    peer: Peer
    method: str | None = None
    path: str | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    grant: Grant = field(default_factory=lambda: Grant(Account("", NOBODY)))
    refusal: Refusal | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    def log(self, status: int | None) -> None:
        """Write the line; without a status if the client got no answer."""
        probe = self.path in PROBES and self.refusal is None
        refused = {}
        if self.refusal is not None:
            reason = self.refusal.logged or self.refusal.text
            refused = {"refused": self.refusal.reason, "reason": reason}
        fields = {
            "request_id": self.peer.request_id,
            "peer": self.peer.address,
            "method": self.method and self.method[:LONGEST],
            "path": self.path and self.path[:LONGEST],
            "token": self.grant.account.name or None,
            "status": status,
            "seconds": round(time.monotonic() - self.began, 3),
        }
        level = logging.DEBUG if probe else logging.INFO
        logger.log(level, "request", extra={"fields": fields | refused | self.fields})


KEY = web.RequestKey("exchange", Exchange)


def begin(request: web.BaseRequest, peer: Peer, access: Access) -> Exchange:
    """Begin the exchange of a request; `exchange_of` returns it from now on."""
    headers = {
        "Server": SERVER,
        "X-Request-Id": peer.request_id,
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": access.frame_ancestors,
        "Vary": "Origin",
    }
    path = request.raw_path.partition("?")[0]
    if path == deepgram.PATH:
        headers[deepgram.REQUEST_ID] = peer.request_id
    exchange = Exchange(peer, request.method, path, headers=headers)
    request[KEY] = exchange
    return exchange


def exchange_of(request: web.BaseRequest) -> Exchange:
    """Return the exchange of a request that has begun."""
    return request[KEY]
