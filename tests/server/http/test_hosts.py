from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.http.hosts import Hosts, parse_host, parse_hosts, parse_origin, parse_origins


@pytest.mark.parametrize(
    "value, expected",
    [
        ("box", ("box", None)),
        (" Box.Example.ORG.:3030 ", ("box.example.org", 3030)),
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("[::1]:3030", ("::1", 3030)),
        ("box:", ("box", None)),
        ("", None),
        (":80", None),
        ("::1", None),
        ("box:99a", None),
        ("a@b", None),
        ("http://box", None),
    ],
)
def test_a_host_has_a_name_and_perhaps_a_port(
    value: str, expected: tuple[str, int | None] | None
) -> None:
    assert parse_host(value) == expected


@pytest.mark.parametrize(
    "name",
    ["localhost", "app.localhost", "127.0.0.1", "127.9.9.9", "::1", "192.168.1.7", "fd00::1"],
)
def test_addresses_and_the_loopback_are_always_names_of_the_server(name: str) -> None:
    assert Hosts(network=False).allow(name)
    assert Hosts(network=True).allow(name)


@pytest.mark.parametrize(
    "name", ["server-1", "box.local", "rill.default.svc.cluster.local", "a.internal", "x.home.arpa"]
)
def test_names_that_no_public_dns_holds_are_on_a_network_only(name: str) -> None:
    assert Hosts(network=True).allow(name)
    assert not Hosts(network=False).allow(name)


@pytest.mark.parametrize(
    "name",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evillocal.example",
        "evil.xlocal",
    ],
)
def test_a_name_that_a_stranger_may_own_is_not_the_servers(name: str) -> None:
    assert not Hosts(network=True).allow(name)
    assert not Hosts(network=False).allow(name)


@pytest.mark.parametrize(
    "listed, name, allowed",
    [
        ("asr.example.org", "asr.example.org", True),
        ("ASR.example.org", "asr.example.org", True),
        ("asr.example.org", "www.example.org", False),
        ("asr.example.org", "asr.example.org.evil.net", False),
        ("*.example.org", "a.b.example.org", True),
        ("*.example.org", "example.org", False),
        ("*.example.org", "evilexample.org", False),
        ("*", "evil.example", True),
        ("a.org, b.org", "b.org", True),
    ],
)
def test_other_names_have_to_be_listed(listed: str, name: str, allowed: bool) -> None:
    assert parse_hosts(listed, "127.0.0.1").allow(name) == allowed


@pytest.mark.parametrize(
    "address, network", [("127.0.0.1", False), ("::1", False), ("0.0.0.0", True)]
)
def test_whether_a_server_is_on_a_network_is_its_address(address: str, network: bool) -> None:
    assert parse_hosts("", address).network == network


def test_the_name_that_is_listened_on_is_one() -> None:
    assert parse_hosts("", "Asr.example.org").allow("asr.example.org")


@pytest.mark.parametrize("text", ["https://asr.example.org", "asr.example.org:80", "a b", "a*.org"])
def test_what_is_no_name_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="is not a name; want"):
        parse_hosts(text, "127.0.0.1")


def test_origins_are_one_spelling() -> None:
    text = "HTTPS://A.org:443/, http://b.org:3030, app://c, null, *"
    assert parse_origins(text) == {"https://a.org", "http://b.org:3030", "app://c", "null", "*"}
    assert str(parse_origin("http://[::1]:80")) == "http://[::1]"


@pytest.mark.parametrize("text", ["example.org", "https://", "https://a.org/page"])
def test_what_is_no_origin_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="is not an origin; want"):
        parse_origins(text)


@given(st.text(max_size=30))
def test_nothing_that_a_peer_writes_raises(text: str) -> None:
    host = parse_host(text)
    if host is not None:
        Hosts().allow(host[0])
    parse_origin(text)
