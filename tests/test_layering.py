"""Layering: which part of the house may import which, read from every source file with `ast`.

The rules (docs/design.md, decision 2):

1. A part imports only the parts that stand beside it in `ARROWS`, anywhere in a file, so also inside
   functions. The name of a module as a string counts as an import of it, but in the tables of
   `LAZY`: the readers, backends and commands that are loaded when a file, a flag or a user asks for them.
2. Mains may import anything. A main is a `__main__.py` or a module with a function `main`.
3. Nothing imports a main (the commands of `rill` are a table of `LAZY`), and nothing but its mains imports `hwckpt.conformance`.
4. Modules do not import each other in a circle, nor do the rooms (folders) of a package.
5. Imports are absolute.
6. `stream`, `hwckpt` and `server` never load torch, whichever of their modules is imported.
7. No folder holds more than `ROOM` files: a reader who has to scroll a listing needs a room.
"""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from tests.house.imports import (
    ARROWS,
    LAZY,
    MODULES,
    PACKAGES,
    circle,
    imports,
    named_modules,
    part_of,
    rooms,
)
from tests.places import REPOSITORY

WITHOUT_TORCH = ("stream", "hwckpt", "server")
ROOM = 16


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_has_modules_to_check(package: str) -> None:
    assert package in MODULES, f"{package}/__init__.py is missing"


@pytest.mark.parametrize("part", ARROWS)
def test_a_part_imports_only_along_the_arrows(part: str) -> None:
    allowed = ARROWS[part] | {part}
    wrong = [
        f"{found.where} imports {found.target}; {part} may import {sorted(ARROWS[part])}"
        for module in MODULES.values()
        if module.part == part and not module.is_main
        for found in (*imports(module), *named_modules(module))
        if found.target.partition(".")[0] in PACKAGES and part_of(found.target) not in allowed
    ]
    assert wrong == []


@pytest.mark.parametrize("table", LAZY)
def test_a_lazy_table_names_modules(table: str) -> None:
    found = {found.target for found in imports(MODULES[table])}
    strings = {n.value for n in ast.walk(MODULES[table].tree) if isinstance(n, ast.Constant)}
    assert len(strings & MODULES.keys() - found) >= 3


def test_no_modules_import_each_other_in_a_circle() -> None:
    edges = {
        module.name: {found.target for found in imports(module) if found.target in MODULES}
        for module in MODULES.values()
    }
    assert circle(edges) == []


def test_no_rooms_import_each_other_in_a_circle() -> None:
    assert circle(rooms()) == []


@pytest.mark.parametrize("package", [*PACKAGES, "tests"])
def test_no_folder_is_too_full_to_be_read(package: str) -> None:
    root = REPOSITORY / package
    for folder in (root, *root.rglob("*/")):
        if folder.name in ("__pycache__", "vectors", "recordings"):
            continue
        files = {path.name for path in folder.iterdir() if path.is_file()} - {"py.typed"}
        assert len(files) <= ROOM, f"{folder.relative_to(REPOSITORY)} holds {len(files)} files"


def test_nothing_imports_a_main() -> None:
    wrong = [
        f"{found.where} imports {found.target}, which is a main: move what it needs to a library"
        for module in MODULES.values()
        for found in imports(module)
        if found.target in MODULES and MODULES[found.target].is_main
    ]
    assert wrong == []


def test_only_mains_import_conformance() -> None:
    wrong = [
        f"{found.where} imports {found.target}"
        for module in MODULES.values()
        if module.part != "hwckpt.conformance" and not module.is_main
        for found in (*imports(module), *named_modules(module))
        if found.target in MODULES and part_of(found.target) == "hwckpt.conformance"
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
    names = [name for name, module in MODULES.items() if module.part in WITHOUT_TORCH]
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
