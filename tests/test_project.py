"""The project's own files agree: versions, packages, locks, the README's commands, documentation."""

from __future__ import annotations

import argparse
import doctest
import re
import tomllib
from pathlib import Path

import pytest

import stream
from server.rill.commands import commands, parser_of
from tests.generate_docs import PAGES, command_modules
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
PAGE_PATHS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
LINKING = [*PAGE_PATHS, REPOSITORY / "CHANGELOG.md", *sorted(REPOSITORY.glob("models/*/README.md"))]
RILL_COMMANDS = [
    pytest.param(words, options, id=f"{path.name}: {words}{options[:40]}")
    for path in PAGE_PATHS
    if path.name != "cli.md"
    for words, options in re.findall(
        r"(?m)(?:^|`|\| )rill ((?:export )?[a-z]+)([^`\n|#]*)", path.read_text()
    )
]
PYTHON_BLOCKS = [
    pytest.param(block, id=f"{path.name}-{number}")
    for path in PAGE_PATHS
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL))
]


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


def anchors(page: str) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"(?m)^#+ (.+)$", re.sub(r"```.*?```", "", page, flags=re.DOTALL))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


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


@pytest.mark.parametrize(("words", "options"), RILL_COMMANDS)
def test_a_command_of_rill_on_a_page_exists_and_takes_its_options(words: str, options: str) -> None:
    parser = parser_of(commands()[words])
    subcommands = [a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    for word in options.split():
        parser = subcommands[0].get(word, parser) if subcommands else parser
    taken = {option for action in parser._actions for option in action.option_strings}
    assert set(re.findall(r"--[a-z0-9-]+", options)) <= taken


@pytest.mark.parametrize("path", LINKING, ids=lambda path: path.name)
def test_links_between_pages_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", path.read_text())
    assert [link for link, _ in links if not (path.parent / link).exists()] == []
    targets = [(path.parent / link if link else path, anchor) for link, anchor in links if anchor]
    assert [(page.name, a) for page, a in targets if a not in anchors(page.read_text())] == []


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_not_stale(name: str) -> None:
    pytest.importorskip("torch", reason="some commands' parsers need torch")
    is_current = (REPOSITORY / name).read_text() == PAGES[name]()
    assert is_current, f"{name} is stale: run make docs"


@pytest.mark.parametrize("path", PAGE_PATHS, ids=lambda path: path.name)
def test_sessions_in_the_documentation_are_what_python_prints(path: Path) -> None:
    failed, _ = doctest.testfile(str(path), module_relative=False)
    assert failed == 0


@pytest.mark.parametrize("block", PYTHON_BLOCKS)
def test_python_in_the_documentation_runs(block: str) -> None:
    if "model_path" in block and not (REPOSITORY / "models/en-commands/model.json").is_file():
        pytest.skip("models/en-commands: the bundled model is not there")
    exec(compile(block, "documentation", "exec"), {"__name__": "documentation"})
