"""The interface of a logger, and what it learns about the run when it is opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.files.atomic import replacing


class Logger(Protocol):
    """Where the metrics of a run go. Names are paths, such as wer/hard/all."""

    def scalars(self, update: int, values: Mapping[str, float]) -> None:
        """Record numbers of an update; they may be NaN or infinite."""

    def text(self, update: int, name: str, text: str) -> None:
        """Record lines of plain text."""

    def histogram(self, update: int, name: str, values: NDArray[np.float32]) -> None:
        """Record how values, (n,) and finite, are distributed."""

    def file(self, path: Path) -> None:
        """Keep a file of the run's folder."""

    def flush(self) -> None:
        """Write what is waiting, before a checkpoint that it belongs to is written."""

    def close(self, *, finished: bool) -> None:
        """End; `finished` is False where the run was interrupted and may go on."""


@dataclass(frozen=True)
class Experiment:
    """A run as loggers see it.

    Attributes:
        folder: of the run.
        project: that it is filed under.
        config: its configuration by key, such as optimiser.rate.
        update: that it goes on from; 0: it begins.
        results: names of the scalars by which runs are compared.
    """

    folder: Path
    project: str
    config: Mapping[str, str | int | float | bool]
    update: int = 0
    results: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the run."""
        return self.folder.resolve().name

    def known_as(self, service: str) -> str | None:
        """Return the id that a service gave the run before, or None."""
        return self._ids().get(service)

    def remember(self, service: str, id_: str) -> None:
        """Keep the id that a service gave the run, so that resuming continues it there."""
        ids = {**self._ids(), service: id_}
        with replacing(self._path) as partial:
            partial.write_bytes(msgspec.json.format(msgspec.json.encode(ids)))

    @property
    def _path(self) -> Path:
        return self.folder / "loggers.json"

    def _ids(self) -> dict[str, str]:
        if not self._path.exists():
            return {}
        return msgspec.json.decode(self._path.read_bytes(), type=dict[str, str])
