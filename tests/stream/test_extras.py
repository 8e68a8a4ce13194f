"""Extras: which one brings a package, and the command that installs it from a clone and from a wheel."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from stream import extras
from stream.extras import EXTRAS, MissingExtraError, explain_missing_extras, install_command
from tests.places import REPOSITORY

OPTIONAL = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"][
    "optional-dependencies"
]


def imported_name(requirement: str) -> str:
    """The module that a requirement of pyproject.toml installs."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match
    return match[0].replace("-", "_")


def test_every_optional_package_names_an_extra_that_brings_it() -> None:
    brought = {
        imported_name(requirement): name
        for name, requirements in OPTIONAL.items()
        if name != "dev"
        for requirement in requirements
    }
    assert brought == EXTRAS


def test_a_missing_package_of_an_extra_is_explained() -> None:
    said = re.escape(f"torch is not installed: {install_command('train')}")
    with pytest.raises(MissingExtraError, match=said) as raised, explain_missing_extras():
        raise ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn")
    assert raised.value.name == "torch"


@pytest.mark.parametrize("name", ["stream.nowhere", "numpy", None])
def test_another_missing_module_is_raised_as_it_is(name: str | None) -> None:
    error = ModuleNotFoundError("No module", name=name)
    with pytest.raises(ModuleNotFoundError) as raised, explain_missing_extras():
        raise error
    assert raised.value is error


def test_an_explanation_is_not_explained_again() -> None:
    error = MissingExtraError("torch is not installed: ...", name="torch")
    with pytest.raises(MissingExtraError) as raised, explain_missing_extras():
        raise error
    assert raised.value is error


def test_a_clone_is_installed_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone = tmp_path / "a clone"
    clone.mkdir()
    (clone / "pyproject.toml").touch()
    monkeypatch.setattr(extras, "HOME", clone)
    command = shlex.split(install_command("mic"))
    assert command == [sys.executable, "-m", "pip", "install", "-e", f"{clone}[mic]"]


@pytest.mark.parametrize(
    ("url", "installed"),
    [
        ("file://{}/a%20clone", "{}/a clone[mic]"),
        ("file://{}/rill_asr-0.1.0-py3-none-any.whl", "rill-asr[mic]"),
        (None, "rill-asr[mic]"),
    ],
)
def test_what_was_installed_is_given_the_extra_by_the_clone_it_came_from_or_by_name(
    url: str | None, installed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a clone").mkdir()
    (tmp_path / "a clone" / "pyproject.toml").touch()
    record = tmp_path / "rill_asr-0.1.0.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Name: rill-asr\nVersion: 0.1.0\n")
    if url:
        (record / "direct_url.json").write_text(json.dumps({"url": url.format(tmp_path)}))
    monkeypatch.setattr(extras, "HOME", tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    command = shlex.split(install_command("mic"))
    assert command[1:] == ["-m", "pip", "install", installed.format(tmp_path)]


def test_importing_this_module_imports_no_optional_package() -> None:
    program = (
        "import sys, stream.extras as e; print(sorted(set(e.EXTRAS) & set(sys.modules)), end='')"
    )
    said = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True)
    assert said.stdout == b"[]"
