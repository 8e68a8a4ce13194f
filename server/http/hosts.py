"""Hosts and origins: the names a server answers to, and the web pages that may use it.

A web page whose name is made to resolve to this server ("DNS rebinding") is of the same origin as the
server for its reader's browser, so that no rule about origins keeps it out. What gives it away is the
`Host` header, which then holds that name. Rules:

1. An IP address is always answered to, and so are the names of the loopback: no page of anybody
   else's can be loaded from there. Clients that send no host are no browsers.
2. A server that listens on the network is also answered to by names that no public DNS can hold:
   those without a dot ("server-1" of a compose file), and those under .local, .internal and
   .home.arpa (RFC 6762, RFC 8375).
3. All other names have to be listed: "asr.example.org" is that name, "*.example.org" is every name
   under it, "*" is every name there is.
4. An origin is a scheme, a host and a port (RFC 6454). A page is the server's own where all three are
   those that the request was sent to; the default port may be left out.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import NamedTuple

ANY = "*"
NULL = "null"  # the origin of a page that has none: a file, a frame in a sandbox
PORTS = {"http": 80, "https": 443}
PRIVATE = (".local", ".internal", ".home.arpa")
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^\s\[\]:/?#@,\\]+)(?::(?P<port>[0-9]{0,5}))?")
_ORIGIN = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>[^/]+)")


class Origin(NamedTuple):
    """Where a page, or a request, comes from or goes to; the port is None where a scheme has none."""

    scheme: str
    name: str
    port: int | None

    def __str__(self) -> str:
        name = f"[{self.name}]" if ":" in self.name else self.name
        port = "" if self.port in (None, PORTS.get(self.scheme)) else f":{self.port}"
        return f"{self.scheme}://{name}{port}"


def parse_host(value: str) -> tuple[str, int | None] | None:
    """Return the name and the port of a `Host` header, None where it is none.

    The name is in small letters, without the brackets of IPv6 and without a dot at its end.
    """
    found = _HOST.fullmatch(value.strip().lower())
    if found is None:
        return None
    name = found["name"].strip("[]").removesuffix(".")
    return (name, int(found["port"]) if found["port"] else None) if name else None


def parse_origin(value: str) -> Origin | None:
    """Return an origin, None where it is none, as "null" is."""
    found = _ORIGIN.fullmatch(value.strip().lower())
    host = parse_host(found["host"]) if found else None
    if found is None or host is None:
        return None
    return Origin(found["scheme"], host[0], host[1] or PORTS.get(found["scheme"]))


def is_loopback(host: str) -> bool:
    """Return whether an address or a name is that of the loopback."""
    address = _address(host)
    if address is not None:
        return address.is_loopback
    return host == "localhost" or host.endswith(".localhost")


@dataclass(frozen=True)
class Hosts:
    """The names that a server answers to.

    Attributes:
        names: that are listed, rule 3.
        network: whether it listens on more than the loopback, rule 2.
    """

    names: frozenset[str] = frozenset()
    network: bool = True

    def allow(self, name: str) -> bool:
        """Return whether the server answers to a name, as `parse_host` returns it."""
        if is_loopback(name) or _address(name) is not None:
            return True
        if self.network and ("." not in name or name.endswith(PRIVATE)):
            return True
        parents = (f"*{name[place:]}" for place, letter in enumerate(name) if letter == ".")
        return bool(self.names.intersection((ANY, name, *parents)))


def parse_hosts(text: str, address: str) -> Hosts:
    """Read the names that a server answers to.

    Args:
        text: names, separated by commas.
        address: that it listens on, whose name is one of them.
    Raises:
        ValueError: one is none; the message names it.
    """
    names = {address.lower()}
    for each in filter(None, map(str.strip, text.split(","))):
        host = parse_host(each.removeprefix("*."))
        if host is None or host[1] is not None or "*" in host[0].removeprefix(ANY):
            raise ValueError(f"{each!r} is not a name; want asr.example.org, *.example.org or *")
        names.add(f"*.{host[0]}" if each.startswith("*.") else host[0])
    return Hosts(frozenset(names), network=not is_loopback(address.lower()))


def parse_origins(text: str) -> frozenset[str]:
    """Read origins of web pages, separated by commas.

    Raises:
        ValueError: one is none; the message names it.
    """
    origins = set()
    for each in filter(None, (each.strip().rstrip("/") for each in text.split(","))):
        origin = parse_origin(each)
        if origin is None and each not in (ANY, NULL):
            raise ValueError(
                f"{each!r} is not an origin; want https://example.org, or * for every one"
            )
        origins.add(each if origin is None else str(origin))
    return frozenset(origins)


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
