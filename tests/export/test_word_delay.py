"""How late a model's tokens are, found without being told when words sound."""

from __future__ import annotations

import difflib
import statistics
from dataclasses import replace

import msgspec
import pytest

from export.word_delay import measured
from stream.bundled import model_path, recordings
from stream.model.network import Network, open_model
from stream.recogniser import Recogniser
from stream.words import WordDelay, group
from tests.benchmarks.word_times import BUNDLED, read_references


@pytest.fixture(scope="module")
def network() -> Network:
    return open_model(model_path())


def by_reference(network: Network) -> tuple[float, float]:
    """Return the median delay of the words that were heard right, by reference times."""
    references, starts, ends = read_references(BUNDLED), [], []
    recogniser = Recogniser(network)
    for utterance in recordings():
        tokens = recogniser.transcribe(utterance.read()).tokens
        texts = [network.vocabulary.text(token.id) for token in tokens]
        words = group(texts, [token.step for token in tokens])
        said = references[utterance.audio.stem]
        matcher = difflib.SequenceMatcher(
            None, [word.text for word in said], [word.text for word in words]
        )
        for i, j, size in matcher.get_matching_blocks():
            for reference, word in zip(said[i : i + size], words[j : j + size], strict=True):
                if reference.start is not None and reference.end is not None:
                    starts.append(word.start - reference.start)
                    ends.append(word.end - reference.end)
    return statistics.median(starts), statistics.median(ends)


def test_the_delay_is_found_whatever_the_model_says_of_it(network: Network) -> None:
    progress = []
    specification = msgspec.structs.replace(network.specification, word_delay=WordDelay(1.5, 1.5))
    stale = replace(network, specification=specification)
    found = measured(stale, recordings(), lambda *done: progress.append(done), fewest=20)
    delay = found.specification.word_delay
    assert delay is not None
    # By the aligner's times of these recordings, `tests/benchmarks/bundled_words.ctm`.
    start, end = by_reference(network)
    assert delay.start == pytest.approx(start, abs=0.08)
    assert delay.end == pytest.approx(end, abs=0.08)
    assert progress == [(n, 10) for n in range(1, 11)]
    assert found.arrays is network.arrays


def test_recordings_of_few_words_change_nothing(network: Network) -> None:
    assert measured(network, recordings()) is network


def test_recordings_in_which_nothing_is_heard_change_nothing(network: Network) -> None:
    deaf = {**network.arrays, "joint.output.bias": network.arrays["joint.output.bias"].copy()}
    deaf["joint.output.bias"][-1] += 1000.0  # always blank
    silent = replace(network, arrays=deaf)
    assert measured(silent, recordings()[:3], fewest=5) is silent
