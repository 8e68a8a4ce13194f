"""How late a model's tokens are, found without being told when words sound."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from export.word_delay import measured
from stream.bundled import model_path, recordings
from stream.model.network import Network, open_model
from stream.words import WordDelay


@pytest.fixture(scope="module")
def network() -> Network:
    network = open_model(model_path())
    delay = WordDelay(1.5, 1.5)  # of another model
    specification = msgspec.structs.replace(network.specification, word_delay=delay)
    return replace(network, specification=specification)


def test_the_delay_of_the_bundled_model_is_found(network: Network) -> None:
    progress = []
    found = measured(network, recordings(), lambda *done: progress.append(done), fewest=20)
    delay = found.specification.word_delay
    assert delay is not None
    # By the aligner's times of these recordings, `tests/benchmarks/bundled_words.ctm`: 0.235 and -0.065.
    assert delay.start == pytest.approx(0.235, abs=0.04)
    assert delay.end == pytest.approx(-0.065, abs=0.04)
    assert progress == [(n, 20) for n in range(1, 21)]
    assert found.arrays is network.arrays


def test_recordings_that_say_too_little_change_nothing(network: Network) -> None:
    assert measured(network, recordings()) is network  # too short to be heard at all


def test_recordings_in_which_nothing_is_heard_change_nothing(network: Network) -> None:
    deaf = {**network.arrays, "joint.output.bias": network.arrays["joint.output.bias"].copy()}
    deaf["joint.output.bias"][-1] += 1000.0  # always blank
    silent = replace(network, arrays=deaf)
    assert measured(silent, recordings()[:3], fewest=5) is silent
