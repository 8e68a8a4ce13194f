"""The house: packages, rooms and the imports between them, read from every source file with `ast`.

A *part* is a floor of the house with arrows of its own: the five packages, and `hwckpt.conformance`,
which stands on all of them. A *room* is a folder of a package; a file that lies in a package itself is
a room of its own. `tests/test_layering.py` checks the rules, `tests/house/drawing.py` draws what is here.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.places import REPOSITORY

__all__ = [
    "ARROWS",
    "LAZY",
    "MODULES",
    "PACKAGES",
    "Import",
    "Module",
    "circle",
    "imports",
    "named_modules",
    "part_of",
    "room_of",
    "rooms",
]

ARROWS: dict[str, frozenset[str]] = {
    "stream": frozenset(),
    "hwckpt": frozenset({"stream"}),
    "train": frozenset({"stream", "hwckpt"}),
    "export": frozenset({"train", "stream", "hwckpt"}),
    "server": frozenset({"stream"}),
    "hwckpt.conformance": frozenset({"stream", "hwckpt", "train", "export"}),
}
PACKAGES = [part for part in ARROWS if "." not in part]
# Tables of modules that are imported when a file, a flag or a user asks for them, by the module they stand in.
LAZY = {
    "stream.model.network": "READERS",
    "stream.backends": "BACKENDS",
    "server.rill.commands": "COMMANDS",
}


@dataclass(frozen=True)
class Module:
    """One source file; `name` is what `import` calls it."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def part(self) -> str:
        return part_of(self.name)

    @property
    def is_main(self) -> bool:
        return self.path.name == "__main__.py" or any(
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == "main"
            for node in self.tree.body
        )


@dataclass(frozen=True)
class Import:
    """One imported module, where it is imported, and the dots of a relative import."""

    target: str
    where: str
    level: int = 0


def part_of(name: str) -> str:
    """Return the key of `ARROWS` that a module belongs to."""
    return max((key for key in ARROWS if f"{name}.".startswith(f"{key}.")), key=len)


def _read_modules(package: str) -> list[Module]:
    modules = []
    for path in sorted((REPOSITORY / package).rglob("*.py")):
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        modules.append(Module(name, path, ast.parse(path.read_text(), str(path))))
    return modules


MODULES = {module.name: module for package in PACKAGES for module in _read_modules(package)}


def imports(module: Module) -> Iterator[Import]:
    """Yield every import of a file; `from a import b` is a.b where that is a module, else a."""
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        where = f"{module.path.relative_to(REPOSITORY)}:{node.lineno}"
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, where) for alias in node.names)
            continue
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            target = inner if inner in MODULES else str(node.module)
            yield Import(target, where, node.level)


def named_modules(module: Module) -> Iterator[Import]:
    """Yield modules whose whole name is a string in a file, except in its table of `LAZY`."""
    table = LAZY.get(module.name)
    lazy = {
        id(inner)
        for node in module.tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for name in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(name, ast.Name) and name.id == table
        for inner in ast.walk(node)
    }
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Constant) or id(node) in lazy:
            continue
        if node.value in MODULES and node.value not in PACKAGES:
            yield Import(str(node.value), f"{module.path.relative_to(REPOSITORY)}:{node.lineno}")


def room_of(module: Module) -> str:
    """Return the dotted name of a module's folder, or its own where it lies in a package itself."""
    folder = ".".join(module.path.parent.relative_to(REPOSITORY).parts)
    return module.name if folder in PACKAGES else folder


def rooms() -> dict[str, set[str]]:
    """Return every room but the mains and empty ones, with the rooms that it imports."""
    found: dict[str, set[str]] = defaultdict(set)
    for module in MODULES.values():
        if module.is_main or module.name in PACKAGES:
            continue
        room = found[room_of(module)]
        for each in imports(module):
            target = MODULES.get(each.target)
            if target and target.name not in PACKAGES and room_of(target) != room_of(module):
                room.add(room_of(target))
    return dict(found)


def circle(edges: Mapping[str, set[str]]) -> list[str]:
    """Return the names along a circle of a graph, or nothing where there is none."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for target in sorted(edges.get(name, ())):
            if found := visit(target, [*path, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(edges) if (found := visit(name, []))), [])
