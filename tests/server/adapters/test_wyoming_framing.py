from __future__ import annotations

import pytest

from server.adapters.wyoming_framing import EventReader, FramingError, encode


def test_an_event_has_the_bytes_of_the_interface_page() -> None:
    assert encode("transcribe", {"name": "m", "language": "en"}) == (
        '{"type": "transcribe", "version": "1.10.2", "data_length": 31}\n'
        '{"name": "m", "language": "en"}'
    )
    assert encode("transcript-stop") == '{"type": "transcript-stop", "version": "1.10.2"}\n'


def test_data_may_stand_inline_or_behind_the_line_which_then_wins() -> None:
    reader = EventReader()
    reader.feed(b'{"type":"a","data":{"x":1,"y":2},"data_length":7,"payload_length":3}\n')
    assert reader.next_event() is None
    reader.feed(b'{"x":3}PCM{"type":"b","data_length":null}\n')
    first, second = reader.next_event(), reader.next_event()
    assert first is not None and second is not None
    assert (first.type, first.data, first.payload) == ("a", {"x": 3, "y": 2}, b"PCM")
    assert (second.type, second.data, second.payload) == ("b", {}, b"")
    assert reader.next_event() is None


@pytest.mark.parametrize(
    "received, said",
    [
        (b"GET / HTTP/1.1\r\n", "the line is not an event"),
        (b"\n", "the line is not an event"),
        (b"{}\n", "`type`"),
        (b'{"type":"a","data_length":1}\nx', "the data is not an event"),
        (b'{"type":"a","data_length":2}\n[]', "the data is not an event"),
        (b'{"type":"a","payload_length":9999999}\n', "payload of 9999999 bytes"),
        (b'{"type":"a","data_length":9999999}\n', "data of 9999999 bytes"),
        (b"x" * 70_000, "no end of line"),
        (b'{"type":' + b"[" * 60_000 + b"\n", "the line is not an event"),
    ],
)
def test_bytes_that_are_no_event_are_refused_and_say_why(received: bytes, said: str) -> None:
    reader = EventReader()
    reader.feed(received)
    with pytest.raises(FramingError, match=said):
        reader.next_event()
