"""The served models, by name, each with an engine in a process of its own.

There is a process per model, not one that steps all engines: a step of one model then delays another
only by the cores they share, a broken engine does not affect other models, and each model has the
slots that its own size allows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from server.engine.channels import Channels
from server.engine.process import Start
from server.engine.supervision import Supervision
from server.refusals import Refusal, quoted
from stream.vocabulary import Alphabet

NO_ALIASES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Served:
    """What a query may ask for.

    Attributes:
        models: values of `model`, the default first, and the primary language tag of each; "en"
            serves "en-GB" too.
        versions: values of `version`, besides "latest".
        aliases: further values of `model`, and the model that each of them names.
        silences: seconds without text that end an utterance, for each model; None: they do not.
    """

    models: Mapping[str, str] = field(default_factory=lambda: {"general": "en"})
    versions: tuple[str, ...] = ("v1",)
    aliases: Mapping[str, str] = field(default_factory=dict)
    silences: Mapping[str, float | None] = field(default_factory=dict)

    def choose(self, name: str | None) -> str:
        """Return the name of the requested model; the first for None.

        Raises:
            Refusal: there is no such model.
        """
        if name is None:
            return next(iter(self.models))
        if name in self.aliases:
            return self.aliases[name]
        if name in self.models:
            return name
        names = [*self.models, *self.aliases]
        are = "is" if len(names) == 1 else "are"
        raise Refusal(400, f"model is {quoted(name)}; served {are} {', '.join(map(repr, names))}")


class Model:
    """A served model.

    Args:
        name: for `model` in queries.
        start: starts the worker that has its engine.
        supervision: how patient the server is with that.

    Attributes:
        channels: where its streams are recognised.
    """

    def __init__(self, name: str, start: Start, supervision: Supervision | None = None) -> None:
        self.name = name
        self.channels = Channels(start, name, supervision)

    # Use these only where a channel could be opened.

    @property
    def alphabet(self) -> Alphabet:
        """What it spells."""
        return self.channels.ready.alphabet

    @property
    def about(self) -> Mapping[str, Any]:
        """Its description, fit for JSON; empty before it is loaded."""
        return self.channels.ready.about if self.channels.slots else {}

    @property
    def language(self) -> str:
        """Primary tag of its language."""
        return str(self.about.get("language", "en"))

    @property
    def knows(self) -> str:
        """What it understands, in a few words; "" where it does not say."""
        return str(self.about.get("notes", {}).get("knows", ""))

    @property
    def endpoint_silence(self) -> float | None:
        """Seconds without text that end an utterance; None where they do not."""
        silence = self.about.get("endpoint_silence")
        return None if silence is None else float(silence)

    def describe(self) -> dict[str, Any]:
        """Return its description and its state."""
        return {
            "name": self.name,
            "channels": self.channels.slots,
            "channels_open": self.channels.in_use,
            "refusal": self.channels.refusal(),
            **self.about,
        }


class Models(Mapping[str, Model]):
    """All models of a server; the first is the default.

    Args:
        models: by their names.
        aliases: further names that clients may use, and the model of each; `__getitem__` accepts them,
            `__iter__` does not yield them, so that each model comes once.
    """

    def __init__(self, *models: Model, aliases: Mapping[str, str] = NO_ALIASES) -> None:
        self._models = {model.name: model for model in models}
        self._aliases = aliases

    def __getitem__(self, name: str) -> Model:
        return self._models[self._aliases.get(name, name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)

    @property
    def names(self) -> list[str]:
        """All names that clients may use, the default first, aliases last."""
        return [*self._models, *self._aliases]

    @property
    def served(self) -> Served:
        """What a query may ask for."""
        languages = {name: model.language for name, model in self._models.items()}
        silences = {name: model.endpoint_silence for name, model in self._models.items()}
        return Served(languages, aliases=self._aliases, silences=silences)

    def refusal(self) -> str | None:
        """Return why no model accepts a stream now, None where one does."""
        reasons = [model.channels.refusal() for model in self._models.values()]
        return None if None in reasons else reasons[0]

    def fault(self) -> str | None:
        """Return why an engine does not work now, None where all do."""
        reasons = (model.channels.engine.fault() for model in self._models.values())
        return next(filter(None, reasons), None)

    async def start(self) -> None:
        """Load one after the other.

        Raises:
            LoadError: a model cannot be loaded.
        """
        for model in self._models.values():
            await model.channels.start()

    async def failure(self) -> str:
        """Wait until an engine has failed too often, and return the message for the log."""
        waiting = [
            asyncio.create_task(each.channels.engine.failure()) for each in self._models.values()
        ]
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            return done.pop().result()
        finally:
            for task in waiting:
                task.cancel()

    async def stop(self) -> None:
        """Fail the channels that are still open and end the workers."""
        for model in self._models.values():
            await model.channels.stop()
