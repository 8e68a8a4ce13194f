from __future__ import annotations

import pytest

from server.access import Access, parse_tokens

HOST = {"Host": "box:3030"}


def status(access: Access, headers: dict[str, str], **query: str) -> int:
    refusal = access.refusal({**HOST, **headers}, query)
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
        ("https://box:3030", 200),
        ("http://box", 403),
        ("https://friend.org", 200),
        ("https://friend.org.evil", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_pages_of_other_origins_may_not_unless_they_are_listed(origin: str, expected: int) -> None:
    assert status(Access(origins=frozenset({"https://friend.org"})), {"Origin": origin}) == expected


def test_a_star_allows_every_origin_but_opens_no_door() -> None:
    access = Access(("one",), frozenset({"*"}))
    assert status(access, {"Origin": "null"}, token="one") == 200
    assert status(access, {"Origin": "null"}) == 401


def test_a_token_file_has_a_token_a_line() -> None:
    assert parse_tokens("# who\n\n one\r\ntwo # three\n") == ("one", "two # three")
