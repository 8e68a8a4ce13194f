from __future__ import annotations

import asyncio
import logging
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from server.engine.channels import Channel, Channels
from server.engine.supervision import Supervision
from server.engine.supervisor import LoadError
from server.engine.worker import FAILED_STEPS, Loaded
from stream.encoders.lstm import LSTM
from stream.engine.engine import Engine, Result
from stream.stage import Samples
from stream.vocabulary import Alphabet
from tests.server.scripted import ScriptedEngine, checksum, in_thread

CHUNK = LSTM.chunk_samples


class Owner:
    """Notes what a channel gives it."""

    def __init__(self, channels: Channels) -> None:
        self.text = ""
        self.results = 0
        self.fault: str | None = None
        self.ended = asyncio.Event()
        opened = channels.open(self)
        assert opened is not None
        self.channel: Channel = opened

    def receive_result(self, result: Result) -> None:
        self.text += result.text
        self.results += 1
        if result.last:
            self.ended.set()

    def receive_fault(self, reason: str) -> None:
        self.fault = reason
        self.ended.set()

    async def end(self) -> None:
        async with asyncio.timeout(5):
            await self.ended.wait()


def noise(chunks: float, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=int(chunks * CHUNK)).astype(np.float32)


async def started(engine: Engine, slots: int = 2, restarts: int = 5) -> Channels:
    start = in_thread(lambda: Loaded(engine, slots, Alphabet(), {}))
    channels = Channels(start, supervision=Supervision(restarts=restarts))
    await channels.start()
    return channels


async def test_each_chunk_gives_a_result_and_the_end_the_last() -> None:
    channels = await started(ScriptedEngine(2, lambda chunk, samples: f" {chunk}"))
    listener = Owner(channels)
    listener.channel.push(noise(2.5))
    listener.channel.finish()
    await listener.end()
    assert listener.text == " 0 1 -1"
    await channels.stop()


async def test_interleaved_channels_say_what_each_says_alone() -> None:
    audio = [noise(5, seed) for seed in range(3)]
    alone = ["".join(checksum(0, part) for part in samples.reshape(-1, CHUNK)) for samples in audio]
    channels = await started(
        ScriptedEngine(3, lambda n, x: "" if n < 0 else checksum(n, x)), slots=3
    )
    listeners = [Owner(channels) for _ in audio]
    for start in range(0, 5 * CHUNK, 333):
        for listener, samples in zip(listeners, audio, strict=True):
            listener.channel.push(samples[start : start + 333])
        await asyncio.sleep(0)
    for listener in listeners:
        listener.channel.finish()
        await listener.end()
    assert [listener.text for listener in listeners] == alone
    await channels.stop()


async def test_full_is_an_answer_and_a_closed_channel_makes_room_at_once() -> None:
    channels = await started(ScriptedEngine(2))
    first, _ = Owner(channels), Owner(channels)
    assert channels.refusal() == "all 2 channels are in use"
    assert channels.open(Owner.__new__(Owner)) is None
    first.channel.close()
    first.channel.close()
    assert channels.refusal() is None
    third = Owner(channels)
    third.channel.push(noise(1))
    third.channel.finish()
    await third.end()
    assert third.fault is None
    await channels.stop()


async def test_nothing_is_called_back_after_a_close() -> None:
    channels = await started(ScriptedEngine(2))
    closed, other = Owner(channels), Owner(channels)
    closed.channel.push(noise(3))
    closed.channel.close()
    other.channel.finish()
    await other.end()
    assert closed.results == 0
    await channels.stop()


class RefusesLoud(ScriptedEngine):
    def push(self, slot: int, samples: Samples, /) -> None:
        if len(samples) and samples.max() > 100:
            raise ValueError("sample 0 is 1000.0")
        super().push(slot, samples)


async def test_a_fault_of_one_channel_does_not_reach_another(
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = RefusesLoud(2, lambda chunk, samples: " word")
    channels = await started(engine)
    bad, good = Owner(channels), Owner(channels)
    with caplog.at_level(logging.CRITICAL):
        bad.channel.push(np.full(CHUNK, 1000.0, np.float32))
        bad.channel.push(noise(1))
        good.channel.push(noise(1))
        good.channel.finish()
        await bad.end()
        await good.end()
    assert bad.fault == "the engine failed: sample 0 is 1000.0"
    assert good.text == " word word"
    assert channels.in_use == 1
    await channels.stop()


class FailsSteps(ScriptedEngine):
    """Raises at its first `failures` steps."""

    def __init__(self, failures: int) -> None:
        super().__init__(2)
        self.failures = failures

    def tick(self) -> list[Result]:
        if self.failures and self.pending():
            self.failures -= 1
            raise RuntimeError("out of memory")
        return super().tick()


async def fails(channels: Channels) -> str | None:
    listener = Owner(channels)
    listener.channel.push(noise(1))
    listener.channel.finish()
    await listener.end()
    return listener.fault


async def test_a_failed_step_closes_its_channels_and_the_next_ones_are_served(
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = FailsSteps(1)
    channels = await started(engine)
    with caplog.at_level(logging.CRITICAL):
        bystander = Owner(channels)
        assert await fails(channels) == "a step of the engine failed: out of memory"
        await bystander.end()
    assert bystander.fault is not None
    assert sorted(engine.closed) == [0, 1]
    assert channels.in_use == 0
    assert await fails(channels) is None
    await channels.stop()


async def test_an_engine_that_fails_every_step_takes_no_more_channels(
    caplog: pytest.LogCaptureFixture,
) -> None:
    channels = await started(FailsSteps(FAILED_STEPS), restarts=0)
    with caplog.at_level(logging.CRITICAL):
        for _ in range(FAILED_STEPS):
            assert await fails(channels) is not None
        async with asyncio.timeout(5):
            while channels.refusal() is None:
                await asyncio.sleep(0.01)
    assert channels.refusal() == "the engine is broken: out of memory"
    assert channels.open(Owner.__new__(Owner)) is None
    await channels.stop()


async def test_no_channel_is_taken_before_the_engine_is_loaded() -> None:
    channels = Channels(in_thread(lambda: Loaded(ScriptedEngine(1), 1, Alphabet(), {})))
    assert channels.refusal() == "the model is being loaded"
    await channels.start()
    assert channels.refusal() is None
    await channels.stop()
    assert channels.refusal() == "the server is shutting down"


async def test_an_engine_that_cannot_be_loaded_says_why() -> None:
    def load() -> Any:
        raise ValueError("model.json: not JSON")

    channels = Channels(in_thread(load))
    with pytest.raises(LoadError, match=r"model\.json: not JSON"):
        await channels.start()
    await channels.stop()


async def test_stopping_fails_the_channels_that_are_open() -> None:
    channels = await started(ScriptedEngine(2))
    listener = Owner(channels)
    await channels.stop()
    assert listener.fault == "the server is shutting down"


async def test_keywords_for_a_channel_that_has_closed_take_no_slot() -> None:
    channels = await started(ScriptedEngine(1), slots=1)
    closed = Owner(channels).channel
    closed.close()
    closed.set_hotwords({"stop": 1.0})
    other = Owner(channels)
    other.channel.finish()
    await other.end()
    assert other.fault is None
    await channels.stop()
