"""Peers: who sent a request, as the connection says or, behind a proxy, as the proxy says.

Anybody can write into a header, so those about the peer count only in requests that a trusted proxy
sends:

1. X-Forwarded-For names the addresses that the request came through, each added by who received it:
   the client is the last of them that is no trusted proxy itself.
2. X-Forwarded-Proto says whether the client's connection was encrypted. The last value counts.
3. X-Request-Id is taken over where it is short and plain; else, and for all other peers, one is made.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from multidict import MultiMapping

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
SCHEMES = ("http", "https")
_ID = re.compile(r"[A-Za-z0-9._:+=/-]{1,128}")
_FORWARDED = re.compile(r"\[(?P<v6>[^\]]*)\](?::\d+)?|(?P<v4>[0-9.]+)(?::\d+)?|(?P<plain>.*)")


@dataclass(frozen=True)
class Peer:
    """Who sent a request.

    Attributes:
        address: of the client.
        scheme: that the client used, "http" or "https"; "tcp" for other protocols.
        request_id: of this request, in its answer and in the log.
    """

    address: str
    scheme: str
    request_id: str

    @classmethod
    def of_connection(cls, address: str) -> Peer:
        """Return the peer of a connection that has no headers."""
        return cls(address, "tcp", _new_id())


def parse_networks(text: str) -> tuple[Network, ...]:
    """Read networks, separated by commas: "10.0.0.0/8", "192.168.1.4", "fd00::/8".

    Raises:
        ValueError: one is none; the message names it.
    """
    return tuple(ipaddress.ip_network(each.strip()) for each in text.split(",") if each.strip())


def identify(
    remote: str, headers: MultiMapping[str], encrypted: bool, trusted: Sequence[Network] = ()
) -> Peer:
    """Return who sent a request.

    Args:
        remote: address of the other end of the connection.
        headers: of the request.
        encrypted: whether the connection is.
        trusted: networks of proxies.
    """
    scheme, given = SCHEMES[encrypted], ""
    if _trusts(_address(remote), trusted):
        given = headers.get("X-Request-Id", "")
        forwarded = ",".join(headers.getall("X-Forwarded-Proto", ())).rpartition(",")[2]
        if forwarded.strip().lower() in SCHEMES:
            scheme = forwarded.strip().lower()
        remote = _client(remote, ",".join(headers.getall("X-Forwarded-For", ())), trusted)
    return Peer(remote, scheme, given if _ID.fullmatch(given) else _new_id())


def _new_id() -> str:
    return secrets.token_hex(8)


def _client(remote: str, forwarded: str, trusted: Sequence[Network]) -> str:
    """Return the last address that is no trusted proxy's; whatever is before an invalid one is ignored."""
    for entry in reversed(forwarded.split(",")):
        found = _FORWARDED.fullmatch(entry.strip())
        address = _address((found["v6"] or found["v4"] or found["plain"]) if found else "")
        if address is None:
            break
        remote = str(address)
        if not _trusts(address, trusted):
            break
    return remote


def _address(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    # A socket of both families calls an IPv4 peer ::ffff:10.0.0.1.
    return getattr(address, "ipv4_mapped", None) or address


def _trusts(address: Address | None, trusted: Sequence[Network]) -> bool:
    return address is not None and any(address in network for network in trusted)
