from __future__ import annotations

import pytest
from multidict import CIMultiDict

from server.http.handshake import check_handshake
from server.refusals import Refusal

REQUEST = {
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


def refuse(
    method: str = "GET", version: tuple[int, int] = (1, 1), **changed: str | None
) -> tuple[int, dict[str, str]] | None:
    """Return status and headers of the answer to a request that is changed; None leaves one out."""
    named = {name.replace("_", "-"): value for name, value in changed.items()}
    headers = {name: value for name, value in (REQUEST | named).items() if value is not None}
    try:
        check_handshake(method, version, CIMultiDict(headers))
    except Refusal as refused:
        return refused.status, dict(refused.headers)
    return None


def test_a_request_as_the_rfc_has_it_is_taken() -> None:
    assert refuse() is None
    assert refuse(Upgrade="WebSocket") is None


def test_another_method_is_not_allowed() -> None:
    assert refuse("POST") == (405, {"Allow": "GET"})


@pytest.mark.parametrize(
    "changed", [{"Upgrade": None}, {"Upgrade": "h2c"}, {"Connection": "close"}]
)
def test_what_is_no_upgrade_is_told_what_to_upgrade_to(changed: dict[str, str | None]) -> None:
    assert refuse(**changed) == (426, {"Upgrade": "websocket", "Connection": "Upgrade"})


def test_http_1_0_cannot_upgrade() -> None:
    refused = refuse(version=(1, 0))
    assert refused is not None and refused[0] == 426


@pytest.mark.parametrize("version", ["8", "7", "0", "14", "13, 8", "", None])
def test_another_version_is_told_the_one_there_is(version: str | None) -> None:
    refused = refuse(Sec_WebSocket_Version=version)
    assert refused is not None
    assert (refused[0], refused[1]["Sec-WebSocket-Version"]) == (426, "13")


@pytest.mark.parametrize("key", [None, "", "AAAA", "not base64", "dGhlIHNhbXBsZSBub25jZQ"])
def test_a_key_is_16_bytes(key: str | None) -> None:
    assert refuse(Sec_WebSocket_Key=key) == (400, {})
