"""The worker at its end of a link, in a thread, with an engine that says what it is told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from server.engine.ipc import (
    Close,
    Failed,
    Finish,
    Frames,
    Open,
    Outbox,
    Ready,
    Report,
    Stepped,
    read_reports,
)
from server.engine.worker import Loaded, work
from stream.encoders.lstm import LSTM
from stream.engine.engine import Engine
from stream.vocabulary import Alphabet
from tests.server.scripted import ScriptedEngine

CHUNK = LSTM.chunk_samples

QUIET = np.zeros(CHUNK, np.int16)


class Link:
    """The event loop's end."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._reports = self._read()

    def send(self, outbox: Outbox) -> None:
        self._end.sendall(outbox.take())

    def next(self) -> Report:
        return next(self._reports)

    def _read(self) -> Iterator[Report]:
        frames = Frames()
        while received := self._end.recv(65536):
            for payload in frames.feed(received):
                yield from read_reports(payload)


@contextmanager
def working(engine: Engine) -> Iterator[Link]:
    ours, theirs = socket.socketpair()
    load = lambda: Loaded(engine, 4, Alphabet(), {})  # noqa: E731
    thread = threading.Thread(target=work, args=(theirs, load))
    thread.start()
    link = Link(ours)
    assert isinstance(link.next(), Ready)
    try:
        yield link
    finally:
        ours.close()
        thread.join()


def opened(*channels: int) -> Outbox:
    outbox = Outbox(lambda: None)
    for channel in channels:
        outbox.add(Open(channel, {}))
    return outbox


def test_channels_that_say_nothing_are_numbers_and_the_others_results() -> None:
    engine = ScriptedEngine(4, lambda chunk, samples: " loud" if samples.any() else "")
    with working(engine) as link:
        outbox = opened(7, 8, 9)
        for channel, samples in ((7, QUIET), (8, QUIET + 1), (9, QUIET)):
            outbox.push(channel, samples)
        link.send(outbox)
        report = link.next()
    assert isinstance(report, Stepped)
    assert sorted(report.silent) == [7, 9]
    assert report.channels == [8]
    assert [result.text for result in report.results] == [" loud"]


class RefusesLoud(ScriptedEngine):
    def push(self, slot: int, samples: np.ndarray, /) -> None:  # type: ignore[type-arg]
        if samples.max() > 100:
            raise ValueError("too loud")
        super().push(slot, samples)

    def push_chunks(self, slots: object, samples: np.ndarray, /) -> None:  # type: ignore[type-arg]
        raise ValueError("one of them is too loud")


def test_of_chunks_that_cannot_be_taken_together_only_the_bad_one_fails() -> None:
    with working(RefusesLoud(4)) as link:
        outbox = opened(1, 2)
        outbox.push(1, QUIET + 1000)
        outbox.push(2, QUIET)
        link.send(outbox)
        failed, stepped = link.next(), link.next()
    assert failed == Failed([1], "the engine failed: too loud")
    assert isinstance(stepped, Stepped) and stepped.silent == [2]


def test_two_pushes_of_a_channel_and_parts_of_chunks_are_one_stream() -> None:
    with working(ScriptedEngine(4, lambda chunk, samples: f" {chunk}:{len(samples)}")) as link:
        outbox = opened(1)
        for count in (CHUNK, CHUNK, 100):
            outbox.push(1, QUIET[:count])
        outbox.add(Finish(1))
        link.send(outbox)
        texts = []
        while len(texts) < 3:
            report = link.next()
            assert isinstance(report, Stepped)
            texts += [result.text for result in report.results]
    assert texts == [f" 0:{CHUNK}", f" 1:{CHUNK}", " -1:100"]


def test_what_is_said_of_a_channel_without_a_slot_is_ignored() -> None:
    engine = ScriptedEngine(1)
    with working(engine) as link:
        outbox = opened(1)
        outbox.add(Close(1))
        outbox.push(1, QUIET)
        outbox.add(Finish(1))
        outbox.add(Open(2, {}))
        outbox.push(2, QUIET)
        link.send(outbox)
        report = link.next()
    assert isinstance(report, Stepped) and report.silent == [2]
    assert engine.closed == [0]
