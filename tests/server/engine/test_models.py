from __future__ import annotations

import pytest

from server.engine.models import Model, Models, Served
from server.engine.supervisor import LoadError
from server.engine.worker import Loaded
from server.refusals import Refusal
from stream.vocabulary import Alphabet
from tests.server.scripted import Owner, ScriptedEngine, in_thread


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
    first = models["a"].channels.open(Owner())
    assert models.refusal() is None
    second = models["b"].channels.open(Owner())
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


async def test_an_alias_is_another_name_of_the_same_model() -> None:
    models = Models(model("a"), model("b", "de"), aliases={"whisper-1": "b"})
    await models.start()
    assert models["whisper-1"] is models["b"]
    assert list(models) == ["a", "b"]  # each once
    assert models.names == ["a", "b", "whisper-1"]
    assert models.served.choose("whisper-1") == "b"
    with pytest.raises(Refusal, match="^model is 'tiny'; served are 'a', 'b', 'whisper-1'$"):
        models.served.choose("tiny")
    await models.stop()
