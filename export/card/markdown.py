"""Markdown of a card: tables and words."""

from __future__ import annotations

from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; a bar in a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def percent(rate: float | None) -> str:
    """Return a rate, a fraction, in %; "–" where there is none."""
    return "–" if rate is None else f"{100 * rate:.2f}"
