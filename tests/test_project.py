"""The project's own files agree: versions, packages, locks, the README's commands."""

from __future__ import annotations

import re
import runpy
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

import stream
from stream.bundled import NAMES
from tests.generate_docs import command_modules
from tests.places import REPOSITORY

PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
PACKAGES = ["stream", "export", "train", "hwckpt", "server"]
LOCKS = {
    "core": PROJECT["dependencies"],
    "dev": [
        *PROJECT["dependencies"],
        *PROJECT["optional-dependencies"]["train"],
        *PROJECT["optional-dependencies"]["mic"],
        *PROJECT["optional-dependencies"]["dev"],
    ],
}


def normalised_name(requirement: str) -> str:
    """The distribution that a requirement names, spelled as PyPI compares names."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name, requirement
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def read_lock(name: str) -> dict[str, str]:
    """The versions in a lock file, by normalised name."""
    lines = (REPOSITORY / "requirements" / f"{name}.txt").read_text().splitlines()
    locked = {}
    for line in lines:
        if not line.startswith("#"):
            requirement, separator, version = line.partition(";")[0].strip().partition("==")
            assert separator, f"requirements/{name}.txt: {line} is not an exact version"
            locked[normalised_name(requirement)] = version
    return locked


def test_changelog_begins_with_the_version_of_the_project() -> None:
    changelog = (REPOSITORY / "CHANGELOG.md").read_text()
    entry = re.search(r"^## \[(.+?)\]", changelog, re.MULTILINE)
    assert entry and entry[1] == stream.__version__


def test_packages_are_listed_one_by_one_and_there_is_no_sixth() -> None:
    listed = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert sorted(listed) == sorted(PACKAGES)
    found = [path.parent.name for path in REPOSITORY.glob("*/__init__.py")]
    assert sorted(found) == sorted(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_that_it_is_typed(package: str) -> None:
    assert (REPOSITORY / package / "py.typed").is_file()


def test_core_dependencies_hold_no_torch() -> None:
    assert "torch" not in {normalised_name(requirement) for requirement in LOCKS["core"]}
    assert "torch" not in read_lock("core")


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_every_dependency_of_the_project(name: str) -> None:
    wanted = {normalised_name(requirement) for requirement in LOCKS[name]} - {PROJECT["name"]}
    missing = wanted - read_lock(name).keys()
    assert not missing, f"requirements/{name}.txt lacks {sorted(missing)}; run make lock"


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_is_free_of_cuda_and_of_one_machines_builds(name: str) -> None:
    locked = read_lock(name)
    assert [n for n in locked if n.startswith(("nvidia", "cuda", "triton"))] == []
    assert [f"{n}=={version}" for n, version in locked.items() if "+" in version] == []


def test_what_is_tested_has_the_versions_of_what_is_installed() -> None:
    core, dev = read_lock("core"), read_lock("dev")
    assert core == {name: dev.get(name) for name in core}


def test_torch_is_locked_to_the_version_that_the_project_demands() -> None:
    assert f"torch=={read_lock('dev')['torch']}" in PROJECT["optional-dependencies"]["train"]


def test_commands_of_the_readme_exist() -> None:
    readme = (REPOSITORY / "README.md").read_text()
    makefile = (REPOSITORY / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    used = set(re.findall(r"^make ([a-z]+)|`make ([a-z]+)`", readme, re.MULTILINE))
    assert {a or b for a, b in used} >= {"demo", "test"}
    assert {a or b for a, b in used} <= targets
    modules = {name.removesuffix(".__main__") for name in command_modules()}
    assert set(re.findall(r"python -m ([a-z_.]+[a-z])", readme)) <= modules


def test_the_source_distribution_has_all_folders_and_files_of_the_repository() -> None:
    listing = ["git", "ls-tree", "--name-only", "HEAD"]
    found = subprocess.run(listing, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip("not a clone")
    included = PYPROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    by_itself = {"LICENSE", "hatch_build.py", "pyproject.toml"}
    names = {name for name in found.stdout.split() if not name.startswith(".")}
    assert {path.split("/")[1] for path in included} | by_itself == names


def test_the_readme_clones_the_address_of_the_project() -> None:
    readme = (REPOSITORY / "README.md").read_text()
    urls = PROJECT["urls"]
    assert re.findall(r"git clone (\S+)", readme) == [urls["Repository"]]
    assert all(url.startswith(urls["Repository"]) for url in urls.values())


def build_hooks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what hatch_build.py defines; hatchling, which is there while Rill is built, has stand-ins."""
    for module, name in (
        ("hatchling/metadata/plugin/interface.py", "MetadataHookInterface"),
        ("hatchling/builders/hooks/plugin/interface.py", "BuildHookInterface"),
    ):
        (folder / module).parent.mkdir(parents=True)
        (folder / module).write_text(f"class {name}: pass")
    monkeypatch.syspath_prepend(folder)
    return runpy.run_path(str(REPOSITORY / "hatch_build.py"))


def test_a_wheel_has_the_bundled_models_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = build_hooks(tmp_path / "hatchling", monkeypatch)
    assert hooks["MODELS"] == NAMES
    hook = hooks["BundledModels"]()
    hook.root = str(tmp_path)
    for name in ("mine", *NAMES):
        (tmp_path / "models" / name).mkdir(parents=True)
        data: dict[str, Any] = {"force_include": {}}
        hook.initialize("standard", data)
        there = [each for each in NAMES if (tmp_path / "models" / each).is_dir()]
        assert data["force_include"] == {
            str(tmp_path / "models" / each): f"stream/bundled/{each}" for each in there
        }
    data = {"force_include": {}}
    hook.initialize("editable", data)
    assert data["force_include"] == {}


def test_links_of_the_readme_are_absolute_on_an_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = build_hooks(tmp_path, monkeypatch)
    page = '<img src="a.svg"> [b](docs/b.md#c) [here](#d) ![e](e.png) [f](https://f)'
    assert hook["absolute"](page, "https://x/y") == (
        '<img src="https://x/y/raw/main/a.svg"> [b](https://x/y/blob/main/docs/b.md#c) '
        "[here](#d) ![e](https://x/y/raw/main/e.png) [f](https://f)"
    )
