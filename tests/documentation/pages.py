"""The pages that people read, and the blocks of code on them.

A line `# needs: THINGS` in a block tells the reader what must be there, and the tests, which have none of it, to leave
alone what is below. A block of Python that begins with `# needs: PACKAGES` is a program for a running server, which
`test_recipes.py` runs where they are installed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.places import REPOSITORY

__all__ = ["PAGES", "Block", "blocks", "cases"]

PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "recipes" / "README.md",
    *sorted((REPOSITORY / "docs").glob("*.md")),
]
FENCED = re.compile(r"(?m)^( *)```(.*)\n((?:.*\n)*?)\1```$")
NEEDS = re.compile(r"(?m)^# needs: (.+)\n")


class Block(NamedTuple):
    """A fenced block: where it is, the language behind the fence, and its lines."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def tested(self) -> str:
        """What of it can run in a test: the lines above `# needs:`."""
        return NEEDS.split(self.text)[0]

    @property
    def needs(self) -> tuple[str, ...]:
        """Packages that its program in Python needs, as pip names them; none where it is not one."""
        found = NEEDS.match(self.text) if self.language == "python" else None
        return tuple(found[1].split()) if found else ()


def blocks() -> list[Block]:
    """Return every block of every page."""
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found[2], found[3])
        for page in PAGES
        for text in [page.read_text()]
        for found in FENCED.finditer(text)
    ]


def cases(*languages: str) -> list[object]:
    """Return what can be tested in these languages as parameters of a test, named by their places."""
    return [
        pytest.param(block, id=f"{block.page.name}:{block.line}")
        for block in blocks()
        if block.language in languages and block.tested.strip()
    ]
