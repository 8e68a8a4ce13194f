"""Hotwords on their way from a client of each protocol to the engine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

import pytest
from websockets.asyncio.client import connect

from server.adapters.myrtle_messages import PATH
from server.http.app import Settings
from server.live.request import Parameters, parse_request
from server.refusals import Refusal
from stream.backends import load_backend
from stream.decoding.beam import BeamConfig
from stream.decoding.decoding import Search
from stream.decoding.greedy import GreedyConfig
from stream.engine.engine import Engine
from tests.server.scripted import (
    UPGRADE,
    ScriptedEngine,
    Service,
    form,
    pcm,
    request,
    samples_of,
    serving,
    talking_network,
    wav,
)

WORD = "m"  # a piece of `talking_network`


def favours(keywords: Mapping[str, float] | None) -> bool:
    return keywords is not None and keywords.get(WORD, 0.0) > 0.0


@pytest.mark.parametrize("path", [PATH, "/sherpa", "/vosk", "/v1/realtime"])
async def test_every_websocket_takes_hotwords_in_its_query(path: str) -> None:
    engine = ScriptedEngine(1)
    async with serving(engine, slots=1) as service:
        async with connect(f"ws://127.0.0.1:{service.port}{path}?hotwords={WORD}:2"):
            pass
        await service.until_free()
    assert [favours(keywords) for keywords in engine.keywords] == [True]


async def test_deepgrams_keyterms_are_a_list() -> None:
    engine = ScriptedEngine(1)
    async with serving(engine, slots=1) as service:
        path = f"/v1/listen?encoding=mulaw&keyterm={WORD}&keyterm={WORD}{WORD}"
        async with connect(f"ws://127.0.0.1:{service.port}{path}"):
            pass
        await service.until_free()
    assert engine.keywords == [{WORD: 0.5, WORD * 2: 0.5}]


@pytest.mark.parametrize("path", [PATH, "/sherpa"])
@pytest.mark.parametrize(
    "hotwords, text",
    [
        ("%E6%BC%A2", "hotword '漢' cannot be spelt: the model has no '漢'"),
        (f"{WORD}:loud", "the boost 'loud'; want a number"),
        (",".join(f"{WORD}{WORD * n}" for n in range(101)), "there are 101 hotwords; want 100"),
    ],
)
async def test_hotwords_that_cannot_be_served_are_refused_before_the_upgrade(
    path: str, hotwords: str, text: str
) -> None:
    engine = ScriptedEngine(1)
    async with serving(engine) as service:
        status, body = await service.get(f"{path}?hotwords={hotwords}", *UPGRADE)
    assert (status, engine.keywords) == (400, [])
    assert text in body


def test_the_boosts_of_a_query_are_parameters() -> None:
    assert parse_request(f"{PATH}?hotwords=a%20b:2") == Parameters(hotwords={"a b": 2.0})
    with pytest.raises(Refusal):
        parse_request(f"{PATH}?hotwords=a:x")


async def test_words_of_vosks_phrases_that_can_be_spelt_are_hotwords() -> None:
    engine = ScriptedEngine(1, lambda chunk, samples: " said")
    config = {"sample_rate": 16000, "phrase_list": [f"{WORD} 漢", "[unk]"]}
    async with serving(engine, slots=1) as service:
        async with connect(f"ws://127.0.0.1:{service.port}/vosk") as connection:
            await connection.send(json.dumps({"config": config}))
            await connection.send(pcm(0.06))
            assert json.loads(await connection.recv())["partial"] == "said"
        await service.until_free()
    assert [favours(keywords) for keywords in engine.keywords] == [False, True]
    assert len(engine.closed) == 2  # the slot was given back for the one with hotwords


async def test_names_and_terms_of_wyoming_that_can_be_spelt_are_hotwords_from_then_on() -> None:
    engine = ScriptedEngine(1)

    async def utterance(service: Service, **data: object) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.wyoming_port)
        for kind in ("transcribe", "audio-start", "audio-stop"):
            event = {"type": kind, "data": data if kind == "transcribe" else {}}
            writer.write(json.dumps(event).encode() + b"\n")
        async with asyncio.timeout(5):
            await reader.readuntil(b"transcript-stop")
        writer.close()

    async with serving(engine, slots=1, wyoming_port=0) as service:
        await utterance(service, transcript_names=[WORD, "漢", 7], transcript_terms="odd")
        await utterance(service, transcript_terms=[WORD])
        await utterance(service, transcript_names=["漢"])
        await utterance(service)
    assert [favours(keywords) for keywords in engine.keywords] == [True, True, False, False]


@pytest.mark.parametrize(
    "target, field, fault",
    [
        ("/v1/audio/transcriptions", "keywords[]", '"param":"keywords"'),
        ("/transcribe", "hotwords", '"detail":"hotword'),
    ],
)
async def test_uploads_take_hotwords_in_a_field(target: str, field: str, fault: str) -> None:
    engine = ScriptedEngine(1)
    statuses = []
    async with serving(engine, slots=1) as service:
        for word in (WORD, "漢"):
            body, kind = form(wav(pcm(0.3)), **{field: word})
            reply = await request(service, "POST", target, body, Content_Type=kind)
            statuses.append(reply.status)
    assert statuses == [200, 400]
    assert [favours(keywords) for keywords in engine.keywords if keywords] == [True]
    assert "cannot be spelt" in reply.body.decode()
    assert fault in reply.body.decode()


@pytest.mark.parametrize("search", [GreedyConfig(), BeamConfig(2)])
async def test_hotwords_change_the_text_of_their_stream_and_of_no_other(search: Search) -> None:
    network = talking_network()
    words = {piece.replace("▁", " "): 3.0 for piece in ("▁m", "d", "▁cat")}  # of its pieces
    audio = pcm(3.0)

    def engine() -> Engine:
        return Engine(network, load_backend("numpy", network), 2, search)

    def alone(keywords: dict[str, float]) -> str:
        one = engine()
        slot = one.open(keywords)
        assert slot is not None
        one.push(slot, samples_of(audio))
        one.finish(slot)
        text = ""
        while one.pending():
            text += "".join(result.text for result in one.tick())
        return text

    async def listen(service: Service, query: str) -> str:
        text = ""
        async with connect(f"{service.url}{query}") as connection:
            await connection.send(audio)
            await connection.send(b"")
            async for message in connection:
                response = json.loads(message)
                if not response["is_provisional"]:
                    text += response["alternatives"][0]["transcript"]
        return text

    query = "&hotwords=" + ",".join(f"{word.replace(' ', '%20')}:3" for word in words)
    async with serving(engine(), slots=2, settings=Settings(strict=True)) as service:
        said = await asyncio.gather(listen(service, query), listen(service, ""))
    assert said == [alone(words), alone({})]
    assert said[0] != said[1]
