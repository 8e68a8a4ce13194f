"""Emission latency of the bundled recordings: forced alignment against the words' times."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.bundled import model_path, recordings
from stream.ctm import read_ctm
from stream.model.network import open_model
from stream.validation import validate
from stream.validation.latency import aligned_latencies, latency_of, words_of
from tests.places import REPOSITORY

CTM = REPOSITORY / "tests/benchmarks/bundled_words.ctm"


def test_forced_alignment_finds_the_latency_that_given_times_have() -> None:
    network = open_model(model_path())
    chosen = recordings()[:3]
    ends = read_ctm(CTM)
    aligned, timed = (
        validate(network, chosen, reset_stats=True, latency=True, word_ends=given).latency
        for given in (None, ends)
    )
    assert aligned is not None and timed is not None
    assert (aligned.ends, timed.ends) == ("alignment", "ctm")
    assert aligned.words == timed.words == sum(len(u.text.split()) for u in chosen)
    assert aligned.p50_ms == pytest.approx(timed.p50_ms, abs=60)


def test_words_that_cannot_be_aligned_have_no_latency() -> None:
    network = open_model(model_path())
    samples = recordings()[0].read()[:1600]
    for text in ("", "漢"):
        assert aligned_latencies(network, None, samples, text, []) == []  # type: ignore[arg-type]
    assert latency_of([], "ctm") is None


def test_percentiles_are_of_milliseconds() -> None:
    found = latency_of([n / 1000 for n in range(100)], "ctm")
    assert found is not None
    assert (found.words, found.p50_ms, found.p90_ms, found.p99_ms) == (100, 49.5, 90.0, 99.0)


def test_a_ctm_names_a_recording_by_id_name_or_stem() -> None:
    words = (("one", 0.5),)
    for key in ("a/1.wav", "1.wav", "1"):
        assert words_of({key: words}, "a/1.wav") == words
    assert words_of({"2": words}, "a/1.wav") is None
    assert Path(CTM).is_file()
