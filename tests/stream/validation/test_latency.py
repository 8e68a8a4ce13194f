"""Emission latency of the bundled recordings: forced alignment against the words' times."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from stream.backends import load_backend
from stream.bundled import model_path, recordings
from stream.ctm import read_ctm
from stream.manifest import Utterance
from stream.model.network import open_model
from stream.validation import validate
from stream.validation.latency import Latencies, latency_of, words_of
from tests.convolution import Convolution
from tests.places import REPOSITORY
from tests.tiny import tiny_network

CTM = REPOSITORY / "tests/benchmarks/bundled_words.ctm"


def test_forced_alignment_finds_the_latency_that_given_times_have() -> None:
    network = open_model(model_path())
    chosen = recordings()[:3]
    ends = read_ctm(CTM)
    aligned = validate(network, chosen, reset_stats=True, align=True).latency
    timed = validate(network, chosen, reset_stats=True, word_ends=ends).latency
    assert aligned is not None and timed is not None
    words = sum(len(utterance.text.split()) for utterance in chosen)
    assert (aligned.words, aligned.given) == (words, 0)
    assert (timed.words, timed.given) == (words, words)
    assert aligned.p50_ms == pytest.approx(timed.p50_ms, abs=60)


def test_recordings_without_given_times_are_aligned_where_that_is_asked_for() -> None:
    network = open_model(model_path())
    first, second = recordings()[:2]
    ends = {first.id: read_ctm(CTM)[Path(first.id).stem]}
    alone, both = (
        validate(network, [first, second], reset_stats=True, word_ends=ends, align=align).latency
        for align in (False, True)
    )
    assert alone is not None and both is not None
    said = [len(utterance.text.split()) for utterance in (first, second)]
    assert (alone.words, alone.given) == (said[0], said[0])
    assert (both.words, both.given) == (sum(said), said[0])


@pytest.mark.parametrize("text", ["", "漢"])
def test_a_text_that_cannot_be_aligned_has_no_latency(text: str) -> None:
    network = open_model(model_path())
    spoken = msgspec.structs.replace(recordings()[0], text=text)
    latencies = Latencies(network, load_backend("numpy", network), None, {}, align=True)
    latencies.add(spoken, [], 1.0)
    latencies.add(recordings()[0], [], 100.0)  # too long
    assert latencies.of_all() is None


def test_percentiles_are_of_milliseconds() -> None:
    found = latency_of([n / 1000 for n in range(50)], [n / 1000 for n in range(50, 100)])
    assert found is not None
    assert (found.words, found.given) == (100, 50)
    assert (found.p50_ms, found.p90_ms, found.p99_ms) == (49.5, 90.0, 99.0)


def test_a_ctm_names_a_recording_by_id_name_or_stem() -> None:
    words = (("one", 0.5),)
    for key in ("a/1.wav", "1.wav", "1"):
        assert words_of({key: words}, "a/1.wav") == words
    assert words_of({"2": words}, "a/1.wav") is None


def test_a_token_comes_with_the_end_of_its_chunk() -> None:
    family = Convolution(chunk_ms=40, chunks_ms=(40, 240, 1000))
    network = tiny_network(other_encoder=family)
    cat = network.vocabulary.encode("cat")
    medians = []
    for chunk_ms in family.chunks_ms:
        chosen = network.with_chunk(chunk_ms)
        ends = {"a": (("cat", 0.5),)}
        found = Latencies(chosen, load_backend("numpy", chosen), None, ends, align=False)
        spoken = Utterance(id="a", audio=Path("a.wav"), text="cat", duration=2.0)
        found.add(spoken, [(token, 14) for token in cat], 2.0)  # from 0.56 to 0.6 s
        latency = found.of_all()
        assert latency is not None
        medians.append(latency.p50_ms)
    assert medians == pytest.approx([100 - 20, 220 - 20, 500 - 20])
