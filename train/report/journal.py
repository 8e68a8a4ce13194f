"""The journal of a run: metrics as JSON lines in RUN/metrics.jsonl, and the same to its loggers."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.files.atomic import replace_file
from train.config.keys import flat
from train.loggers.logger import Logger

SCHEMA = "rill.metrics/1"


class Journal:
    """The metrics of a run.

    A logger that fails, such as one whose server is down, costs what it should have recorded and is
    reported: training goes on, and metrics.jsonl has everything.

    Args:
        folder: of the run.
        update: that the run resumes from; later lines are cut off.
        loggers: which get the same.
        report: is told, once for each message, that a logger failed.
    """

    def __init__(
        self,
        folder: Path,
        update: int,
        loggers: Sequence[Logger] = (),
        report: Callable[[str], None] = print,
    ) -> None:
        path = folder / "metrics.jsonl"
        kept = [line for line in lines(path) if _update(line) <= update]
        replace_file(path, b"".join(kept))  # never a moment without it
        self._file = path.open("ab", buffering=0)
        self._loggers, self._report = loggers, report
        self._failures: set[str] = set()

    def write(self, update: int, **values: Any) -> None:
        """Record the values of an update: numbers, or dictionaries of them; None is left out."""
        known = {name: value for name, value in values.items() if value is not None}
        line = {"schema": SCHEMA, "update": update, **known}
        self._file.write(msgspec.json.encode(line) + b"\n")
        numbers = {
            name: float(value)
            for name, value in flat(known, "/")
            if isinstance(value, (int, float))
        }
        self._each(lambda logger: logger.scalars(update, numbers))

    def text(self, update: int, name: str, text: str) -> None:
        """Give lines of plain text to the loggers."""
        self._each(lambda logger: logger.text(update, name, text))

    def histogram(self, update: int, name: str, values: NDArray[np.float32]) -> None:
        """Give a distribution to the loggers: values, (n,) and finite."""
        self._each(lambda logger: logger.histogram(update, name, values))

    def file(self, path: Path) -> None:
        """Give a file of the run's folder to the loggers."""
        self._each(lambda logger: logger.file(path))

    def sync(self) -> None:
        """Have all lines on disk, before a checkpoint that they belong to is."""
        os.fsync(self._file.fileno())
        self._each(lambda logger: logger.flush())

    def close(self, *, finished: bool = True) -> None:
        """Close the file and the loggers; `finished` is False where the run was interrupted."""
        self._file.close()
        self._each(lambda logger: logger.close(finished=finished))

    def _each(self, record: Callable[[Logger], None]) -> None:
        for logger in self._loggers:
            try:
                record(logger)
            except Exception as error:  # of whatever a foreign package raises
                failure = f"{type(logger).__name__}: {type(error).__name__}: {error}"
                if failure not in self._failures:
                    self._failures.add(failure)
                    self._report(f"not logged: {failure}")


def lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a metrics.jsonl, without those that a kill cut short; none without a file."""
    for line in path.read_bytes().splitlines() if path.exists() else ():
        with contextlib.suppress(msgspec.DecodeError, KeyError, TypeError):
            _update(line)
            yield line + b"\n"


def _update(line: bytes) -> int:
    update: int = msgspec.json.decode(line)["update"]
    return update
