from __future__ import annotations

from contextlib import nullcontext

import pytest

from server.http.access import Access, shown_token
from server.http.app import Settings
from server.http.hosts import Hosts, parse_hosts
from server.http.peers import parse_networks
from server.refusals import Refusal
from tests.server.http.asking import DOORS, STREAM, code, exchange
from tests.server.scripted import (
    UPGRADE,
    ScriptedEngine,
    keyring,
    serving,
)

HOST = {"Host": "box:3030"}


def status(access: Access, headers: dict[str, str], **query: str) -> int:
    try:
        access.check({**HOST, **headers}, query, "http")
    except Refusal as refused:
        return refused.status
    return 200


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
    assert status(Access(keyring("one", "two")), headers, **query) == expected


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
    with nullcontext() if status is None else pytest.raises(Refusal) as refused:
        Access().check_host(given)
    assert refused is None or refused.value.status == status
    Access().check_host([], required=False)  # HTTP/1.0 has no such header


def test_a_star_allows_every_origin_but_opens_no_door() -> None:
    access = Access(keyring("one"), origins=frozenset({"*"}))
    assert status(access, {"Origin": "null"}, token="one") == 200
    assert status(access, {"Origin": "null"}) == 401


@pytest.mark.parametrize(
    "headers, query, shown",
    [
        ({"Authorization": "Token secret"}, {}, "secret"),  # Deepgram's SDK
        ({"Authorization": "Token"}, {"token": "other"}, ""),
        ({"Sec-WebSocket-Protocol": "realtime, openai-insecure-api-key.secret"}, {}, "secret"),
        ({"Sec-WebSocket-Protocol": "token, secret"}, {}, "secret"),
        ({"Sec-WebSocket-Protocol": "bearer,secret"}, {"token": "other"}, "secret"),
        ({"Sec-WebSocket-Protocol": "token"}, {}, ""),
        ({"Sec-WebSocket-Protocol": "chat, secret"}, {"token": "other"}, "other"),
        ({"Authorization": "Bearer secret", "Sec-WebSocket-Protocol": "token, x"}, {}, "secret"),
        ({"Sec-WebSocket-Protocol": ",,,"}, {"token": "secret"}, "secret"),
    ],
)
def test_a_token_is_found_where_the_clients_of_each_api_put_it(
    headers: dict[str, str], query: dict[str, str], shown: str
) -> None:
    assert shown_token(headers, query) == shown


LOOPBACK = Settings(Access(hosts=Hosts(network=False)))


WEBSOCKETS = [STREAM, "/sherpa", "/vosk", "/v1/realtime?intent=transcription"]


@pytest.mark.parametrize("settings", [LOOPBACK, Settings()], ids=["loopback", "network"])
async def test_a_name_that_rebinds_to_this_machine_is_refused_at_every_door(
    settings: Settings,
) -> None:
    async with serving(ScriptedEngine(1), settings=settings) as service:
        evil = (f"Host: evil.example:{service.port}", f"Origin: http://evil.example:{service.port}")
        for path in DOORS:
            assert code((await exchange(service, f"GET {path} HTTP/1.1", *evil))[0]) == 421
            # A page's GET of its own origin has no Origin header.
            assert code((await exchange(service, f"GET {path} HTTP/1.1", evil[0]))[0]) == 421
        for path in WEBSOCKETS:
            status, _ = await exchange(service, f"GET {path} HTTP/1.1", *evil, *UPGRADE)
            assert code(status) == 421
        for path in ("/transcribe", "/v1/audio/transcriptions"):
            status, _ = await exchange(service, f"POST {path} HTTP/1.1", *evil, "Content-Length: 0")
            assert code(status) == 421


async def test_by_address_and_as_localhost_every_door_is_open() -> None:
    async with serving(ScriptedEngine(4), settings=LOOPBACK) as service:
        for host in ("127.0.0.1", "localhost", f"[::1]:{service.port}", "10.244.1.7:3030"):
            for path in ("/", "/healthz", "/readyz", "/metrics", "/model"):
                assert (
                    code((await exchange(service, f"GET {path} HTTP/1.1", f"Host: {host}"))[0])
                    == 200
                )
            for path in WEBSOCKETS:
                head = (f"GET {path} HTTP/1.1", f"Host: {host}", f"Origin: http://{host}", *UPGRADE)
                assert code((await exchange(service, *head))[0]) == 101
                await service.until_free()


async def test_probes_of_http_1_0_need_no_host_and_requests_of_1_1_do() -> None:
    async with serving(ScriptedEngine(1), settings=LOOPBACK) as service:
        assert code((await exchange(service, "GET /readyz HTTP/1.0"))[0]) == 200
        assert code((await exchange(service, "GET /readyz HTTP/1.1"))[0]) == 400
        twice = ("Host: localhost", "Host: evil.example")
        assert code((await exchange(service, "GET /readyz HTTP/1.1", *twice))[0]) == 400


async def test_a_name_that_is_listed_is_a_name_of_the_server() -> None:
    settings = Settings(Access(hosts=parse_hosts("*.example.org", "127.0.0.1")))
    async with serving(ScriptedEngine(1), settings=settings) as service:
        for host, wanted in (("asr.example.org", 200), ("evil.example", 421)):
            status, _ = await exchange(service, "GET /model HTTP/1.1", f"Host: {host}")
            assert code(status) == wanted


@pytest.mark.parametrize(
    "origin, status",
    [
        ("http://localhost", 200),
        ("https://localhost", 403),
        ("null", 403),
        ("http://localhost:81", 403),
    ],
)
async def test_a_page_of_another_scheme_or_port_is_another_page(origin: str, status: int) -> None:
    async with serving(ScriptedEngine(1)) as service:
        got, headers = await exchange(
            service, "GET /model HTTP/1.1", "Host: localhost", f"Origin: {origin}"
        )
        assert code(got) == status
        assert ("access-control-allow-origin" in headers) == (status == 200)
        _, headers = await exchange(
            service, "GET /healthz HTTP/1.1", "Host: localhost", f"Origin: {origin}"
        )
        assert ("access-control-allow-origin" in headers) == (status == 200)


async def test_behind_a_proxy_that_ends_tls_the_scheme_is_what_a_trusted_one_says() -> None:
    head = ("GET /model HTTP/1.1", "Host: localhost", "Origin: https://localhost")
    said = "X-Forwarded-Proto: https"
    async with serving(ScriptedEngine(1)) as service:
        assert code((await exchange(service, *head, said))[0]) == 403
    trusting = Settings(proxies=parse_networks("127.0.0.0/8"))
    async with serving(ScriptedEngine(1), settings=trusting) as service:
        assert code((await exchange(service, *head, said))[0]) == 200
        assert code((await exchange(service, *head))[0]) == 403
