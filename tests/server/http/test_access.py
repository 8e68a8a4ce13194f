from __future__ import annotations

import pytest

from server.http.access import Access, parse_tokens

HOST = {"Host": "box:3030"}


def status(access: Access, headers: dict[str, str], **query: str) -> int:
    refusal = access.refusal({**HOST, **headers}, query, "http")
    return refusal.status if refusal else 200


def test_without_tokens_everybody_may() -> None:
    assert status(Access(), {}) == 200
    assert status(Access(), {"Authorization": "Bearer whatever"}) == 200


@pytest.mark.parametrize(
    "headers, query, expected",
    [
        ({}, {}, 401),
        ({"Authorization": "Bearer one"}, {}, 200),
        ({"Authorization": "bearer  two "}, {}, 200),
        ({"Authorization": "Bearer three"}, {}, 401),
        ({"Authorization": "Bearer"}, {}, 401),
        ({"Authorization": "Basic one"}, {}, 401),
        ({"Authorization": "Basic b25l"}, {"token": "one"}, 200),
        ({}, {"token": "two"}, 200),
        ({}, {"token": "on"}, 401),
        ({}, {"token": "\udcff\0"}, 401),
    ],
)
def test_a_token_in_the_header_or_the_query_opens_the_door(
    headers: dict[str, str], query: dict[str, str], expected: int
) -> None:
    assert status(Access(("one", "two")), headers, **query) == expected


@pytest.mark.parametrize(
    "origin, expected",
    [
        ("http://box:3030", 200),
        ("HTTP://Box:3030", 200),
        ("https://box:3030", 403),
        ("http://box", 403),
        ("https://friend.org", 200),
        ("https://friend.org.evil", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_pages_of_other_origins_may_not_unless_they_are_listed(origin: str, expected: int) -> None:
    assert status(Access(origins=frozenset({"https://friend.org"})), {"Origin": origin}) == expected


@pytest.mark.parametrize(
    "scheme, host, origin, allowed",
    [
        ("http", "box", "http://box", True),
        ("http", "box", "http://box:80", True),
        ("http", "box:80", "http://box", True),
        ("https", "box", "https://box:443", True),
        ("https", "box", "http://box", False),
        ("https", "box:80", "https://box", False),
        ("http", "[::1]:3030", "http://[::1]:3030", True),
        ("http", "box", "null", False),
        ("http", "", "http://", False),
    ],
)
def test_a_page_is_the_servers_own_where_scheme_host_and_port_are(
    scheme: str, host: str, origin: str, allowed: bool
) -> None:
    assert Access().allows_origin(origin, host, scheme) == allowed


def test_pages_without_an_origin_may_where_null_is_listed() -> None:
    assert status(Access(origins=frozenset({"null"})), {"Origin": "null"}) == 200
    assert status(Access(origins=frozenset({"null"})), {"Origin": "https://evil.org"}) == 403


@pytest.mark.parametrize(
    "origins, policy",
    [
        ((), "frame-ancestors 'self'"),
        (
            ("https://b.org", "https://a.org", "null"),
            "frame-ancestors 'self' https://a.org https://b.org",
        ),
        (("*",), "frame-ancestors *"),
    ],
)
def test_who_may_use_the_server_may_frame_its_page(origins: tuple[str, ...], policy: str) -> None:
    assert Access(origins=frozenset(origins)).frame_ancestors == policy


@pytest.mark.parametrize(
    "given, status",
    [
        (["localhost:3030"], None),
        (["evil.example:3030"], 421),
        (["EVIL.example."], 421),
        (["a b"], 400),
        (["box", "box"], 400),
        ([], 400),
        ([""], None),
    ],
)
def test_a_request_asks_for_a_name_of_the_server(given: list[str], status: int | None) -> None:
    refusal = Access().host_refusal(given)
    assert (refusal.status if refusal else None) == status
    assert Access().host_refusal([], required=False) is None  # HTTP/1.0 has no such header


def test_a_star_allows_every_origin_but_opens_no_door() -> None:
    access = Access(("one",), frozenset({"*"}))
    assert status(access, {"Origin": "null"}, token="one") == 200
    assert status(access, {"Origin": "null"}) == 401


def test_a_token_file_has_a_token_a_line() -> None:
    assert parse_tokens("# who\n\n one\r\ntwo # three\n") == ("one", "two # three")
