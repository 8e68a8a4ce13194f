"""The drawing of the house in docs/design.md: an SVG of packages, rooms and the arrows between them.

Every arrow points down, from what imports to what is imported. An arrow is left out where others lead
the same way (transitive reduction), which keeps the picture readable and says nothing less about what
depends on what. The same sources give the same bytes.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Mapping

from tests.house.imports import ARROWS, MODULES, PACKAGES, part_of, rooms
from tests.places import REPOSITORY

__all__ = ["draw", "rooms_table"]

CHARACTER, HEIGHT, GAP, ROW, MARGIN, TITLE = 7.0, 24, 12, 56, 16, 30  # pixels
INK, FAINT, ROOM, PAPER, LINE = "#1f2933", "#7b8794", "#dbeafe", "#ffffff", "#9fb3c8"
FONT = "font-family='ui-monospace,Menlo,Consolas,monospace'"


def reduced(edges: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Return a graph without circles less every edge for which there is a longer way."""
    reached: dict[str, set[str]] = {}

    def reach(name: str) -> set[str]:
        if name not in reached:
            reached[name] = set().union(*({to, *reach(to)} for to in edges.get(name, ())))
        return reached[name]

    return {
        name: {to for to in targets if not any(to in reach(other) for other in targets)}
        for name, targets in edges.items()
    }


def levels(edges: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the names in rows, top row first; whatever a name points to is in a lower row."""
    height: dict[str, int] = {}

    def visit(name: str) -> int:
        if name not in height:
            height[name] = 1 + max((visit(to) for to in edges.get(name, ())), default=-1)
        return height[name]

    for name in sorted(edges):
        visit(name)
    top = max(height.values(), default=0)
    rows = [[n for n in sorted(height) if height[n] == level] for level in range(top, -1, -1)]
    return _untangled(rows, edges)


def _untangled(rows: list[list[str]], edges: Mapping[str, set[str]]) -> list[list[str]]:
    """Order every row by the mean place of what it is linked to, a few times, for fewer crossings."""
    links: dict[str, set[str]] = {name: set(edges.get(name, ())) for row in rows for name in row}
    for name, targets in edges.items():
        for target in targets:
            links[target].add(name)
    for _ in range(8):
        place = {n: (i + 0.5) / len(row) for row in rows for i, n in enumerate(row)}
        for row in rows:
            # fsum does not depend on the order of a set, which differs from process to process.
            row.sort(key=lambda n: math.fsum(place[o] for o in links[n]) / max(len(links[n]), 1))
            place |= {n: (i + 0.5) / len(row) for i, n in enumerate(row)}
    return rows


class Box:
    """A part of the house with its rooms, laid out around (0, 0) as its upper left corner.

    Attributes:
        width, height: pixels.
        places: (left, top, width) of every room.
    """

    def __init__(self, part: str, edges: Mapping[str, set[str]]) -> None:
        self.part = part
        own = {room: {to for to in edges[room] if to in edges} for room in edges}
        self.edges = reduced(own)
        rows = levels(self.edges)
        widths = {room: len(self.label(room)) * CHARACTER + 16 for room in own}
        spans = [sum(widths[room] + GAP for room in row) - GAP for row in rows]
        self.width = max([*spans, len(part) * 9.0]) + 2 * MARGIN
        self.height = TITLE + max(len(rows) - 1, 0) * ROW + HEIGHT + MARGIN
        self.places: dict[str, tuple[float, float, float]] = {}
        for level, (row, span) in enumerate(zip(rows, spans, strict=True)):
            left = (self.width - span) / 2
            for room in row:
                self.places[room] = left, TITLE + level * ROW, widths[room]
                left += widths[room] + GAP

    def label(self, room: str) -> str:
        """Return what stands in the box of a room: its name, with a slash where it is a folder."""
        name = room.removeprefix(self.part).lstrip(".") or self.part.rpartition(".")[2]
        return name.replace(".", "/") + ("/" if _is_folder(room) else "")

    def draw(self, x: float, y: float) -> Iterable[str]:
        """Yield the SVG elements of the box with its corner at (x, y)."""
        yield _rectangle(x, y, self.width, self.height, PAPER, INK)
        name = self.part.replace(".", "/")
        yield _text(x + MARGIN, y + 20, name + "/", size=14, weight="bold")
        for room, targets in sorted(self.edges.items()):
            left, top, width = self.places[room]
            for target in sorted(targets):
                to, below, span = self.places[target]
                start, end = (
                    (x + left + width / 2, y + top + HEIGHT),
                    (x + to + span / 2, y + below),
                )
                yield _curve(*start, *end)
        for room, (left, top, width) in sorted(self.places.items()):
            fill = ROOM if _is_folder(room) else PAPER
            yield _rectangle(x + left, y + top, width, HEIGHT, fill, LINE)
            yield _text(x + left + 8, y + top + 16, self.label(room))


def draw() -> str:
    """Return the drawing, a document of SVG."""
    edges = rooms()
    boxes = {
        part: Box(part, {room: to for room, to in edges.items() if part_of(room) == part})
        for part in ARROWS
    }
    arrows = reduced({part: set(to) for part, to in ARROWS.items()})
    imported = set().union(*arrows.values())
    floors = [
        sorted(floor, key=lambda part: (part not in imported, part)) for floor in levels(arrows)
    ]
    spans = [sum(boxes[part].width + 2 * GAP for part in floor) - 2 * GAP for floor in floors]
    width = max(spans) + 2 * MARGIN
    y, corners, grounds = float(MARGIN), {}, {}
    for floor, span in zip(floors, spans, strict=True):
        x = (width - span) / 2
        tallest = max(boxes[part].height for part in floor)
        for part in floor:
            corners[part] = x, y
            grounds[part] = y + tallest
            x += boxes[part].width + 2 * GAP
        y += tallest + ROW
    height = y - ROW + MARGIN
    elements = []
    for part, targets in sorted(arrows.items()):
        x, top = corners[part]
        start = x + boxes[part].width / 2, grounds[part]
        elements.append(_line(start[0], top + boxes[part].height, grounds[part]))
        for target in sorted(targets):
            to, below = corners[target]
            inside = min(max(start[0], to + 2 * MARGIN), to + boxes[target].width - 2 * MARGIN)
            elements.append(_curve(*start, inside, below, INK, 2))
    for part, (x, top) in corners.items():
        elements += boxes[part].draw(x, top)
    body = "\n".join(elements)
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width:.0f} {height:.0f}' "
        f"width='{width:.0f}' {FONT}>\n"
        "<title>Packages and rooms of Rill; arrows point at what is imported</title>\n"
        f"<rect width='{width:.0f}' height='{height:.0f}' fill='{PAPER}'/>\n{body}\n</svg>\n"
    )


def rooms_table() -> str:
    """Return a line of Markdown for every folder: what it is, by the first line of its docstring.

    Raises:
        ValueError: a folder's `__init__.py` has no docstring.
    """
    lines = ["| folder | what is in it |", "|---|---|"]
    for name, module in sorted(MODULES.items()):
        if module.path.name != "__init__.py":
            continue
        documentation = ast.get_docstring(module.tree)
        if not documentation:
            raise ValueError(f"{module.path}: no docstring; say in a line what the folder holds")
        first = documentation.partition("\n")[0].removeprefix(f"{name}: ")
        lines.append(f"| `{name.replace('.', '/')}/` | {first[0].upper()}{first[1:]} |")
    return "\n".join(lines) + "\n"


def _is_folder(room: str) -> bool:
    return room in PACKAGES or (REPOSITORY / room.replace(".", "/")).is_dir()


def _rectangle(x: float, y: float, width: float, height: float, fill: str, stroke: str) -> str:
    return (
        f"<rect x='{x:.0f}' y='{y:.0f}' width='{width:.0f}' height='{height:.0f}' rx='5' "
        f"fill='{fill}' stroke='{stroke}'/>"
    )


def _text(x: float, y: float, text: str, size: int = 12, weight: str = "normal") -> str:
    attributes = f"font-size='{size}' font-weight='{weight}' fill='{INK}'"
    return f"<text x='{x:.0f}' y='{y:.0f}' {attributes}>{text}</text>"


def _line(x: float, y0: float, y1: float) -> str:
    """Return the upright start of an arrow between packages, past what is beside it."""
    return f"<path d='M{x:.0f},{y0:.0f} V{y1:.0f}' stroke='{INK}' stroke-width='2'/>"


def _curve(
    x0: float, y0: float, x1: float, y1: float, stroke: str = LINE, width: float = 1.2
) -> str:
    """Return an arrow that leaves and arrives upright."""
    bend = max((y1 - y0) / 2, 12)
    return (
        f"<path d='M{x0:.0f},{y0:.0f} C{x0:.0f},{y0 + bend:.0f} {x1:.0f},{y1 - bend:.0f} "
        f"{x1:.0f},{y1:.0f}' fill='none' stroke='{stroke}' stroke-width='{width}'/>"
        f"<path d='M{x1 - 3:.0f},{y1 - 6:.0f} L{x1:.0f},{y1:.0f} L{x1 + 3:.0f},{y1 - 6:.0f}' "
        f"fill='none' stroke='{stroke}' stroke-width='{width}'/>"
    )
