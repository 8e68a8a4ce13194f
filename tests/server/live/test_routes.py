from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from server.engine.models import Served
from server.live.request import Parameters
from server.live.routes import ROUTES, Opening
from server.protocol.hotwords import Speller
from server.refusals import Refusal
from tests.server.adapters.driving import Driven

NOW = datetime(2026, 11, 29, tzinfo=UTC)


def test_a_model_may_be_asked_for_by_an_alias() -> None:
    served, route = Served({"a": "en", "b": "de"}, aliases={"whisper-1": "b"}), ROUTES["realtime"]
    parameters = route.parse(f"{route.path}?model=whisper-1", served)
    assert parameters == Parameters("b", language="de", aliases=("whisper-1",))


@pytest.mark.parametrize("name", ["myrtle", "sherpa", "vosk", "realtime"])
def test_every_protocol_picks_its_model_by_the_query(name: str) -> None:
    served, route = Served({"a": "en", "b": "de"}), ROUTES[name]
    assert route.parse(route.path, served) == Parameters("a", language="en")
    assert route.parse(f"{route.path}?model=b", served) == Parameters("b", language="de")
    for query in ("model=c", "model=a&model=b"):
        with pytest.raises(Refusal) as refused:
            route.parse(f"{route.path}?{query}", served)
        assert refused.value.status == 400


@pytest.mark.parametrize("name", ["sherpa", "vosk", "realtime"])
def test_a_key_of_another_protocol_is_refused_and_one_of_none_left_alone(name: str) -> None:
    served, route = Served(), ROUTES[name]
    for key in ("alternatives=3", "version=v1", "content_type=audio/x-raw"):
        name = key.split("=")[0]
        with pytest.raises(Refusal, match=f"^{name} means nothing here; there are "):
            route.parse(f"{route.path}?{key}", served)
    assert route.parse(f"{route.path}?token=x&utm_source=y&lang=en", served) == Parameters()
    with pytest.raises(Refusal, match="^lang is 'fr'; served is 'en'$"):
        route.parse(f"{route.path}?lang=fr", served)


def test_the_intent_of_a_realtime_session_is_to_transcribe() -> None:
    served, route = Served(silences={"general": 1.2}), ROUTES["realtime"]
    assert route.parse(f"{route.path}?intent=transcription", served) == Parameters(silence=1.2)
    with pytest.raises(Refusal) as refused:
        route.parse(f"{route.path}?intent=conversation", served)
    assert refused.value.param == "intent"
    for other in ("myrtle", "sherpa", "vosk"):
        target = f"{ROUTES[other].path}?intent=transcription"
        with pytest.raises(Refusal):
            ROUTES[other].parse(target, served)


def test_a_realtime_session_may_name_its_model_by_an_alias() -> None:
    route, served = ROUTES["realtime"], Served(aliases={"whisper-1": "general"})
    parameters = route.parse(route.path, served)
    stream = Driven(route.dialect(parameters, Opening("id", NOW, Speller())))
    stream.messages()
    for name, answer in (("whisper-1", "session.updated"), ("tiny", "error")):
        audio = {"input": {"transcription": {"model": name}}}
        update = {"type": "session.update", "session": {"type": "transcription", "audio": audio}}
        stream.receive(json.dumps(update))
        (message,) = stream.messages()
        assert isinstance(message, str) and json.loads(message)["type"] == answer
