from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.adapters.realtime import Realtime
from server.protocol.hotwords import Speller
from server.protocol.states import Close, State
from stream.vocabulary import Alphabet
from tests.server.adapters.driving import Audio, Driven, EndAfter, Engine, Said, SetHotwords, texts

LOGPROBS = "item.input_audio_transcription.logprobs"
PREFIX = "conversation.item.input_audio_transcription."


def message(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, **fields})


def append(seconds: float, rate: int = 16000, width: int = 2) -> str:
    audio = base64.b64encode(bytes(round(seconds * rate) * width)).decode()
    return message("input_audio_buffer.append", audio=audio)


COMMIT = message("input_audio_buffer.commit")
CLEAR = message("input_audio_buffer.clear")


def channel(**settings: Any) -> Driven:
    """Return a session with audio at 16 kHz, so that chunks are easily counted."""
    protocol = Driven(Realtime(("general",)))
    audio = {"input": {"format": {"type": "audio/pcm", "rate": 16000}, **settings}}
    protocol.receive(message("session.update", session={"type": "transcription", "audio": audio}))
    created, updated = read(protocol)
    assert (created["type"], updated["type"]) == ("session.created", "session.updated")
    return protocol


def read(protocol: Driven) -> list[dict[str, Any]]:
    return [json.loads(text) for text in texts(protocol.messages())]


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix(PREFIX) for event in events]


def test_a_client_that_commits_gets_one_item_per_commit() -> None:
    protocol = channel(turn_detection=None)
    engine = Engine(
        {
            (0, 0): Said((0,), endpoint=True),
            (0, -1): Said((1,)),
            (1, 1): Said((2,)),
        }
    )
    for _ in range(2):
        protocol.receive(append(0.12))
        engine.run(protocol)
        protocol.receive(COMMIT)
    engine.run(protocol)
    events = read(protocol)
    assert kinds(events) == [
        "delta",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "delta",
        "completed",
        "delta",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "completed",
    ]
    first, second = (event for event in events if event["type"].endswith("completed"))
    assert first == {
        "type": "conversation.item.input_audio_transcription.completed",
        "event_id": first["event_id"],
        "item_id": "item_1",
        "content_index": 0,
        "transcript": "one two",
        "usage": {"type": "duration", "seconds": 0.12},
    }
    assert (second["item_id"], second["transcript"]) == ("item_2", "three")
    assert second["usage"]["seconds"] == 0.12
    assert [event["delta"] for event in events if "delta" in event] == ["one", " two", "three"]
    committed = [event for event in events if event["type"].endswith("committed")]
    assert [event["previous_item_id"] for event in committed] == [None, "item_1"]
    assert len({event["event_id"] for event in events}) == len(events)


def test_endpoints_commit_items_in_which_something_was_said() -> None:
    protocol = channel()
    engine = Engine(
        {
            (0, 0): Said(endpoint=True),
            (0, 1): Said((0,)),
            (0, 2): Said(endpoint=True),
            (0, 4): Said((1,), endpoint=True),
        }
    )
    protocol.receive(append(0.3))
    engine.run(protocol)
    events = read(protocol)
    turn = [
        "input_audio_buffer.speech_started",
        "delta",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "completed",
    ]
    assert kinds(events) == turn * 2
    assert events[0]["audio_start_ms"] == 0  # 60, less the padding, within the session
    assert events[2]["audio_end_ms"] == 180
    assert (events[5]["item_id"], events[11]["item_id"]) == ("item_1", "item_2")
    assert engine.stream == 0


@pytest.mark.parametrize("padding, start", [(0, 600), (300, 300), (500, 100), (9000, 0)])
def test_a_turn_begins_its_padding_before_its_text(padding: int, start: int) -> None:
    protocol = channel(turn_detection={"type": "server_vad", "prefix_padding_ms": padding})
    protocol.receive(append(0.66))
    Engine({(0, 10): Said((0,))}).run(protocol)
    assert read(protocol)[0]["audio_start_ms"] == start


def test_the_silence_that_a_client_sets_ends_its_turns_behind_the_audio_so_far() -> None:
    protocol = channel()
    assert protocol.events() == []
    protocol.receive(append(0.12))
    protocol.receive(turns(silence_duration_ms=480))
    protocol.receive(append(0.12))
    assert [type(event) for event in protocol.events()] == [Audio, EndAfter, Audio]
    protocol.receive(turns(silence_duration_ms=480))
    assert protocol.events() == []
    protocol.receive(turns())
    assert protocol.events() == [EndAfter(None)]  # the server's own again


def turns(**settings: Any) -> str:
    detection = {"type": "server_vad", **settings}
    audio = {"input": {"turn_detection": detection}}
    return message("session.update", session={"type": "transcription", "audio": audio})


def words(*keywords: str) -> str:
    audio = {"input": {"transcription": {"keywords": keywords}}}
    return message("session.update", session={"type": "transcription", "audio": audio})


def test_keywords_are_set_once_before_the_first_audio() -> None:
    dialect = Realtime(speller=Speller(Alphabet.of(["▁", "a", "b"])))
    protocol = Driven(dialect)
    protocol.receive(turns(silence_duration_ms=480))
    protocol.receive(words("ab", "ba"))
    expected = [EndAfter(0.48), SetHotwords({"ab": 0.5, "ba": 0.5}), EndAfter(0.48)]
    assert protocol.events() == expected  # keywords begin the stream anew
    assert read(protocol)[-1]["session"]["audio"]["input"]["transcription"]["keywords"] == [
        "ab",
        "ba",
    ]
    protocol.receive(words("ab", "ba"))
    assert kinds(read(protocol)) == ["session.updated"]
    protocol.receive(words("a"))
    (error,) = read(protocol)
    assert error["error"]["param"] == "session.audio.input.transcription.keywords"
    assert protocol.events() == []


def test_keywords_that_come_late_or_cannot_be_spelt_are_refused() -> None:
    protocol = Driven(Realtime(speller=Speller(Alphabet.of(["▁", "a"]))))
    for text in (words("ax"), append(0.12, 24000), words("a")):
        protocol.receive(text)
    errors = [event["error"] for event in read(protocol) if event["type"] == "error"]
    assert [error["param"] for error in errors] == [
        "session.audio.input.transcription.keywords"
    ] * 2
    assert "cannot be spelt" in errors[0]["message"]


@pytest.mark.parametrize(
    "session, code, param",
    [
        ({"speed": 2}, "unknown_parameter", "session"),
        ({"audio": {"input": {"tone": 1}}}, "unknown_parameter", "session.audio.input"),
        ({"audio": {"input": {"format": 7}}}, "invalid_type", "session.audio.input.format"),
        ({"audio": {"output": {}}}, "unknown_parameter", "session.audio"),
        ({"instructions": "be brief"}, "unknown_parameter", "session"),
        (
            {"audio": {"input": {"transcription": None}}},
            "invalid_value",
            "session.audio.input.transcription",
        ),
    ],
)
def test_what_a_session_has_not_is_an_error_that_names_it(
    session: dict[str, Any], code: str, param: str
) -> None:
    protocol = Driven(Realtime())
    read(protocol)
    protocol.receive(message("session.update", session=session, event_id="mine"))
    (event,) = read(protocol)
    error = event["error"]
    assert (error["code"], error["param"], error["event_id"]) == (code, param, "mine")
    assert protocol.state is State.OPEN


def test_what_was_said_before_a_commit_belongs_to_its_item_although_it_is_heard_later() -> None:
    protocol = channel()
    engine = Engine({(0, 1): Said((0,), endpoint=True), (0, -1): Said((1,)), (1, 0): Said((2,))})
    for text in (append(0.12), COMMIT, append(0.12)):
        protocol.receive(text)
    engine.run(protocol)
    completed = [event for event in read(protocol) if event["type"].endswith("completed")]
    assert [event["transcript"] for event in completed] == ["one two"]


def test_clear_drops_audio_and_text() -> None:
    protocol = channel(turn_detection=None)
    engine = Engine({(0, 0): Said((0,)), (0, -1): Said((1,)), (1, 0): Said((2,))})
    for text in (CLEAR, append(0.06), CLEAR, append(0.06), COMMIT):
        protocol.receive(text)
    engine.run(protocol)
    events = read(protocol)
    assert kinds(events)[:2] == ["input_audio_buffer.cleared"] * 2
    assert [event["transcript"] for event in events if "transcript" in event] == ["three"]


def test_an_empty_buffer_cannot_be_committed() -> None:
    protocol = channel()
    protocol.receive(message("input_audio_buffer.commit", event_id="mine"))
    (event,) = read(protocol)
    assert event["type"] == "error"
    assert event["error"]["code"] == "input_audio_buffer_commit_empty"
    assert event["error"]["event_id"] == "mine"
    assert protocol.events() == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "\ud800",
        message("response.create"),
        message("input_audio_buffer.append", audio="not base64!"),
        message("input_audio_buffer.append", audio=7),
        message("session.update", session={"type": "realtime"}),
        message("session.update", session={"audio": {"input": {"format": {"rate": "x"}}}}),
        pytest.param('{"type":' + "[" * 100_000, id="nested"),
    ],
)
def test_a_mistake_is_an_error_event_and_the_session_goes_on(text: str) -> None:
    protocol = channel()
    protocol.receive(text)
    (event,) = read(protocol)
    assert event["type"] == "error"
    assert event["error"]["message"]
    assert protocol.state is State.OPEN


def test_binary_messages_are_a_mistake() -> None:
    protocol = channel()
    protocol.receive(bytes(1920))
    assert kinds(read(protocol)) == ["error"]


@pytest.mark.parametrize(
    "name, rate, width", [("audio/pcm", 24000, 2), ("audio/pcmu", 8000, 1), ("audio/pcma", 8000, 1)]
)
def test_every_format_is_resampled(name: str, rate: int, width: int) -> None:
    protocol = channel(format={"type": name}, turn_detection=None)
    engine = Engine()
    for _ in range(10):
        protocol.receive(append(0.1, rate, width))
    protocol.receive(COMMIT)
    engine.run(protocol)
    assert engine.samples == 16000


def test_samples_may_be_cut_between_appends() -> None:
    protocol, engine = channel(turn_detection=None), Engine()
    for _ in range(1920):
        protocol.receive(message("input_audio_buffer.append", audio="AA=="))
    protocol.receive(COMMIT)
    engine.run(protocol)
    assert engine.samples == 960


def test_log_probabilities_come_where_they_are_asked_for() -> None:
    protocol, engine = channel(turn_detection=None), Engine({(0, 0): Said((0,))})
    protocol.receive(
        message("session.update", session={"type": "transcription", "include": [LOGPROBS]})
    )
    protocol.receive(append(0.06))
    protocol.receive(COMMIT)
    engine.run(protocol)
    said = [event for event in read(protocol) if "logprobs" in event]
    assert kinds(said) == ["delta", "completed"]
    assert said[1]["logprobs"] == [{"token": " one", "bytes": [32, 111, 110, 101], "logprob": -0.5}]


def test_shutdown_completes_what_was_said() -> None:
    protocol, engine = channel(), Engine({(0, -1): Said((0,))})
    protocol.receive(append(0.03))
    protocol.receive_shutdown()
    engine.run(protocol)
    messages = protocol.messages()
    assert '"transcript":"one"' in str(messages[-2])
    assert messages[-1] == Close(1001, "the server is shutting down")
    assert engine.released


def test_many_commits_at_once_are_bounded_by_unanswered() -> None:
    protocol = channel(turn_detection=None)
    sent = 0
    while protocol.unanswered < 320_000:
        protocol.receive(append(0.0001))
        protocol.receive(COMMIT)
        protocol.messages()
        sent += 1
    assert sent < 200
    Engine().run(protocol)
    protocol.messages()
    assert protocol.unanswered == 0


def test_events_are_what_the_sdk_has_types_for() -> None:
    types = pytest.importorskip("openai.types.realtime", reason="the openai SDK is not installed")
    adapter = pytest.importorskip("pydantic").TypeAdapter(types.RealtimeServerEvent)
    protocol = Driven(Realtime())
    engine = Engine({(0, 0): Said((0,), endpoint=True), (0, 1): Said((1,))})
    for text in (
        message("session.update", session={"type": "transcription", "include": [LOGPROBS]}),
        append(0.12, 24000),
        COMMIT,
        CLEAR,
        COMMIT,
    ):
        protocol.receive(text)
        engine.run(protocol)
    events = texts(protocol.messages())
    assert len(events) > 12
    for event in events:
        parsed = adapter.validate_json(event)
        assert parsed.type == json.loads(event)["type"]


HOSTILE = (
    st.sampled_from([append(0.07, 24000), COMMIT, CLEAR, message("session.update", session={})])
    | st.text(max_size=20)
    | st.binary(max_size=20)
    | st.sampled_from(["audio", "session", "event_id", "x"]).flatmap(
        lambda key: st.builds(
            lambda value: message("session.update", **{key: value}),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.text(max_size=5),
                lambda inner: st.dictionaries(
                    st.sampled_from(["audio", "input", "format", "type", "include"]), inner
                ),
                max_leaves=5,
            ),
        )
    )
)


@given(st.lists(HOSTILE | st.just("engine"), max_size=15))
def test_hostile_messages_never_raise_and_end_with_one_release(messages: list[bytes | str]) -> None:
    protocol, engine = Driven(Realtime()), Engine({(0, 0): Said((0,))})
    for each in messages:
        if each == "engine":
            engine.run(protocol)
        elif isinstance(each, str):
            protocol.receive(each)
        else:
            protocol.receive(each)
    protocol.receive_gone()
    engine.run(protocol)
    assert engine.released
