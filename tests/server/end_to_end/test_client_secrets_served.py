"""Client secrets, from the official SDK that asks for one to the browser that connects with it."""

from __future__ import annotations

import asyncio
import json
from contextlib import ExitStack
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from server.http.access import Access
from server.http.app import Settings
from server.tokens.client_secrets import Signer
from tests.server.scripted import (
    Reply,
    ScriptedEngine,
    Service,
    form,
    keyring,
    pcm,
    request,
    serving,
    wav,
)

PATH = "/v1/realtime/client_secrets"
TEN_MINUTES = {"expires_after": {"seconds": 600}}


async def create(service: Service, token: str = "one", **body: Any) -> Reply:
    return await request(
        service,
        "POST",
        PATH,
        json.dumps(body).encode(),
        Authorization=f"Bearer {token}",
        Content_Type="application/json",
    )


async def status_of(url: str, **settings: Any) -> int:
    """Return the status of an upgrade, 101 if it is granted."""
    try:
        async with connect(url, **settings):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


async def test_a_secret_opens_live_streams_of_every_protocol_that_count_for_its_token() -> None:
    ring = keyring("one", streams=1)
    async with serving(ScriptedEngine(4), settings=Settings(Access(ring))) as service:
        reply = await create(service)
        assert reply.status == 200 and reply.headers["Cache-Control"] == "no-store"
        value = reply.json["value"]
        base = f"ws://127.0.0.1:{service.port}"
        for path in ("/v1/realtime", "/asr/v0.1/stream", "/vosk", "/sherpa", "/v1/listen"):
            assert await status_of(f"{base}{path}?token={value}") == 101
            await service.until_free()
        offered: Any = ["realtime", f"openai-insecure-api-key.{value}"]
        async with connect(f"{base}/v1/realtime", subprotocols=offered) as connection:
            assert connection.subprotocol == "realtime"
            assert await status_of(f"{base}/vosk?token={value}") == 429
        (account,) = ring
        assert account.streams == 6
        assert (await request(service, "GET", f"/model?token={value}")).status == 200


async def test_a_secret_opens_nothing_else() -> None:
    settings = Settings(Access(keyring("one", metrics=True)))
    async with serving(ScriptedEngine(1), settings=settings) as service:
        value = (await create(service)).json["value"]
        assert (await create(service, value)).status == 403  # it makes no other secrets
        assert (await request(service, "GET", f"/metrics?token={value}")).status == 403
        body, kind = form(wav(pcm(0.1)))
        for path in ("/transcribe", "/v1/audio/transcriptions", "/v1/listen"):
            reply = await request(service, "POST", f"{path}?token={value}", body, Content_Type=kind)
            assert reply.status == 403


async def test_the_settings_of_its_session_hold_until_the_client_sets_others() -> None:
    settings = Settings(Access(keyring("one")))
    async with serving(ScriptedEngine(1), settings=settings) as service:
        audio = {
            "input": {
                "format": {"type": "audio/pcmu"},
                "turn_detection": {"type": "server_vad", "silence_duration_ms": 700},
            }
        }
        asked = {"type": "transcription", "audio": audio}
        created = (await create(service, session=asked)).json
        url = f"ws://127.0.0.1:{service.port}/v1/realtime?token={created['value']}"
        async with connect(url) as connection:
            first = json.loads(await asyncio.wait_for(connection.recv(), 5))
        assert first["type"] == "session.created"
        for session in (created["session"], first["session"]):
            given = session["audio"]["input"]
            assert given["format"] == {"type": "audio/pcmu"}
            assert given["turn_detection"]["silence_duration_ms"] == 700


async def test_settings_of_a_server_of_another_version_are_refused_before_the_upgrade() -> None:
    access = Access(keyring("one"))
    (account,) = access.keyring
    value, _ = access.make_secret(account, 60, b'{"from_the_future": true}')
    async with serving(ScriptedEngine(1), settings=Settings(access)) as service:
        assert await status_of(f"ws://127.0.0.1:{service.port}/v1/realtime?token={value}") == 400
        await service.until_free()


async def test_every_server_with_the_key_takes_it_until_it_expires_or_its_token_ends() -> None:
    now = 1000.0
    first, second = keyring("one"), keyring("one")
    for ring in (first, second):
        ring.clock = lambda: now
    key = b"k" * 32
    async with (
        serving(ScriptedEngine(1), settings=Settings(Access(first, Signer(key)))) as one,
        serving(ScriptedEngine(1), settings=Settings(Access(second, Signer(key)))) as two,
        serving(ScriptedEngine(1), settings=Settings(Access(keyring("one")))) as stranger,
    ):
        reply = await create(one, **TEN_MINUTES)
        assert reply.json["expires_at"] == 1600
        query = f"token={reply.json['value']}"
        assert await status_of(f"{two.url}&{query}") == 101
        assert await status_of(f"{stranger.url}&{query}") == 401
        now = 1600.0
        status, body = await two.get(f"/model?{query}")
        assert status == 401 and "the client secret has expired" in body
        now = 1000.0
        second.replace({"token-2": next(iter(first)).token})
        assert await status_of(f"{two.url}&{query}") == 401


async def test_without_tokens_a_secret_is_not_needed_and_its_session_holds() -> None:
    async with serving(ScriptedEngine(1)) as service:
        asked = {"type": "transcription", "audio": {"input": {"turn_detection": None}}}
        value = (await create(service, "whatever", session=asked)).json["value"]
        headers = {"Authorization": f"Bearer {value}"}
        url = f"ws://127.0.0.1:{service.port}/v1/realtime"
        async with connect(url, additional_headers=headers) as connection:
            first = json.loads(await asyncio.wait_for(connection.recv(), 5))
        assert first["session"]["audio"]["input"]["turn_detection"] is None


@pytest.mark.parametrize(
    "body, headers, status",
    [
        (b"{", {}, 400),
        (b"x" * 70_000, {}, 413),
        (b"{}", {"Content_Encoding": "gzip"}, 415),
        (b"{}", {"Authorization": "Bearer two"}, 401),
    ],
)
async def test_a_bad_request_gets_an_error_object(
    body: bytes, headers: dict[str, str], status: int
) -> None:
    async with serving(ScriptedEngine(1), settings=Settings(Access(keyring("one")))) as service:
        given = {"Authorization": "Bearer one", **headers}
        reply = await request(service, "POST", PATH, body, **given)
        assert reply.status == status and reply.json["error"]["message"]


@pytest.mark.filterwarnings("ignore:connect\\(\\) must be used:DeprecationWarning")  # by the SDK
async def test_the_official_sdk_makes_one_and_connects_with_it() -> None:
    openai = pytest.importorskip("openai", reason="the openai SDK is not installed")
    ring = keyring("one", streams=1)

    def use(port: int) -> None:
        def sdk(key: str) -> Any:
            client = openai.OpenAI(
                base_url=f"http://127.0.0.1:{port}/v1", api_key=key, max_retries=0
            )
            return clients.enter_context(client)

        owner = sdk("one")
        made = owner.realtime.client_secrets.create(
            expires_after={"anchor": "created_at", "seconds": 60},
            session={
                "type": "transcription",
                "audio": {"input": {"transcription": {"model": "general", "language": "en"}}},
            },
        )
        assert made.value.startswith("ek_") and made.session.type == "transcription"
        browser = sdk(made.value)
        with browser.realtime.connect(extra_query={"intent": "transcription"}) as connection:
            created = connection.recv()
            assert created.type == "session.created"
            assert created.session.audio.input.transcription.language == "en"
            body = ("a.wav", wav(pcm(0.1)))
            with pytest.raises(openai.RateLimitError, match="has its 1 streams open"):
                owner.audio.transcriptions.create(model="general", file=body)
            with pytest.raises(openai.PermissionDeniedError, match="opens live streams"):
                browser.audio.transcriptions.create(model="general", file=body)
        with pytest.raises(openai.AuthenticationError):
            sdk("x").realtime.client_secrets.create()

    async with serving(ScriptedEngine(4), settings=Settings(Access(ring))) as service:
        with ExitStack() as clients:
            await asyncio.to_thread(use, service.port)
