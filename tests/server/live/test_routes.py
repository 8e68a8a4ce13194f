from __future__ import annotations

import json

import pytest

from server.engine.models import Served
from server.live.request import Parameters
from server.live.routes import ROUTES
from server.protocol.hotwords import Speller
from server.refusals import Refusal
from tests.server.adapters.driving import Driven


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
        refusal = route.parse(f"{route.path}?{query}", served)
        assert isinstance(refusal, Refusal) and refusal.status == 400


@pytest.mark.parametrize("name", ["sherpa", "vosk", "realtime"])
def test_a_key_of_another_protocol_is_refused_and_one_of_none_left_alone(name: str) -> None:
    served, route = Served(), ROUTES[name]
    for key in ("alternatives=3", "version=v1", "content_type=audio/x-raw"):
        refusal = route.parse(f"{route.path}?{key}", served)
        assert isinstance(refusal, Refusal)
        assert refusal.text.startswith(f"{key.split('=')[0]} means nothing here; there are ")
    assert route.parse(f"{route.path}?token=x&utm_source=y&lang=en", served) == Parameters()
    refusal = route.parse(f"{route.path}?lang=fr", served)
    assert isinstance(refusal, Refusal) and refusal.text == "lang is 'fr'; served is 'en'"


def test_the_intent_of_a_realtime_session_is_to_transcribe() -> None:
    served, route = Served(silences={"general": 1.2}), ROUTES["realtime"]
    assert route.parse(f"{route.path}?intent=transcription", served) == Parameters(silence=1.2)
    refusal = route.parse(f"{route.path}?intent=conversation", served)
    assert isinstance(refusal, Refusal) and refusal.param == "intent"
    for other in ("myrtle", "sherpa", "vosk"):
        target = f"{ROUTES[other].path}?intent=transcription"
        assert isinstance(ROUTES[other].parse(target, served), Refusal)


def test_a_realtime_session_may_name_its_model_by_an_alias() -> None:
    route, served = ROUTES["realtime"], Served(aliases={"whisper-1": "general"})
    parameters = route.parse(route.path, served)
    assert isinstance(parameters, Parameters)
    stream = Driven(route.dialect(parameters, Speller(), False))
    stream.messages()
    for name, answer in (("whisper-1", "session.updated"), ("tiny", "error")):
        audio = {"input": {"transcription": {"model": name}}}
        update = {"type": "session.update", "session": {"type": "transcription", "audio": audio}}
        stream.receive(json.dumps(update))
        (message,) = stream.messages()
        assert isinstance(message, str) and json.loads(message)["type"] == answer
