"""Models: what is served, by name, each with its own engine, thread and slots.

A thread per model, not one that steps all engines: a step of one model then delays another only by
the cores they share (ONNX Runtime computes without the interpreter's lock), a model whose engine
breaks takes no other with it, and each has the slots that its own size allows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from server.channels import Channels, Stepper
from server.request import Served
from server.transcript import TokenText

__all__ = ["Loaded", "Model", "Models"]


@dataclass(frozen=True)
class Loaded:
    """A model that is ready.

    Attributes:
        engine: that steps it.
        slots: streams at a time, as many as the engine has.
        token_text: from a token's id to what it adds to the text.
        pieces: of its vocabulary, by token id.
        about: what `GET /model` tells of it, fit for JSON; `language` is its primary tag.
    """

    engine: Stepper
    slots: int
    token_text: TokenText
    pieces: Sequence[str]
    about: Mapping[str, Any]


class Model:
    """A served model.

    Args:
        name: for `model` in queries.
        load: makes it; called in the engine's thread.

    Attributes:
        channels: where its streams are recognised.
    """

    def __init__(self, name: str, load: Callable[[], Loaded]) -> None:
        self.name = name
        self.channels = Channels(self._load_engine)
        self._load = load
        self._loaded: Loaded | None = None

    def _load_engine(self) -> Stepper:
        self._loaded = self._load()
        self.channels.slots = self._loaded.slots
        return self._loaded.engine

    @property
    def loaded(self) -> Loaded:
        """What was loaded; to be asked for where a channel could be opened."""
        assert self._loaded is not None
        return self._loaded

    @property
    def language(self) -> str:
        """Primary tag of its language."""
        return str(self._loaded.about.get("language", "en")) if self._loaded else "en"

    def describe(self) -> dict[str, Any]:
        """Return what is told about it."""
        return {
            "name": self.name,
            "channels": self.channels.slots,
            "channels_open": self.channels.in_use,
            "refusal": self.channels.refusal(),
            **(self._loaded.about if self._loaded else {}),
        }


class Models(Mapping[str, Model]):
    """All models of a server; the first is the default."""

    def __init__(self, *models: Model) -> None:
        self._models = {model.name: model for model in models}

    def __getitem__(self, name: str) -> Model:
        return self._models[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)

    @property
    def served(self) -> Served:
        """What a query may ask for."""
        return Served({name: model.language for name, model in self._models.items()})

    def refusal(self) -> str | None:
        """Return why no model takes a stream now, None where one does."""
        reasons = [model.channels.refusal() for model in self._models.values()]
        return None if None in reasons else reasons[0]

    async def start(self) -> None:
        """Load one after the other; raises what loading raises."""
        for model in self._models.values():
            await model.channels.start()

    async def stop(self) -> None:
        """Fail the channels that are still open and end the threads."""
        for model in self._models.values():
            await model.channels.stop()
