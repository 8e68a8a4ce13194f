"""Progress of a command, as one line on stderr that is overwritten; only on a terminal."""

from __future__ import annotations

import sys


def show_line(line: str, *, last: bool = False) -> None:
    """Write over the line on stderr, if that is a terminal; "" clears it.

    Args:
        last: whether it stays, and what follows begins a new line.
    """
    if sys.stderr.isatty():
        print(f"\r{line}\x1b[K", end="\n" if last else "", file=sys.stderr, flush=True)


def show_count(done: int, total: int, name: str = "") -> None:
    """Show "NAME: DONE of TOTAL"; the line stays once all are done."""
    show_line(f"{name}: {done} of {total}" if name else f"{done} of {total}", last=done == total)
