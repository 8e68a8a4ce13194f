"""Live text: on a terminal final words stay, provisional ones are dim and replaced; elsewhere final ones."""

from __future__ import annotations

import shutil
from typing import TextIO

DIM, PLAIN = "\x1b[2m", "\x1b[22m"
CLEAR_TO_END = "\x1b[K"


def growing_line(stream: TextIO) -> LiveText | PlainText:
    """Return what shows a growing text on a stream."""
    return LiveText(stream) if stream.isatty() else PlainText(stream)


class PlainText:
    """One growing line of final text, for pipes and files."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown = 0  # characters written

    def show(self, final: str, provisional: str) -> None:
        """Write what is new of the final text; provisional text is left out."""
        final = final.strip()
        self._stream.write(final[self._shown :])
        self._shown = len(final)
        self._stream.flush()

    def end(self) -> None:
        """End the line."""
        self._stream.write("\n")
        self._stream.flush()


class LiveText:
    """One growing line on a terminal, which wraps as it grows.

    Args:
        stream: a terminal.
        columns: its width; None asks it.
    """

    def __init__(self, stream: TextIO, columns: int | None = None) -> None:
        self._stream = stream
        self._columns = columns or shutil.get_terminal_size().columns
        self._shown = 0  # characters of final text on the screen

    def show(self, final: str, provisional: str) -> None:
        """Show all final text so far, and the provisional text that follows it.

        Provisional text is cut at the end of the line: one that wraps could not be taken back.
        """
        final = final.lstrip()
        self._stream.write(CLEAR_TO_END + final[self._shown :])
        self._shown = len(final)
        tail = provisional[: self._columns - 1 - self._shown % self._columns]
        if tail:
            self._stream.write(f"{DIM}{tail}{PLAIN}\x1b[{len(tail)}D")
        self._stream.flush()

    def end(self) -> None:
        """Leave the final text as a line."""
        self._stream.write(f"{CLEAR_TO_END}\n")
        self._stream.flush()
