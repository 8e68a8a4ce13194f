"""Layering: which package may import which, read from every source file with `ast`.

The rules (docs/design.md, decision 2):

1. A package imports only the packages that stand beside it in `ARROWS`, anywhere in a file, so also
   inside functions.
2. Mains may import anything. A main is a `__main__.py` or a module with a function `main`.
3. Nothing imports a main.
4. Imports are absolute.
5. `stream`, `hwckpt` and `server` never load torch, whichever of their modules is imported.

Modules that are named as data and loaded by `importlib` (the readers of `stream.network`) are not
imports in this sense: they are looked for when a file of their format is opened.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
ARROWS: dict[str, frozenset[str]] = {
    "stream": frozenset(),
    "hwckpt": frozenset({"stream"}),
    "train": frozenset({"stream"}),
    "export": frozenset({"train", "stream", "hwckpt"}),
    "server": frozenset({"stream"}),
}
WITHOUT_TORCH = ("stream", "hwckpt", "server")


@dataclass(frozen=True)
class Module:
    """One source file; `name` is what `import` calls it."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def package(self) -> str:
        return self.name.partition(".")[0]

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


def read_modules(package: str) -> list[Module]:
    modules = []
    for path in sorted((REPOSITORY / package).rglob("*.py")):
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        modules.append(Module(name, path, ast.parse(path.read_text(), str(path))))
    return modules


MODULES = {module.name: module for package in ARROWS for module in read_modules(package)}


def imports(module: Module) -> Iterator[Import]:
    """Every import statement of a file; `from a import b` is a.b where that is a module, else a."""
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


@pytest.mark.parametrize("package", ARROWS)
def test_a_package_has_modules_to_check(package: str) -> None:
    assert package in MODULES, f"{package}/__init__.py is missing"


@pytest.mark.parametrize("package", ARROWS)
def test_a_package_imports_only_along_the_arrows(package: str) -> None:
    allowed = ARROWS[package] | {package}
    wrong = [
        f"{found.where} imports {found.target}; {package} may import {sorted(ARROWS[package])}"
        for module in MODULES.values()
        if module.package == package and not module.is_main
        for found in imports(module)
        if found.target.partition(".")[0] in ARROWS.keys() - allowed
    ]
    assert wrong == []


def test_nothing_imports_a_main() -> None:
    wrong = [
        f"{found.where} imports {found.target}, which is a main: move what it needs to a library"
        for module in MODULES.values()
        for found in imports(module)
        if found.target in MODULES and MODULES[found.target].is_main
    ]
    assert wrong == []


def test_imports_are_absolute() -> None:
    wrong = [
        f"{found.where}: relative import; write the package's name"
        for module in MODULES.values()
        for found in imports(module)
        if found.level
    ]
    assert wrong == []


def test_runtime_packages_import_without_loading_torch() -> None:
    packages = ", ".join(WITHOUT_TORCH)
    run_python(f"import {packages}, sys; assert 'torch' not in sys.modules")


def test_no_module_of_the_runtime_loads_torch_on_import() -> None:
    # A main counts too: `python -m server` and `python -m stream.validate` run where torch is not.
    names = [name for name, module in MODULES.items() if module.package in WITHOUT_TORCH]
    code = f"""
import importlib, sys
for name in {names!r}:
    importlib.import_module(name)
    assert "torch" not in sys.modules, name + " loads torch"
"""
    run_python(code)


def run_python(code: str) -> None:
    """Run code in a fresh interpreter at the repository's root; fail with its stderr."""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
