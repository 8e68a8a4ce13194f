from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engine import ipc as link
from server.engine.ipc import Frames, frame, read_commands, read_reports
from stream.engine.engine import Hypothesis, Result, Token
from stream.vocabulary import Alphabet

COMMANDS = [
    link.Open(1, {"stop": 0.5}),
    link.Push(1, bytes(1920), False),
    link.Finish(1),
    link.Restart(2),
    link.Close(2),
    link.Probe(),
]
TOKEN = Token(7, 3, -0.25)
SPOKEN = Result(0, 0.06, 0.12, " up", (TOKEN,), False, (Hypothesis(" on", (TOKEN,), -1.5),), True)
REPORTS = [
    link.Ready(
        4, Alphabet(frozenset("up"), frozenset({230})), {"language": "en", "notes": {"wer": 0.2}}
    ),
    link.Unloadable("model.json: not JSON", False),
    link.Stepped(0.004, [9, 10], [SPOKEN, Result(1, 0.0, 0.06, "", (), True)]),
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
    samples = np.array([0, 1, -3], dtype)
    pushed = link.Push(1, samples.tobytes(), dtype is np.float32)
    (got,) = read_commands(next(Frames().feed(frame([pushed]))))
    assert isinstance(got, link.Push)
    assert got.samples.dtype == dtype
    np.testing.assert_array_equal(got.samples, samples)
