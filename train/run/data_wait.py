"""How long a run waits for data, and which utterances it leaves out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from stream.errors import InputError

T = TypeVar("T")


def timed(items: Iterator[T]) -> Iterator[tuple[float, T]]:
    """Yield items with the seconds that each was waited for."""
    while True:
        began = time.perf_counter()
        try:
            item = next(items)
        except StopIteration:
            return
        yield time.perf_counter() - began, item


def waited_share(updates: Sequence[tuple[float, float]]) -> float:
    """Return the share of their time that updates waited for data.

    Args:
        updates: (seconds waited, seconds in all) of each.
    """
    return sum(waited for waited, _ in updates) / max(sum(whole for _, whole in updates), 1e-9)


class Skipped:
    """The utterances that a run leaves out since they cannot be used: RUN/skipped.txt.

    Args:
        folder: of the run; what it skipped before counts.
        limit: how many there may be.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._path, self._limit = folder / "skipped.txt", limit
        there = self._path.read_text().splitlines() if self._path.exists() else []
        self._known = set(there)

    @property
    def count(self) -> int:
        """How many were left out so far."""
        return len(self._known)

    def add(self, messages: Sequence[str]) -> None:
        """Note what was wrong with utterances, each once.

        Raises:
            InputError: there are more than there may be.
        """
        lines = [message.replace("\n", " ") for message in messages]
        new = [line for line in dict.fromkeys(lines) if line not in self._known]
        if not new:
            return
        self._known.update(new)
        with self._path.open("a") as file:
            file.writelines(line + "\n" for line in new)
        if len(self._known) > self._limit:
            raise InputError(
                f"{len(self._known)} utterances cannot be used, and data.skip_share allows "
                f"{self._limit}; {self._path} names them, the last: {new[-1]}"
            )
