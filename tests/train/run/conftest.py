from __future__ import annotations

from pathlib import Path

import pytest

from tests.train.run.corpus import write_minimal


@pytest.fixture(scope="session")
def minimal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration of five lines beside a corpus of noise with words."""
    return write_minimal(tmp_path_factory.mktemp("corpus"))
