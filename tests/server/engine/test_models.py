from __future__ import annotations

import json

import pytest

from server.engine.models import Model, Models
from server.engine.supervisor import LoadError
from server.engine.worker import Loaded
from server.live.request import Parameters, Refusal, Served
from server.live.routes import TALKS
from server.protocol.hotwords import Speller
from stream.vocabulary import Alphabet
from tests.server.scripted import ScriptedEngine, in_thread


def model(name: str, language: str = "en", slots: int = 2) -> Model:
    about = {"language": language, "notes": {"license": "Apache-2.0"}}
    return Model(name, in_thread(lambda: Loaded(ScriptedEngine(slots), slots, Alphabet(), about)))


async def test_a_model_tells_of_itself_what_is_known() -> None:
    models = Models(model("a"), model("b", "de", 1))
    assert models.refusal() == "the model is being loaded"
    assert models["b"].describe() == {
        "name": "b",
        "channels": 0,
        "channels_open": 0,
        "refusal": "the model is being loaded",
    }
    await models.start()
    assert models.refusal() is None
    assert models.served == Served({"a": "en", "b": "de"}, silences={"a": None, "b": None})
    assert models["b"].describe()["notes"] == {"license": "Apache-2.0"}
    await models.stop()
    assert models.refusal() == "the server is shutting down"


async def test_a_server_is_ready_while_any_of_its_models_takes_streams() -> None:
    models = Models(model("a", slots=1), model("b", slots=1))
    await models.start()
    first = models["a"].channels.open(print, print)
    assert models.refusal() is None
    second = models["b"].channels.open(print, print)
    assert models.refusal() == "all 1 channels are in use"
    assert first is not None and second is not None
    second.close()
    assert models.refusal() is None
    await models.stop()


async def test_a_model_that_cannot_be_loaded_says_why() -> None:
    def load() -> Loaded:
        raise ValueError("model.json: not JSON")

    models = Models(Model("a", in_thread(load)))
    with pytest.raises(LoadError, match="not JSON"):
        await models.start()
    await models.stop()


@pytest.mark.parametrize("name", ["myrtle", "sherpa", "vosk", "realtime"])
def test_every_talk_picks_its_model_by_the_query(name: str) -> None:
    served, talk = Served({"a": "en", "b": "de"}), TALKS[name]
    assert talk.parse(talk.path, served) == Parameters("a", language="en")
    assert talk.parse(f"{talk.path}?model=b", served) == Parameters("b", language="de")
    for query in ("model=c", "model=a&model=b"):
        refusal = talk.parse(f"{talk.path}?{query}", served)
        assert isinstance(refusal, Refusal) and refusal.status == 400


@pytest.mark.parametrize("name", ["sherpa", "vosk", "realtime"])
def test_a_key_of_another_protocol_is_refused_and_one_of_none_left_alone(name: str) -> None:
    served, talk = Served(), TALKS[name]
    for key in ("alternatives=3", "version=v1", "content_type=audio/x-raw"):
        refusal = talk.parse(f"{talk.path}?{key}", served)
        assert isinstance(refusal, Refusal)
        assert refusal.text.startswith(f"{key.split('=')[0]} means nothing here; there are ")
    assert talk.parse(f"{talk.path}?token=x&utm_source=y&lang=en", served) == Parameters()
    refusal = talk.parse(f"{talk.path}?lang=fr", served)
    assert isinstance(refusal, Refusal) and refusal.text == "lang is 'fr'; served is 'en'"


def test_the_intent_of_a_realtime_session_is_to_transcribe() -> None:
    served, talk = Served(silences={"general": 1.2}), TALKS["realtime"]
    assert talk.parse(f"{talk.path}?intent=transcription", served) == Parameters(silence=1.2)
    refusal = talk.parse(f"{talk.path}?intent=conversation", served)
    assert isinstance(refusal, Refusal) and refusal.param == "intent"
    for other in ("myrtle", "sherpa", "vosk"):
        target = f"{TALKS[other].path}?intent=transcription"
        assert isinstance(TALKS[other].parse(target, served), Refusal)


async def test_an_alias_is_another_name_of_the_same_model() -> None:
    models = Models(model("a"), model("b", "de"), aliases={"whisper-1": "b"})
    await models.start()
    assert models["whisper-1"] is models["b"]
    assert list(models) == ["a", "b"]  # each once
    assert models.names == ["a", "b", "whisper-1"]
    talk = TALKS["realtime"]
    parameters = talk.parse(f"{talk.path}?model=whisper-1", models.served)
    assert parameters == Parameters("b", language="de", aliases=("whisper-1",))
    refusal = models.served.choose("tiny")
    assert isinstance(refusal, Refusal)
    assert refusal.text == "model is 'tiny'; served are 'a', 'b', 'whisper-1'"
    await models.stop()


def test_a_realtime_session_may_name_its_model_by_an_alias() -> None:
    talk, served = TALKS["realtime"], Served(aliases={"whisper-1": "general"})
    parameters = talk.parse(talk.path, served)
    assert isinstance(parameters, Parameters)
    conversation = talk.open(parameters, Speller(), False)
    conversation.messages_to_send()
    for name, answer in (("whisper-1", "session.updated"), ("tiny", "error")):
        audio = {"input": {"transcription": {"model": name}}}
        update = {"type": "session.update", "session": {"type": "transcription", "audio": audio}}
        conversation.receive_text(json.dumps(update))
        (message,) = conversation.messages_to_send()
        assert isinstance(message, str) and json.loads(message)["type"] == answer
