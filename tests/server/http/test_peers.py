from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from server.http.peers import Peer, identify, parse_networks

TRUSTED = parse_networks("10.0.0.0/8, 192.168.1.4,fd00::/8")


def peer(remote: str, *headers: tuple[str, str], encrypted: bool = False) -> Peer:
    return identify(remote, CIMultiDict(headers), encrypted, TRUSTED)


def test_a_client_is_the_other_end_of_its_connection_whatever_it_says() -> None:
    got = peer(
        "1.2.3.4",
        ("X-Forwarded-For", "9.9.9.9"),
        ("X-Forwarded-Proto", "https"),
        ("X-Request-Id", "mine"),
    )
    assert (got.address, got.scheme) == ("1.2.3.4", "http")
    assert got.request_id != "mine"
    assert peer("1.2.3.4", encrypted=True).scheme == "https"


@pytest.mark.parametrize(
    "forwarded, address",
    [
        ("9.9.9.9", "9.9.9.9"),
        ("6.6.6.6, 9.9.9.9", "9.9.9.9"),  # the first was written by the client
        ("6.6.6.6, 9.9.9.9, 10.1.1.1", "9.9.9.9"),
        ("9.9.9.9:5678", "9.9.9.9"),
        ("[2001:db8::1]:5678", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("10.2.2.2, 10.1.1.1", "10.2.2.2"),
        ("9.9.9.9, rubbish", "10.0.0.1"),
        ("", "10.0.0.1"),
    ],
)
def test_behind_a_trusted_proxy_it_is_the_last_that_is_no_proxy(
    forwarded: str, address: str
) -> None:
    assert peer("10.0.0.1", ("X-Forwarded-For", forwarded)).address == address


def test_a_header_that_comes_twice_is_one_list() -> None:
    headers = (("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "9.9.9.9"))
    assert peer("192.168.1.4", *headers).address == "9.9.9.9"


def test_ipv4_over_a_socket_of_both_families_is_ipv4() -> None:
    assert peer("::ffff:10.0.0.1", ("X-Forwarded-For", "9.9.9.9")).address == "9.9.9.9"


@pytest.mark.parametrize(
    "said, scheme",
    [("https", "https"), ("HTTPS", "https"), ("https, http", "http"), ("gopher", "http")],
)
def test_the_scheme_is_what_the_last_proxy_says(said: str, scheme: str) -> None:
    assert peer("10.0.0.1", ("X-Forwarded-Proto", said)).scheme == scheme


@pytest.mark.parametrize(
    "given, taken",
    [("a-1_b.c:d", True), ("x" * 128, True), ("x" * 129, False), ("a b", False), ("", False)],
)
def test_an_id_is_taken_over_where_it_is_short_and_plain(given: str, taken: bool) -> None:
    got = peer("10.0.0.1", ("X-Request-Id", given)).request_id
    assert (got == given) == taken
    assert got != peer("10.0.0.1").request_id


def test_what_is_no_network_is_named() -> None:
    with pytest.raises(ValueError, match="'10.0.0.1/8'|10.0.0.1/8"):
        parse_networks("10.0.0.1/8")


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_nothing_that_a_peer_writes_raises(one: str, two: str, three: str) -> None:
    peer("10.0.0.1", ("X-Forwarded-For", one), ("X-Forwarded-Proto", two), ("X-Request-Id", three))
    peer(one)
