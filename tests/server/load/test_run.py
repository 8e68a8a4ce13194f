"""Runs against a scripted server: what it does on purpose is what the point says."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("picows", reason="the load client needs picows: pip install 'rill-asr[load]'")

from server.load import run as module
from server.load.dialects import MYRTLE
from server.load.player import LoadError
from server.load.point import Point, holds, percentiles
from server.load.recordings import TimedRecording
from server.load.run import Setup, prepare, run
from server.load.search import find_rts
from tests.server.load.scripted import ScriptedServer, serving
from tests.server.scripted import pcm, samples_of

pytestmark = pytest.mark.usefixtures("short_pauses")
CAT = ("the", "cat", "sat", "on", "it")


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTLE_SECONDS", 0.05)
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.05)


def recording(seconds: float = 0.36, name: str = "cat", **fields: Any) -> TimedRecording:
    return TimedRecording(name, samples_of(pcm(seconds)), **fields)


async def load(
    server: ScriptedServer,
    streams: int,
    *recordings: TimedRecording,
    seconds: float = 10.0,
    perpetual: bool = False,
) -> Point:
    """Prepare and run, as the command line does."""
    tracks, ahead = await prepare(server.url, MYRTLE, recordings or [recording()])
    setup = Setup(
        url=server.url,
        dialect=MYRTLE,
        tracks=tracks,
        ahead=ahead,
        seconds=seconds,
        perpetual=perpetual,
    )
    return await run(setup, streams)


async def test_a_good_server_gets_a_point_that_says_so() -> None:
    async with serving(ScriptedServer(lambda stream: CAT)) as server:
        point = await load(server, 3)
    assert server.streams == 1 + 3  # one alone
    assert (point.chunks, point.words, point.lost_words, point.changed_words) == (18, 15, 0, 0)
    assert (point.refused, point.failed, point.failure) == (None, 0, None)
    assert not point.backlog_grows
    assert holds(point, 1e6)
    assert point.server_cpu is None  # nobody said which process it is
    assert point.client_cpu >= 0
    assert None not in (point.cl50_ms, point.late99_ms)


async def test_no_percentile_is_below_what_the_server_held_its_answers_back_for() -> None:
    slow = ScriptedServer(delay=lambda chunk: 0.2 if chunk == 4 else 0.0)
    async with serving(slow) as server:
        tracks, ahead = await prepare(server.url, MYRTLE, [recording()])
        server.held.clear()
        setup = Setup(
            url=server.url, dialect=MYRTLE, tracks=tracks, seconds=10, perpetual=False, ahead=ahead
        )
        point = await run(setup, 4)
    assert len(server.held) == point.chunks == 24
    low, middle, high = percentiles(server.held)
    assert point.cl50_ms >= low
    assert point.cl90_ms >= middle
    assert point.cl99_ms >= high >= 200
    assert not holds(point, 200)


async def test_lost_and_changed_words_are_seen() -> None:
    said = {0: CAT, 1: CAT, 2: ("the", "sat", "on", "it"), 3: ("the", "dog", "sat", "on", "it")}
    async with serving(ScriptedServer(said.__getitem__)) as server:
        point = await load(server, 3)
    assert (point.words, point.lost_words, point.changed_words) == (15, 1, 1)
    assert point.words_differ


async def test_a_chunk_without_an_answer_makes_no_point_look_fast_and_the_backlog_grows() -> None:
    mute = ScriptedServer(delay=lambda chunk: 0.0 if chunk < 5 else None)
    async with serving(mute) as server:
        point = await load(server, 2, recording(6.0), seconds=1.2, perpetual=True)
    assert point.backlog_grows
    assert point.backlog > 5
    assert point.cl99_ms > 500  # waited for, without an end
    assert not holds(point, 1e6)


async def test_a_perpetual_run_plays_on_and_compares_streams_that_are_cut() -> None:
    async with serving(ScriptedServer(lambda stream: CAT)) as server:
        point = await load(server, 2, recording(0.36), seconds=0.9, perpetual=True)
    assert server.streams > 1 + 2
    assert point.words > 5
    assert not point.words_differ
    assert point.failed == 0


async def test_each_recording_is_played_even_by_fewer_streams() -> None:
    tracks = [recording(0.2, name) for name in ("a", "b", "c")]
    async with serving(ScriptedServer()) as server:
        point = await load(server, 2, *tracks)
    assert server.streams == 3 + 3
    assert point.chunks == 9


async def test_words_have_their_latency_from_their_end_in_the_recording() -> None:
    words = (("the", 0.06), ("cat", 0.12), ("flew", 0.18), ("on", 0.18))
    async with serving(ScriptedServer(lambda stream: CAT, lambda chunk: 0.05)) as server:
        point = await load(server, 1, recording(words=words))
    assert point.upl_words == 3  # both agree on "the", "cat" and "on"
    # A word ends with its chunk, which is sent then; "on" came one chunk after its end.
    assert point.upl50_ms >= 50
    assert point.upl99_ms >= 50 + 60


async def test_a_refused_stream_ends_a_run_and_is_no_failure() -> None:
    async with serving(ScriptedServer(room=2)) as server:
        point = await load(server, 3, seconds=5, perpetual=True)
    assert point.refused == "all 2 are taken"
    assert point.failed == 0
    assert not holds(point, 1e6)


async def test_a_search_that_ends_in_refusals_finds_the_room_there_is() -> None:
    async with serving(ScriptedServer(room=1)) as server:
        tracks, _ = await prepare(server.url, MYRTLE, [recording(0.3)])
        setup = Setup(url=server.url, dialect=MYRTLE, tracks=tracks, seconds=0.3, perpetual=True)
        best, curve = await find_rts(lambda streams: run(setup, streams), 1e6, 1)
    assert best is not None and best.streams == 1
    assert [(point.streams, point.refused is None) for point in curve] == [
        (1, True),
        (2, False),
    ]


async def test_a_failed_stream_is_counted_with_its_reason_and_its_place_goes_on() -> None:
    class Fails(ScriptedServer):
        async def talk(self, connection: Any) -> None:
            if self.streams == 3:  # the first after three alone
                self.streams += 1
                await connection.close(1011, "on purpose")
            else:
                await super().talk(connection)

    async with serving(Fails()) as server:
        point = await load(server, 2, recording(0.2), recording(0.2), recording(0.2))
    assert point.failed == 1
    assert point.failure == "the server ended the stream: 1011 on purpose"
    assert not holds(point, 1e6)


async def test_a_server_that_vanishes_is_reported() -> None:
    async with serving(ScriptedServer()) as server:

        async def vanish_in_mid_run() -> None:
            while len(server.held) < 20:
                await asyncio.sleep(0.01)
            server.vanish()

        vanishing = asyncio.create_task(vanish_in_mid_run())
        with pytest.raises(LoadError, match=f"{server.url}: no server answers"):
            await load(server, 2, seconds=30, perpetual=True)
        await vanishing


async def test_progress_says_how_many_streams_are_open_and_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PROGRESS_SECONDS", 0.1)
    lines: list[str] = []
    async with serving(ScriptedServer()) as server:
        tracks, _ = await prepare(server.url, MYRTLE, [recording(0.3)], lines.append)
        setup = Setup(url=server.url, dialect=MYRTLE, tracks=tracks, seconds=0.3, perpetual=True)
        await run(setup, 2, lines.append)
    assert lines[0] == "1 of 1 recordings, one stream alone"
    assert any(line.startswith("2 streams, 2 open, ") and "CL50" in line for line in lines)
