"""Simulators that are installed, and bundles of small models."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from hwckpt.hardware_bundle import Bundle
from tests.export.hardware.models import small_bundle
from tests.rtl.simulators import SIMULATORS, Simulator


@pytest.fixture(scope="session")
def bundle_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Bundle]:
    """Return a function from the name of a small model to its bundle, which nobody may change."""
    folder = tmp_path_factory.mktemp("bundles")
    return lambda name: small_bundle(name, folder)


@pytest.fixture(scope="session")
def long() -> None:
    """Skip tests that take minutes, but in `make rtl`."""
    if not os.environ.get("RILL_RTL"):
        pytest.skip("takes minutes: make rtl")


@pytest.fixture(params=SIMULATORS)
def simulator(request: pytest.FixtureRequest) -> Simulator:
    """Return each simulator; where it is not installed, the test skips.

    Verilator compiles C++ for each size, for seconds: only in `make rtl`.
    """
    if request.param == "verilator":
        request.getfixturevalue("long")
    found = SIMULATORS[request.param]
    found.require()
    return found
