"""Players on a clock of the test: which latency a chunk gets, and how streams end."""

from __future__ import annotations

import asyncio
import json
import random
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("picows", reason="the load client needs picows: pip install 'rill-asr[load]'")

from picows import WSCloseCode, WSMsgType

from server.load import player as module
from server.load.dialects import MYRTLE, SHERPA, Dialect
from server.load.player import (
    LoadError,
    Pacer,
    Player,
    Refused,
    Timings,
    messages_ahead,
    open_player,
    transcribe,
)
from server.load.point import percentiles
from tests.server.load.scripted import ScriptedServer, messages, serving

CHUNK = 0.06


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


class Transport:
    """A connection that goes nowhere."""

    def __init__(self) -> None:
        self.sent: list[tuple[WSMsgType, bytes]] = []
        self.is_cut = False

    def send(self, kind: WSMsgType, message: bytes) -> None:
        self.sent.append((kind, message))

    def send_close(self, code: WSCloseCode) -> None:
        self.sent.append((WSMsgType.CLOSE, b""))

    def disconnect(self, graceful: bool = True) -> None:
        self.is_cut = True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def connected(
    count: int, dialect: Dialect = MYRTLE, ahead: int = 0
) -> tuple[Player, Transport, Timings]:
    """Return a player of so many chunks, its transport, and where its latencies go."""
    audio = [bytes(dialect.chunk_bytes)] * count
    timings, transport = Timings(), Transport()
    player = Player(dialect, audio, timings, ahead)
    player.on_ws_connected(transport)
    return player, transport, timings


def frame(kind: WSMsgType, payload: bytes, fin: bool = True, code: int = 1000) -> Any:
    return SimpleNamespace(
        msg_type=kind,
        fin=fin,
        get_payload_as_bytes=lambda: payload,
        get_close_code=lambda: code,
        get_close_reason=lambda: payload.decode(),
    )


def myrtle(chunks: int, text: str = "") -> bytes:
    fields = {"start": 0.0, "end": CHUNK * chunks, "is_provisional": False}
    return json.dumps({**fields, "alternatives": [{"transcript": text}]}).encode()


def hear(player: Player, transport: Transport, message: bytes) -> None:
    player.on_ws_frame(transport, frame(WSMsgType.TEXT, message))


async def test_answers_belong_to_chunks_in_order_even_where_they_overlap(clock: Clock) -> None:
    delays = [0.001 * (1 + n) for n in range(100)]
    random.Random(1).shuffle(delays)
    player, transport, timings = connected(100)
    events = [(CHUNK * k, 0, k) for k in range(100)]
    events += [(CHUNK * k + delay, 1, k) for k, delay in enumerate(delays)]
    for at, is_answer, _ in sorted(events):
        clock.now = 100.0 + at
        if is_answer:
            hear(player, transport, myrtle(player.responses.answered + 1))
        else:
            player.send_next()
    # An answer that overtakes another is taken for it, which leaves the sum as it is.
    assert sum(timings.latency) == pytest.approx(sum(delays))
    assert list(timings.latency) != pytest.approx(delays)
    in_order = [100.0 + CHUNK * k for k in range(100)]
    assert list(timings.sent) == pytest.approx(in_order)


async def test_latencies_of_a_server_that_answers_in_time_are_its_delays(clock: Clock) -> None:
    delays = [0.010] * 89 + [0.030] * 10 + [0.055]
    random.Random(2).shuffle(delays)
    player, transport, timings = connected(100)
    for chunk, delay in enumerate(delays):
        clock.now = 100.0 + CHUNK * chunk
        player.send_next()
        clock.now += delay
        hear(player, transport, myrtle(chunk + 1))
    assert list(timings.latency) == pytest.approx(delays)
    assert percentiles(timings.latency) == (10.0, 30.0, 55.0)
    assert player.unanswered == []


async def test_a_long_chunk_counts_from_its_last_message(clock: Clock) -> None:
    player, transport, timings = connected(11)
    for message in range(11):
        clock.now = 100.0 + CHUNK * message
        player.send_next()
        if message in (3, 7):
            clock.now += 0.02
            hear(player, transport, myrtle(message + 1))
    assert list(timings.latency) == pytest.approx([0.02, 0.02])
    assert player.unanswered == []  # the last three are no chunk yet
    player.sent.append(clock.now)
    assert player.unanswered == [clock.now]


async def test_with_look_ahead_a_chunk_counts_from_the_message_that_completes_it(
    clock: Clock,
) -> None:
    player, transport, timings = connected(4, SHERPA, ahead=2)
    for chunk in range(4):
        clock.now = 100.0 + CHUNK * chunk
        player.send_next()
    assert player.unanswered == pytest.approx([100.12, 100.18])
    clock.now = 100.2
    hear(player, transport, b'{"text": "", "segment": 0}')
    assert list(timings.latency) == pytest.approx([0.08])
    assert player.unanswered == pytest.approx([100.18])
    clock.now = 100.3
    for _ in range(3):  # two of them answer what has no message two behind it
        hear(player, transport, b'{"text": "", "segment": 0}')
    assert list(timings.latency) == pytest.approx([0.08, 0.12])


@pytest.mark.parametrize(
    "dialect, kind, end", [(MYRTLE, WSMsgType.BINARY, b""), (SHERPA, WSMsgType.TEXT, b"Done")]
)
async def test_the_end_goes_with_the_last_message(
    dialect: Dialect, kind: WSMsgType, end: bytes
) -> None:
    player, transport, _ = connected(2, dialect)
    assert player.send_next()
    assert len(transport.sent) == 1
    assert not player.send_next()
    assert transport.sent[2:] == [(kind, end)]


async def test_a_shorter_last_message_is_no_chunk_that_waits_for_an_answer() -> None:
    transport = Transport()
    player = Player(MYRTLE, [bytes(1920), bytes(80)], Timings(), 0)
    player.on_ws_connected(transport)
    while player.send_next():
        pass
    assert len(player.sent) == 1


async def test_a_message_in_fragments_is_put_together() -> None:
    player, transport, timings = connected(1)
    player.send_next()
    whole = myrtle(1, " cat")
    player.on_ws_frame(transport, frame(WSMsgType.TEXT, whole[:9], fin=False))
    assert player.responses.answered == 0
    player.on_ws_frame(transport, frame(WSMsgType.CONTINUATION, whole[9:]))
    assert player.text == " cat"
    assert len(timings.latency) == 1


@pytest.mark.parametrize(
    "code, reason, failure",
    [
        (1000, "", None),
        (1008, "idle", "the server ended the stream: 1008 idle"),
        (1011, "", "the server ended the stream: 1011"),
    ],
)
async def test_how_a_stream_was_closed_is_its_result(
    code: int, reason: str, failure: str | None
) -> None:
    player, transport, _ = connected(1)
    player.on_ws_frame(transport, frame(WSMsgType.CLOSE, reason.encode(), code=code))
    assert player.ended.result() == failure
    assert not player.send_next()


async def test_a_cut_connection_and_a_strange_message_end_a_stream_with_a_reason() -> None:
    player, transport, _ = connected(1)
    player.on_ws_disconnected(transport)
    assert player.ended.result() == "the server cut the connection"
    player, transport, _ = connected(1)
    hear(player, transport, b"hello")
    assert "not a response of Myrtle's API: b'hello'" in str(player.ended.result())
    assert transport.is_cut


async def test_done_ends_a_stream_of_sherpas() -> None:
    player, transport, _ = connected(1, SHERPA)
    hear(player, transport, b'{"text": "cat", "segment": 0}')
    hear(player, transport, b"Done!")
    assert player.ended.result() is None
    assert player.text == " cat"


async def test_the_pacer_sends_every_chunk_in_its_time_and_notes_how_late(clock: Clock) -> None:
    players = [connected(3)[0] for _ in range(5)]
    timings = Timings()
    pacer = Pacer(timings, random.Random(0))
    for player in players:
        pacer.add(player)
    pacing = asyncio.create_task(pacer.run())
    async with asyncio.timeout(10):
        while len(timings.late) < 15:
            clock.now += 0.01
            await asyncio.sleep(0.002)
    pacing.cancel()
    starts = [player.start - 100.0 for player in players]
    assert len(set(starts)) == 5
    assert all(0 <= start < CHUNK for start in starts)
    assert [len(player.sent) for player in players] == [3] * 5
    for player in players:
        due = [player.start + CHUNK * (k + 1) for k in range(3)]
        assert all(sent >= at for sent, at in zip(player.sent, due, strict=True))
    assert len(timings.late) == len(timings.late_at) == 15
    assert min(timings.late) >= 0


async def test_transcribe_returns_the_text_of_one_recording() -> None:
    async with serving(ScriptedServer(lambda stream: ["the", "cat", "sat"])) as server:
        assert await transcribe(server.url, MYRTLE, messages(0.15)) == " the cat sat"


async def test_transcribe_names_a_server_that_says_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.1)

    class Silent(ScriptedServer):
        async def talk(self, connection: Any) -> None:
            await connection.wait_closed()

    async with serving(Silent()) as server:
        with pytest.raises(LoadError, match="no message for"):
            await transcribe(server.url, MYRTLE, messages(0.15))


async def test_a_refusal_is_told_from_a_server_that_is_none() -> None:
    async with serving(ScriptedServer(room=0)) as server:
        with pytest.raises(Refused, match="all 0 are taken"):
            await open_player(server.url, MYRTLE, (), Timings())


@pytest.mark.parametrize("url", ["ws://127.0.0.1:1", "ws://127.0.0.1:99999", "nonsense", "ws://"])
async def test_a_url_where_nobody_answers_is_named(url: str) -> None:
    with pytest.raises(LoadError, match=f"^{url}: no server answers"):
        await open_player(url, MYRTLE, (), Timings())


async def test_look_ahead_is_found_by_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROBE_SECONDS", 0.25)

    class LooksAhead(ScriptedServer):
        async def talk(self, connection: Any) -> None:
            received = 0
            async for _ in connection:
                received += 1
                if received > 2:
                    await connection.send('{"text": "", "segment": 0}')

    async with serving(LooksAhead()) as server:
        assert await messages_ahead(server.url, SHERPA, [bytes(SHERPA.chunk_bytes)]) == 2
    assert await messages_ahead("ws://127.0.0.1:1", MYRTLE, [b""]) == 0  # it is not even asked


async def test_a_server_that_does_not_answer_each_60_ms_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PROBE_SECONDS", 0.05)

    class EveryOther(ScriptedServer):
        async def talk(self, connection: Any) -> None:
            received = 0
            async for _ in connection:
                received += 1
                if received % 2 == 0:
                    await connection.send('{"text": "", "segment": 0}')

    async with serving(EveryOther()) as server:
        with pytest.raises(LoadError, match="answers each 60 ms"):
            await messages_ahead(server.url, SHERPA, [bytes(SHERPA.chunk_bytes)])
