"""Bundles of small models, written once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hwckpt.hardware_bundle import Bundle
from tests.export.hardware.models import small_bundle


@pytest.fixture(scope="session")
def bundle_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Bundle]:
    """Return a function from the name of a small model to its bundle, which nobody may change."""
    folder = tmp_path_factory.mktemp("bundles")
    return lambda name: small_bundle(name, folder)
