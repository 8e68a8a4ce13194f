"""Decoding through the server: each protocol says about real speech what the recogniser says.

The recording is two bundled ones, each with a pause behind it, which is an endpoint.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect

from server.adapters.myrtle_messages import PATH
from server.engine.models import Model
from server.engine.worker import Loaded
from stream.audio import read_audio
from stream.bundled import model_path, recordings
from stream.decoding.decoding import Decoding
from stream.decoding.options import DecoderOptions
from stream.engine.engine import Result, load_engine
from stream.model.network import Network, open_model
from stream.recogniser import Recogniser
from tests.server.scripted import (
    ScriptedEngine,
    in_thread,
    pcm,
    samples_of,
    serving,
    talking_network,
)

DECODERS = ["greedy", "beam"]


@functools.cache
def network() -> Network:
    return open_model(model_path())


def decoding(decoder: str) -> Decoding:
    return DecoderOptions(decoder=decoder, endpoint_silence=0.9).decoding(
        network().vocabulary.pieces
    )


@functools.cache
def audio() -> bytes:
    """S16LE."""
    one, two = (read_audio(recording.audio) for recording in recordings()[:2])
    pause = np.random.default_rng(0).normal(0.0, 1e-4, 2 * 16000)
    samples = np.concatenate([one, pause, two, pause]).clip(-1, 1)
    return np.rint(samples * 32767).astype("<i2").tobytes()


@functools.cache
def results(decoder: str) -> tuple[Result, ...]:
    """What the recogniser says about it."""
    recogniser = Recogniser(network(), "onnx", decoding(decoder))
    return (*recogniser.push(samples_of(audio())), *recogniser.finish())


def utterances(decoder: str) -> list[str]:
    """Its texts, from endpoint to endpoint, without those in which nothing was said."""
    said = [""]
    for result in results(decoder):
        said[-1] += result.text
        if result.endpoint:
            said.append("")
    texts = [text.strip() for text in said if text.strip()]
    assert len(texts) > 1
    return texts


@asynccontextmanager
async def talking(decoder: str, path: str) -> AsyncIterator[ClientConnection]:
    """A websocket of a server that has the bundled model as "words"."""

    def load() -> Loaded:
        engine = load_engine(network(), 2, "onnx", decoding=decoding(decoder))
        return Loaded(engine, 2, network().vocabulary.alphabet, {"language": "en"})

    served = serving(ScriptedEngine(1), Model("words", in_thread(load)), audio_rate=float("inf"))
    async with served as service, asyncio.timeout(30):
        url = f"ws://127.0.0.1:{service.port}{path}model=words"
        async with connect(url) as connection:
            yield connection


async def say(connection: ClientConnection, end: str | bytes, message: int = 8000) -> list[Any]:
    """Send the recording and its end; return the answers, JSON objects."""
    for begin in range(0, len(audio()), message):
        await connection.send(audio()[begin : begin + message])
    await connection.send(end)
    return [json.loads(answer) async for answer in connection if answer != "Done!"]


@pytest.mark.parametrize("decoder", DECODERS)
async def test_finals_of_myrtles_api_put_together_are_the_text(decoder: str) -> None:
    async with talking(decoder, f"{PATH}?alternatives=3&") as connection:
        responses = await say(connection, b"")
    final = "".join(
        r["alternatives"][0]["transcript"] for r in responses if not r["is_provisional"]
    )
    assert final == "".join(result.text for result in results(decoder))
    provisional = [r for r in responses if r["is_provisional"]]
    assert bool(provisional) == (decoder == "beam")
    assert max((len(r["alternatives"]) for r in provisional), default=3) == 3
    assert not responses[-1]["is_provisional"]
    assert sum("end_of_utterance" in r for r in responses) == sum(
        result.endpoint for result in results(decoder)
    )


async def test_after_a_final_response_the_provisional_one_follows_for_the_same_chunk() -> None:
    async with talking("beam", f"{PATH}?") as connection:
        responses = await say(connection, b"", 1920)
    kinds: dict[float, list[bool]] = {}
    for response in responses[:-1]:
        kinds.setdefault(response["end"], []).append(response["is_provisional"])
    assert sorted(kinds) == [round(0.06 * n, 4) for n in range(1, len(kinds) + 1)]
    found = {tuple(each) for each in kinds.values()}
    assert {(False,), (True,)} <= found <= {(False,), (True,), (False, True)}


@pytest.mark.parametrize("decoder", DECODERS)
async def test_results_of_vosk_are_the_utterances(decoder: str) -> None:
    async with talking(decoder, "/vosk?") as connection:
        await connection.send('{"config": {"sample_rate": 16000}}')
        replies = await say(connection, '{"eof" : 1}')
    assert [r["text"] for r in replies if r.get("text")] == utterances(decoder)


@pytest.mark.parametrize("decoder", DECODERS)
async def test_segments_of_sherpa_are_the_utterances(decoder: str) -> None:
    floats = samples_of(audio()).astype("<f4").tobytes()
    async with talking(decoder, "/sherpa?") as connection:
        for begin in range(0, len(floats), 32000):
            await connection.send(floats[begin : begin + 32000])
        await connection.send("Done")
        answers = []
        async for answer in connection:
            if answer == "Done!":
                break
            answers.append(json.loads(answer))
    finals = [answer for answer in answers if answer["is_final"]]
    assert [answer["text"].strip() for answer in finals if answer["text"]] == utterances(decoder)
    assert [answer["segment"] for answer in finals] == list(range(len(finals)))


@pytest.mark.parametrize("decoder", DECODERS)
async def test_turns_of_openais_realtime_api_are_the_utterances(decoder: str) -> None:
    settings = {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 16000}}}}
    want = utterances(decoder)
    async with talking(decoder, "/v1/realtime?") as connection:
        await connection.send(json.dumps({"type": "session.update", "session": settings}))
        for begin in range(0, len(audio()), 16000):
            encoded = base64.b64encode(audio()[begin : begin + 16000]).decode()
            await connection.send(
                json.dumps({"type": "input_audio_buffer.append", "audio": encoded})
            )
        completed: list[str] = []
        async for answer in connection:
            event = json.loads(answer)
            assert event["type"] != "error", event
            if event["type"].endswith("completed"):
                completed.append(event["transcript"])
                if len(completed) == len(want):
                    break
    assert completed == want


async def test_the_running_statistics_go_on_behind_a_reset() -> None:
    talking = talking_network()
    quick = msgspec.structs.replace(talking.specification, alpha=0.05)
    changed = Network(quick, talking.arrays, talking.tokenizer)
    recogniser, samples = Recogniser(changed), samples_of(pcm(2.0))
    want = []
    for _ in range(2):
        said = recogniser.push(samples) + recogniser.finish()
        want.append("".join(result.text for result in said).strip())
        recogniser.reset(keep_statistics=True)
    assert want[0] != want[1]
    got = []
    async with (
        serving(load_engine(changed, 1, "numpy")) as service,
        connect(f"ws://127.0.0.1:{service.port}/vosk") as connection,
    ):
        await connection.send('{"config": {"sample_rate": 16000}}')
        for command in ('{"reset" : 1}', '{"eof" : 1}'):
            await connection.send(pcm(2.0))
            await connection.send(command)
            replies = [json.loads(await asyncio.wait_for(connection.recv(), 10)) for _ in range(2)]
            got.append(replies[-1]["text"])
    assert got == want
