"""The handshake of a websocket: the checks of RFC 6455 section 4.2.1, and their answers.

1. A method other than GET: 405.
2. No upgrade to a websocket, or HTTP/1.0: 426, with the required `Upgrade`.
3. A version other than 13: 426 with the supported one. aiohttp would accept the drafts 7 and 8.
4. A key that is not 16 bytes in base64: 400.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from server.refusals import Refusal, quoted

VERSION = "13"
KEY_BYTES = 16
UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade"}


def wants_upgrade(headers: Mapping[str, str]) -> bool:
    """Return whether a request asks for a websocket."""
    return "websocket" in _tokens(headers, "Upgrade")


def check_handshake(method: str, version: tuple[int, int], headers: Mapping[str, str]) -> None:
    """Raise a `Refusal` of a request for a websocket that is not valid.

    Args:
        method, version: of HTTP.
        headers: by name, case-insensitive.
    """
    if method != "GET":
        raise Refusal(
            405, f"a websocket is opened with GET, not {method[:100]}", "method", {"Allow": "GET"}
        )
    upgrading = wants_upgrade(headers) and "upgrade" in _tokens(headers, "Connection")
    if not upgrading or version < (1, 1):
        raise Refusal(
            426,
            "this path is a websocket; send an upgrade request",
            "handshake",
            UPGRADE,
        )
    spoken = headers.get("Sec-WebSocket-Version", "")
    if spoken.strip() != VERSION:
        raise Refusal(
            426,
            f"Sec-WebSocket-Version is {quoted(spoken)}; want {VERSION}",
            "handshake",
            UPGRADE | {"Sec-WebSocket-Version": VERSION},
        )
    key = headers.get("Sec-WebSocket-Key", "")
    try:
        size = len(base64.b64decode(key, validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if size != KEY_BYTES:
        raise Refusal(
            400, f"Sec-WebSocket-Key is {quoted(key)}; want 16 bytes in base64", "handshake"
        )


def _tokens(headers: Mapping[str, str], name: str) -> list[str]:
    return [token.strip().lower() for token in headers.get(name, "").split(",")]
