"""The second bundled model: a Conformer, which is there beside the first or not."""

from __future__ import annotations

import pytest

from export.bundle.contents import check, total
from stream.bundled import NAMES, model_path, present, recordings
from stream.encoders.conformer import Conformer
from stream.recogniser import Recogniser

FIRST, SECOND = NAMES
MOST_MB = 40  # of both

pytestmark = pytest.mark.skipif(SECOND not in present(), reason=f"models/{SECOND}: it is not there")


def test_it_is_whole_and_both_are_small() -> None:
    assert total(check(model_path(FIRST))) + total(check(model_path(SECOND))) <= 1e6 * MOST_MB


def test_it_says_what_it_is_and_can_spell_its_example() -> None:
    network = Recogniser(SECOND).network
    assert isinstance(network.specification.encoder, Conformer)
    notes = network.notes
    assert notes["knows"] and notes["license"] and notes["language"] == "en"
    assert network.vocabulary.unknown(notes["example"]) == []


@pytest.mark.parametrize("chunk_ms", [60, 240, 960])
def test_it_hears_a_bundled_recording_in_float_as_in_int8(chunk_ms: int) -> None:
    recording = next(each for each in recordings() if each.text == "stop")
    said = {
        backend: Recogniser(SECOND, backend, chunk_ms=chunk_ms).transcribe(recording.audio).text
        for backend in ("onnx", "int8")
    }
    assert said["onnx"] == said["int8"] != ""
