from __future__ import annotations

import json
from typing import Any

import pytest

from server.adapters.telephony.call import Publish
from server.adapters.telephony.twilio import Twilio
from server.protocol.states import Close, State
from tests.server.adapters.driving import Driven, Engine, Said, texts
from tests.server.adapters.telephony.twilio_messages import media, message, start


class Watched:
    """Notes what those who watch a call are told."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.messages: list[str | None] = []

    def open(self, call_id: str) -> Publish:
        self.ids.append(call_id)
        return lambda message, keep=False: self.messages.append(message)

    def read(self) -> list[dict[str, Any]]:
        return [json.loads(each) for each in self.messages if each is not None]


CONNECTED = json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"})


def test_the_text_of_a_call_goes_to_the_socket_and_to_those_who_watch() -> None:
    watched = Watched()
    protocol = Driven(Twilio(watched.open))
    engine = Engine({(0, 1): Said((0,)), (0, 2): Said(endpoint=True), (0, -1): Said((1,))})
    for each in (CONNECTED, start(), *[media(0.02)] * 20, message("mark"), message("stop")):
        protocol.receive(each)
        engine.run(protocol)
    *said, closed = protocol.messages()
    told = [json.loads(str(each)) for each in said]
    assert [(each["text"], each["is_final"]) for each in told] == [
        ("one", False),
        ("one", True),
        ("two", True),
    ]
    assert {(each["event"], each["call"], each["streamSid"]) for each in told} == {
        ("transcript", "CA1f", "MZ2a")
    }
    assert told[1]["words"][0]["word"] == "one"
    assert closed == Close(1000)
    assert watched.ids == ["CA1f"] and watched.messages[-1] is None
    begin, *same, end = watched.read()
    assert begin == {"event": "start", "call": "CA1f"}
    assert [each["text"] for each in same] == ["one", "one", "two"]
    assert end == {"event": "end", "call": "CA1f"}
    assert engine.released and engine.samples == 6400


def test_only_one_track_is_recognised() -> None:
    for parameters, samples in (({}, 1600), ({"track": "outbound"}, 3200)):
        protocol, engine = Driven(Twilio(Watched().open)), Engine()
        protocol.receive(start(customParameters=parameters))
        for each in (media(0.1), media(0.2, "outbound"), message("stop")):
            protocol.receive(each)
        engine.run(protocol)
        assert engine.samples == samples


def test_a_connection_that_is_closed_without_a_stop_still_ends_with_its_text() -> None:
    watched = Watched()
    protocol, engine = Driven(Twilio(watched.open)), Engine({(0, -1): Said((0,))})
    protocol.receive(start())
    protocol.receive(media(0.5))
    protocol.receive_hangup()
    assert protocol.state is State.FINISHING
    engine.run(protocol)
    _, transcript, end = watched.read()
    assert (transcript["text"], end["event"], watched.messages[-1]) == ("one", "end", None)
    assert texts(protocol.messages()) == [] and engine.released


def test_a_call_that_the_server_drops_is_over_for_those_who_watch() -> None:
    for drop in (Driven.receive_gone, lambda call: call.receive_fault("no memory")):
        watched = Watched()
        protocol, engine = Driven(Twilio(watched.open)), Engine()
        protocol.receive(start())
        drop(protocol)
        engine.run(protocol)
        assert [each["event"] for each in watched.read()] == ["start", "end"]
        assert watched.messages[-1] is None and engine.released


@pytest.mark.parametrize(
    "messages, code",
    [
        ([b"\xff" * 160], 1003),
        (["hello"], 1003),
        (["{}"], 1003),
        (['{"event": 7}'], 1003),
        (["[" * 100_000], 1003),
        ([message("speak")], 1003),
        ([media(0.02)], 1008),
        ([start(), message("media")], 1008),
        ([start(), message("media", media={"payload": "?"})], 1008),
        ([start(), message("media", media={"payload": ["AA=="]})], 1003),
        ([start(), start()], 1008),
        ([start(mediaFormat={"encoding": "audio/x-mulaw", "sampleRate": 16000})], 1008),
        ([start(mediaFormat={"encoding": "audio/L16"})], 1008),
        ([start(customParameters={"track": "both"})], 1008),
    ],
)
def test_what_is_not_twilios_closes_and_frees_the_slot(
    messages: list[str | bytes], code: int
) -> None:
    protocol, engine = Driven(Twilio(Watched().open)), Engine()
    for each in messages:
        protocol.receive(each)
    engine.run(protocol)
    (closed,) = protocol.messages()
    assert isinstance(closed, Close) and closed.code == code and closed.reason
    assert engine.released


def test_numbers_may_be_strings_as_all_of_twilios_counters_are() -> None:
    protocol = Driven(Twilio(Watched().open))
    protocol.receive(start(mediaFormat={"sampleRate": "8000", "channels": "1"}))
    assert protocol.state is State.OPEN and protocol.messages() == []
