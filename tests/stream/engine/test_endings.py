"""Endings: what a stream says after its last sample, and that nobody else waits for it."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from stream.backends import load_backend
from stream.bundled import model_path, recordings
from stream.decoding.beam import BeamConfig
from stream.decoding.channels import Speech
from stream.decoding.decoding import Decoding, Search
from stream.decoding.endpoint import EndpointConfig
from stream.decoding.greedy import Token
from stream.encoders.lstm import LSTM
from stream.engine.endings import Endings
from stream.engine.engine import Engine, Result
from stream.model.network import Network, open_model
from stream.recogniser import Recogniser
from tests.server.scripted import pcm, samples_of, talking_network
from tests.stream.engine.driving import streamed

CHUNK = LSTM.chunk_samples
PADDING = 6400  # 0.4 s

Samples = NDArray[np.float32]
NOISE = [samples_of(pcm(seconds, seed)) for seed, seconds in enumerate((1.3, 0.9, 2.0))]


def network(final_padding: int = PADDING, **specification: object) -> Network:
    talking = talking_network()
    changed = msgspec.structs.replace(
        talking.specification, final_padding=final_padding, **specification
    )
    return replace(talking, specification=changed)


def engine(
    of: Network | None = None, slots: int = 1, decoding: Decoding | Search | None = None
) -> Engine:
    of = of or network()
    return Engine(of, load_backend("numpy", of), slots, decoding)


def heard(of: Engine, samples: Samples, cut: int = CHUNK) -> list[Result]:
    slot = of.open()
    assert slot is not None
    return streamed(of, {slot: samples}, cut)[0]


def tokens(results: list[Result]) -> list[tuple[int, int]]:
    return [(token.id, token.step) for result in results for token in result.tokens]


@pytest.mark.parametrize("cut", [CHUNK, 333, 10**6])
@pytest.mark.parametrize("initial_padding", [False, True])
def test_an_ending_says_what_zeros_after_the_recording_say(initial_padding: bool, cut: int) -> None:
    longer = np.concatenate([NOISE[0], np.zeros(PADDING, np.float32)])
    want = tokens(heard(engine(network(0, initial_padding=initial_padding)), longer))
    got = heard(engine(network(initial_padding=initial_padding)), NOISE[0], cut)
    assert tokens(got) == want
    assert any(step >= len(NOISE[0]) // CHUNK for _, step in want)


def test_words_at_the_very_end_of_a_recording_are_not_lost() -> None:
    bundled = open_model(model_path())
    recognisers = {}
    for padding in (0, PADDING):
        changed = msgspec.structs.replace(bundled.specification, final_padding=padding)
        recognisers[padding] = Recogniser(replace(bundled, specification=changed))
    lost = {0: 0, PADDING: 0}
    for utterance in recordings():
        samples = utterance.read()
        loud = np.flatnonzero(np.abs(samples) > 0.2 * np.abs(samples).max())
        trimmed = samples[: loud[-1]]
        for padding, recogniser in recognisers.items():
            text = recogniser.transcribe(trimmed).text
            lost[padding] += text.split()[-1:] != utterance.text.split()[-1:]
    assert lost[PADDING] < lost[0]


@pytest.mark.parametrize("samples", [CHUNK * 5, CHUNK * 5 + 1, CHUNK * 6 - 1])
def test_zeros_at_the_end_have_no_results_and_no_time_of_their_own(samples: int) -> None:
    results = heard(engine(), NOISE[0][:samples])
    assert [r.last for r in results] == [False] * (samples // CHUNK) + [True]
    assert results[-1].end == samples // CHUNK * 0.06
    spans = [span for result in results for span in result.spans]
    assert len(spans) == len(tokens(results)) > 0
    assert all(0.0 <= span.start <= span.end <= samples / 16_000 for span in spans)


def test_a_stream_that_ends_delays_others_by_no_more_than_a_step() -> None:
    of = engine(slots=2)
    first, second = of.open(), of.open()
    assert first is not None and second is not None
    of.push(first, NOISE[0][: 3 * CHUNK])
    while of.pending():
        of.tick()
    of.finish(first)
    others: list[int] = []
    ended = False
    while of.pending():
        of.push(second, NOISE[1][:CHUNK])
        results = of.tick()
        others.append(sum(result.slot == second for result in results))
        ended = ended or any(result.last for result in results)
        if ended:
            break
    assert len(others) > 4
    assert set(others) == {1}


def test_streams_that_end_side_by_side_say_what_each_says_alone() -> None:
    want = [tokens(heard(engine(), samples)) for samples in NOISE]
    of = engine(slots=3)
    audio = {slot: samples for samples in NOISE if (slot := of.open()) is not None}
    assert [tokens(results) for results in streamed(of, audio)] == want


def test_a_stream_without_samples_has_no_ending() -> None:
    of = engine()
    slot = of.open() or 0
    of.finish(slot)
    (result,) = of.tick()
    assert result.last and not result.tokens and not of.pending()


@pytest.mark.parametrize("samples", [1, 239, 240, 241, 500])
def test_a_stream_shorter_than_a_window_is_lengthened_too(samples: int) -> None:
    longer = np.concatenate([NOISE[2][8000 : 8000 + samples], np.zeros(PADDING, np.float32)])
    want = tokens(heard(engine(network(0)), longer))
    assert tokens(heard(engine(), longer[:samples])) == want


def test_statistics_that_are_kept_are_those_before_the_zeros() -> None:
    after = []
    for padding in (0, PADDING):
        of = engine(network(padding, alpha=0.05, initial_padding=True))
        slot = of.open() or 0
        streamed(of, {slot: NOISE[2][: 20 * CHUNK]})
        of.restart(slot, keep_statistics=True)
        after.append([leaf[slot].copy() for leaf in of._features._statistics])
    for got, want in zip(*reversed(after), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("act", ["restart", "close"])
def test_a_slot_whose_ending_is_cut_short_remembers_nothing(act: str) -> None:
    of = engine()
    slot = of.open() or 0
    of.push(slot, NOISE[1])
    while of.pending():
        of.tick()
    of.finish(slot)
    of.tick()  # of several
    if act == "close":
        of.close(slot)
        assert of.open() == slot
    else:
        of.restart(slot, keep_statistics=False)
    assert tokens(streamed(of, {slot: NOISE[0]})[0]) == tokens(heard(engine(), NOISE[0]))


def test_a_segment_that_ends_within_the_zeros_loses_nothing() -> None:
    plain = "".join(result.text for result in heard(engine(), NOISE[0]))
    ends = Decoding(endpoint=EndpointConfig(silence=0.12))
    results = heard(engine(decoding=ends), NOISE[0])
    assert "".join(result.text for result in results) == plain
    assert not results[-1].endpoint


def test_a_beam_commits_all_that_it_heard_by_the_end() -> None:
    longer = np.concatenate([NOISE[0], np.zeros(PADDING, np.float32)])
    beam = BeamConfig(width=3)
    want = tokens(heard(engine(network(0), decoding=beam), longer))
    results = heard(engine(decoding=beam), NOISE[0])
    assert tokens(results) == want
    assert not results[-1].provisional


def test_a_character_that_was_cut_short_keeps_its_place() -> None:
    endings = Endings(1, PADDING)
    first, second = Token(1, 3, 0.0), Token(2, 5, 0.0)
    endings.add(np.array([0]), [Speech([first], [" a"], "\ufffd", endpoint=True)])
    endings.add(np.array([0]), [Speech([second], [" b"], "", endpoint=True)])
    closed = endings.close(0, Speech((), (), "!"))
    assert closed == Speech([first, second], [" a", "\ufffd b"], "!")
