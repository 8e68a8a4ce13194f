from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engine import ipc as link
from server.engine.ipc import Frames, Outbox, frame, read_commands, read_reports
from stream.engine.engine import Hypothesis, Result, Token
from stream.vocabulary import Alphabet

COMMANDS = [
    link.Open(1, {"stop": 0.5}),
    link.Push([1, 2], [960, 0], memoryview(bytes(1920)), False),
    link.Finish(1),
    link.Restart(2),
    link.Close(2),
    link.Probe(),
]
TOKEN = Token(7, 3, -0.25)
SPOKEN = Result(0, 0.06, 0.12, " up", (TOKEN,), False, (Hypothesis(" on", (TOKEN,), -1.5),), True)
REPORTS = [
    link.Ready(
        4,
        960,
        Alphabet(frozenset("up"), frozenset({230})),
        {"language": "en", "notes": {"wer": 0.2}},
    ),
    link.Unloadable("model.json: not JSON", False),
    link.Stepped(0.004, [7, 8], [9, 10], [SPOKEN, Result(1, 0.0, 0.06, "", (), True)]),
    link.Failed([9], "the engine failed"),
    link.Broken("out of memory"),
    link.Alive(),
]


@given(st.lists(st.integers(1, 4000), max_size=8))
def test_messages_arrive_as_they_were_sent_however_they_are_cut(cuts: list[int]) -> None:
    sent = frame(COMMANDS) + frame(REPORTS) + frame([])
    frames, payloads, begin = Frames(), [], 0
    for size in [*cuts, len(sent)]:
        payloads += frames.feed(sent[begin : begin + size])
        begin += size
    commands, reports, nothing = payloads
    assert read_commands(commands) == COMMANDS
    assert read_reports(reports) == REPORTS
    assert read_commands(nothing) == []


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_samples_arrive_in_the_type_they_had(dtype: type) -> None:
    samples, outbox = np.array([0, 1, -3], dtype), Outbox(lambda: None)
    outbox.push(1, samples)
    (got,) = read_commands(next(Frames().feed(outbox.take())))
    assert isinstance(got, link.Push)
    assert got.samples.dtype == dtype
    np.testing.assert_array_equal(got.samples, samples)


def test_pushes_in_a_row_are_one_message_and_all_commands_keep_their_order() -> None:
    narrow, wide = np.array([1, 2], np.int16), np.array([0.5], np.float32)
    outbox = Outbox(lambda: None)
    outbox.push(1, narrow)
    outbox.push(2, narrow[:1])
    outbox.push(3, wide)
    outbox.add(link.Finish(1))
    outbox.push(1, wide)
    assert read_commands(next(Frames().feed(outbox.take()))) == [
        link.Push([1, 2], [2, 1], memoryview(np.array([1, 2, 1], np.int16).tobytes()), False),
        link.Push([3], [1], memoryview(wide.tobytes()), True),
        link.Finish(1),
        link.Push([1], [1], memoryview(wide.tobytes()), True),
    ]


@pytest.mark.parametrize("first", ["push", "add"])
def test_whoever_sends_is_woken_once_for_each_frame(first: str) -> None:
    woken: list[int] = []
    outbox = Outbox(lambda: woken.append(1))
    for count in (1, 2):
        if first == "push":
            outbox.push(1, np.zeros(3, np.int16))
        outbox.add(link.Finish(1))
        outbox.push(2, np.zeros(3, np.float32))
        assert len(woken) == count
        outbox.take()
