"""Live text on a terminal: final words stay, provisional ones are dim and replaced.

Only for streams that are terminals; elsewhere the caller prints whole lines.
"""

from __future__ import annotations

import shutil
from typing import TextIO

DIM, PLAIN = "\x1b[2m", "\x1b[22m"
CLEAR_TO_END = "\x1b[K"


class LiveText:
    """One growing line, which wraps as it grows.

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
