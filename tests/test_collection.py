"""What a test file may do when it is imported: nothing that a machine might not be able to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.places import REPOSITORY

MADE = {
    "InferenceSession": "open_session(product_graph())",
    "Network": "tiny_network()",
    "Vocabulary": "Vocabulary(tiny_tokenizer())",
}
FILE = """
from stream.backends.integer_products import product_graph
from stream.backends.session import open_session
from stream.vocabulary import Vocabulary
from tests.tiny import tiny_network, tiny_tokenizer

def test_it():
    assert {made}
"""


def test_sessions_and_models_are_refused_at_import_by_name_and_taken_in_a_test(
    tmp_path: Path,
) -> None:
    for kind, made in MADE.items():
        (tmp_path / f"test_{kind}.py").write_text(FILE.format(made=made))
        (tmp_path / f"test_{kind}_at_import.py").write_text(FILE.format(made=made) + made)
    command = [sys.executable, "-m", "pytest", "-q", "-c", "pyproject.toml", "-p", "tests.conftest"]
    found = subprocess.run(
        [*command, "--continue-on-collection-errors", str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "3 passed, 3 errors" in found.stdout
    for kind in MADE:
        assert f"E   AssertionError: {kind} while tests are collected; make it" in found.stdout
