from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from server.adapters.telephony.asterisk import Asterisk
from server.protocol.states import Close, State
from tests.server.adapters.driving import Driven, Engine, Said

FRAME = bytes([0xFF]) * 160  # 20 ms of mu-law


def start(**fields: Any) -> str:
    given = {"connection_id": "rill", "channel_id": "1761245643.1", "format": "ulaw"}
    return json.dumps({"event": "MEDIA_START", "optimal_frame_size": 160, **given, **fields})


LINE = (
    "MEDIA_START connection_id:e226 channel:WebSocket/rill/0x51 format:ulaw optimal_frame_size:160"
)


def call(query_id: str = "") -> tuple[Driven, list[str], list[str | None]]:
    """Return a call, the ids under which it is watched, and what is told there."""
    ids: list[str] = []
    told: list[str | None] = []

    def open_call(call_id: str) -> Any:
        ids.append(call_id)
        return lambda message, keep=False: told.append(message)

    return Driven(Asterisk(open_call, query_id)), ids, told


@pytest.mark.parametrize(
    "query_id, begin, expected",
    [("", start(), "1761245643.1"), ("", LINE, "e226"), ("lobby", start(), "lobby")],
)
def test_a_call_is_watched_by_its_id_and_asterisk_is_told_nothing(
    query_id: str, begin: str, expected: str
) -> None:
    protocol, ids, told = call(query_id)
    engine = Engine({(0, 1): Said((0,)), (0, -1): Said((1,))})
    protocol.receive(begin)
    for _ in range(20):
        protocol.receive(FRAME)
        engine.run(protocol)
    protocol.receive("DTMF_END digit:1")
    protocol.receive('{"event": "DTMF_END", "digit": "1"}')
    protocol.receive_hangup()
    engine.run(protocol)
    assert ids == [expected] and engine.samples == 6400
    events = [json.loads(each) for each in told if each is not None]
    assert [each.get("text") for each in events] == [None, "one", "one two", None]
    assert events[-1] == {"event": "end", "call": expected}
    assert told[-1] is None
    assert protocol.messages() == [Close(1000)]  # to a connection that is closed


@pytest.mark.parametrize(
    "name, rate, width",
    [("alaw", 8000, 1), ("slin", 8000, 2), ("slin16", 16000, 2), ("slin48", 48000, 2)],
)
def test_codecs_without_headers_are_decoded_at_their_rates(
    name: str, rate: int, width: int
) -> None:
    protocol, _, _ = call()
    engine = Engine()
    protocol.receive(start(format=name))
    protocol.receive(np.zeros(rate * width, np.uint8).tobytes())
    protocol.receive_hangup()
    engine.run(protocol)
    assert engine.samples == 16000


@pytest.mark.parametrize(
    "messages, code",
    [
        ([FRAME], 1008),
        ([start(format="opus")], 1008),
        (["MEDIA_START connection_id:e226"], 1008),
        ([start(), start()], 1008),
        (["{"], 1003),
        (['{"event": 1}'], 1003),
        (['{"a":' * 100_000], 1003),
        (["hello there"], 1003),
        ([""], 1003),
    ],
)
def test_what_is_not_asterisks_closes_and_frees_the_slot(
    messages: list[str | bytes], code: int
) -> None:
    protocol, _, _ = call()
    engine = Engine()
    for each in messages:
        protocol.receive(each)
    engine.run(protocol)
    (closed,) = protocol.messages()
    assert isinstance(closed, Close) and closed.code == code and closed.reason
    assert engine.released and protocol.state is State.CLOSED
