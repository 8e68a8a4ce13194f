"""A run: N streams against a server for some time, and their figures.

1. A place plays recordings one after another, each on a connection of its own, as callers come and go.
   `OPENINGS` places open per second. Recordings are assigned in turn, again and again.
2. A perpetual run is measured from one second after the last place has opened, for the given time, and
   then cut off. A run that is not perpetual plays max(N, recordings) streams, all of which count, and
   ends with the last of them, or after that time.
3. A chunk belongs to a measurement if it was sent during it. Streams continue for half a second, so
   that the last chunks can be answered.
4. A refused stream (HTTP 503) ends the run. A failed one does not; its place continues.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from server.load.arrivals import arrivals
from server.load.dialects import Dialect
from server.load.player import (
    Pacer,
    Player,
    Refused,
    Timings,
    messages_ahead,
    open_player,
    transcribe,
)
from server.load.point import Heard, Point, compare, grows, percentiles
from server.load.recordings import TimedRecording
from server.processes import Usage, usage
from stream.words import emission_latencies

OPENINGS = 100.0  # a second
SETTLE_SECONDS = 1.0
GRACE_SECONDS = 0.5
PAUSE_SECONDS = 1.0  # after a run, for the server to see that its streams are gone; after a failure
LOOK_SECONDS = 0.25
PROGRESS_SECONDS = 1.0

OnProgress = Callable[[str], None]


@dataclass(frozen=True)
class Track:
    """A recording that is ready to be played, and its text when it is the only stream."""

    recording: TimedRecording
    messages: tuple[bytes, ...]
    alone: str


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What all runs against a server have in common.

    Attributes:
        url, dialect: of the server.
        tracks: what is played; one or more.
        ahead: see `server.load.player.messages_ahead`.
        seconds: rule 2.
        perpetual: rule 2.
        pids: the server's processes; none where they are unknown.
        seed: of the phases.
    """

    url: str
    dialect: Dialect
    tracks: Sequence[Track]
    ahead: int = 0
    seconds: float
    perpetual: bool
    pids: tuple[int, ...] = ()
    seed: int = 0


async def prepare(
    url: str,
    dialect: Dialect,
    recordings: Sequence[TimedRecording],
    on_progress: OnProgress = lambda line: None,
) -> tuple[list[Track], int]:
    """Get the text of each recording alone, and how far the server looks ahead.

    Raises:
        Refused, LoadError: there is no server that gives them.
    """
    tracks = []
    for number, recording in enumerate(recordings, 1):
        on_progress(f"{number} of {len(recordings)} recordings, one stream alone")
        messages = tuple(dialect.messages(recording.samples))
        tracks.append(Track(recording, messages, await transcribe(url, dialect, messages)))
    longest = max(tracks, key=lambda track: len(track.messages))
    return tracks, await messages_ahead(url, dialect, longest.messages[:-1] or longest.messages)


async def run(setup: Setup, streams: int, on_progress: OnProgress = lambda line: None) -> Point:
    """Run `streams` streams at a time and measure them.

    Raises:
        LoadError: the server is gone.
    """
    load = _Load(setup, streams, on_progress)
    refused = None
    try:
        async with asyncio.TaskGroup() as group:
            pacing = group.create_task(load.pacer.run())
            places = [group.create_task(load.occupy(place)) for place in range(streams)]
            await load.observe(places)
            for task in (pacing, *places):
                task.cancel()
    except ExceptionGroup as errors:
        refusals, others = errors.split(Refused)
        if others is not None or refusals is None:
            raise (others or errors).exceptions[0] from None
        refused = str(refusals.exceptions[0])
    finally:
        load.abort()
    await asyncio.sleep(PAUSE_SECONDS)
    return load.point(refused)


class _Load:
    """One run."""

    def __init__(self, setup: Setup, streams: int, on_progress: OnProgress) -> None:
        self.setup = setup
        self.streams = streams
        self.timings = Timings()
        self.pacer = Pacer(self.timings, random.Random(setup.seed))
        self._on_progress = on_progress
        tracks, most = itertools.cycle(setup.tracks), max(streams, len(setup.tracks))
        self._tracks = tracks if setup.perpetual else itertools.islice(tracks, most)
        self._open = 0  # places that have opened their first connection
        self._playing: dict[Player, Track] = {}
        self._ended: list[tuple[Player, Track]] = []
        self._failures: list[str] = []
        self._backlog: list[float] = []
        self._from = self._to = 0.0  # what is measured
        self._server: list[Usage] = []
        self._client: list[float] = []

    async def occupy(self, place: int) -> None:
        """Play one recording after another (rule 1)."""
        await asyncio.sleep(place / OPENINGS)
        setup, first = self.setup, True
        for track in self._tracks:
            player = await open_player(
                setup.url, setup.dialect, track.messages, self.timings, setup.ahead
            )
            self._open += first
            first = False
            self._playing[player] = track
            self.pacer.add(player)
            failure = await player.ended
            del self._playing[player]
            if failure is None:
                self._ended.append((player, track))
            else:
                self._failures.append(failure)
                await asyncio.sleep(PAUSE_SECONDS)  # not again and again at once

    async def observe(self, places: Sequence[asyncio.Task[None]]) -> None:
        """Measure (rules 2 and 3); returns when the run is over."""
        if self.setup.perpetual:
            while self._open < self.streams:
                self._report("opening")
                await asyncio.sleep(LOOK_SECONDS)
            await asyncio.sleep(SETTLE_SECONDS)
        self._from = reported = time.perf_counter()
        self._look()
        end = self._from + self.setup.seconds
        while (now := time.perf_counter()) < end and not all(task.done() for task in places):
            await asyncio.wait(places, timeout=min(LOOK_SECONDS, end - now))
            self._look()
            if time.perf_counter() - reported >= PROGRESS_SECONDS:
                reported += PROGRESS_SECONDS
                self._report(f"{reported - self._from:.0f} of {self.setup.seconds:.0f} s")
        self._to = time.perf_counter()
        if not all(task.done() for task in places):
            await asyncio.sleep(GRACE_SECONDS)

    def _look(self) -> None:
        server = usage(self.setup.pids)
        if server is not None:
            self._server.append(server)
        self._client.append(time.process_time())
        self._backlog.append(sum(len(p.unanswered) for p in self._playing) / self.streams)

    def _report(self, state: str) -> None:
        latest = self.timings.latency[-17 * self.streams :]  # about a second of all streams
        low, _, high = percentiles(latest)
        figures = "" if low is None else f", CL50 {low:.1f} CL99 {high:.1f} ms"
        backlog = self._backlog[-1] if self._backlog else 0.0
        self._on_progress(
            f"{self.streams} streams, {self._open} open, {state}{figures}, backlog {backlog:.1f}"
        )

    def abort(self) -> None:
        """Cut all connections."""
        for player in tuple(self._playing):
            player.abort()

    def point(self, refused: str | None) -> Point:
        """Return what was measured."""
        seconds = max(self._to - self._from, 0.0)
        latencies = self._latencies()
        late = np.array(self.timings.late)[self._within(self.timings.late_at)]
        upl = self._user_perceived()
        words, lost, changed = compare(self._heard())
        cl50, cl90, cl99 = percentiles(latencies)
        upl50, upl90, upl99 = percentiles(upl)
        quarter = max(len(self._backlog) // 4, 1)
        server = self._server
        return Point(
            streams=self.streams,
            seconds=round(seconds, 3),
            chunks=len(latencies),
            cl50_ms=cl50,
            cl90_ms=cl90,
            cl99_ms=cl99,
            upl50_ms=upl50,
            upl90_ms=upl90,
            upl99_ms=upl99,
            upl_words=len(upl),
            words=words,
            lost_words=lost,
            changed_words=changed,
            backlog=round(float(np.mean(self._backlog[-quarter:] or [0.0])), 3),
            backlog_grows=grows(self._backlog),
            refused=refused,
            failed=len(self._failures),
            failure=self._failures[0] if self._failures else None,
            server_cpu=_rate([u.cpu_seconds for u in server], seconds) if server else None,
            server_memory_mb=round(max(u.memory for u in server) / 1e6, 1) if server else None,
            client_cpu=_rate(self._client, seconds) or 0.0,
            late99_ms=percentiles(late.tolist())[2],
        )

    def _within(self, times: Iterable[float]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        at = np.fromiter(times, np.float64)
        return (at >= self._from) & (at < self._to)

    def _latencies(self) -> list[float]:
        """Return the latency of each chunk sent in time, answered or not (rule 1 of a point)."""
        answered = np.array(self.timings.latency)[self._within(self.timings.sent)]
        now = time.perf_counter()
        waiting = [t for player in self._playing for t in player.unanswered]
        return [*answered.tolist(), *(now - t for t in waiting if self._from <= t < self._to)]

    def _user_perceived(self) -> list[float]:
        """Return the latency of each word of the streams that ended."""
        return [
            latency
            for player, track in self._ended
            if track.recording.words
            for latency in emission_latencies(
                track.recording.words,
                arrivals(player.responses.said, player.start),
                frame_seconds=0.0,
            )
        ]

    def _heard(self) -> Iterator[Heard]:
        for player, track in self._ended:
            yield Heard(player.text, track.alone, ended=True)
        for player, track in self._playing.items():
            yield Heard(player.text, track.alone, ended=False)


def _rate(counters: Sequence[float], seconds: float) -> float | None:
    """Return how fast a counter rose, per second."""
    if len(counters) < 2 or seconds <= 0:
        return None
    return round((counters[-1] - counters[0]) / seconds, 4)
