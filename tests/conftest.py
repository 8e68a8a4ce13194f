"""Fixtures that every test may use: where the golden vectors and the speech pack lie; a manifest.

Both folders are outside the repository, so a test that wants one asks for the fixture `golden` or
`speech` and is skipped, with a reason that names the variable to set, where there is none. In CI
(environment `CI=true`) a missing folder is a failure: there nothing may go unchecked in silence.

Nothing is computed while tests are collected: what a machine cannot run fails the tests that run it,
not the collection of all of them.

Hypothesis has no deadline here, since a shared machine is slow without anybody's fault, and tries the
same examples each time in CI, so that a failure there is the change's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import NoReturn

import onnxruntime
import pytest
from hypothesis import settings

from stream.bundled import recordings
from stream.model.network import Network
from stream.vocabulary import Vocabulary
from tests.places import REPOSITORY

IN_CI = os.environ.get("CI") == "true"

settings.register_profile("rill", deadline=None, derandomize=IN_CI, print_blob=True)
settings.load_profile("rill")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Refuse sessions, networks and vocabularies that a test file makes when it is imported."""

    def refuse(made: object, *_: object, **__: object) -> NoReturn:
        kind = type(made).__name__
        raise AssertionError(f"{kind} while tests are collected; make it in the test or a fixture")

    with pytest.MonkeyPatch.context() as patch:
        for kind in (onnxruntime.InferenceSession, Network, Vocabulary):
            patch.setattr(kind, "__init__", refuse)
        return (yield)


def outside_folder(variable: str, default: str, what: str) -> Path:
    """Return the folder that an environment variable names, or skip the test that asks for it.

    Args:
        variable: the environment variable; a relative path in it counts from the repository root.
        default: the folder to use where the variable is unset or empty.
        what: what lies in the folder, for the message.
    """
    named = os.environ.get(variable)
    folder = (REPOSITORY / (named or default)).resolve()
    if folder.is_dir():
        return folder
    reason = f"{variable}: no folder {folder}; set {variable} to the folder that holds {what}"
    if IN_CI:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of golden vectors ($RILL_GOLDEN, default ../shared/golden)."""
    return outside_folder("RILL_GOLDEN", "../shared/golden", "the golden vectors")


@pytest.fixture(scope="session")
def speech() -> Path:
    """The folder of the speech pack ($RILL_DATA, default ../shared/data)."""
    return outside_folder("RILL_DATA", "../shared/data", "the speech pack")


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """The manifest of two bundled recordings."""
    path = tmp_path / "two.jsonl"
    lines = [
        {"audio_filepath": str(u.audio), "text": u.text, "duration": u.duration}
        for u in recordings()[:2]
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path
