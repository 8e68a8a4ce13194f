"""Muted channels: what is cut, and that an engine that hears chunk by chunk does the same."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream.backends import load_backend
from stream.decoding.beam import BeamConfig
from stream.encoders.lstm import LSTM
from stream.engine.engine import Engine, Result
from stream.engine.mute import Part, Segment, unmuted
from stream.model.network import Network
from tests.server.scripted import talking_network

CHUNK = LSTM.chunk_samples

MUTE = 3
Samples = NDArray[np.float32]
Tokens = list[tuple[int, int]]


def network(mute_chunks: int = MUTE, **specification: object) -> Network:
    talking = talking_network()
    changed = msgspec.structs.replace(
        talking.specification, mute_chunks=mute_chunks, **specification
    )
    return replace(talking, specification=changed)


def noise(chunks: float, seed: int = 0) -> Samples:
    rng = np.random.default_rng(seed)
    return rng.normal(0.0, 0.1, int(chunks * CHUNK)).astype(np.float32)


def zeros(chunks: float) -> Samples:
    return np.zeros(int(chunks * CHUNK), np.float32)


def results(of: Network, samples: Samples, pieces: int = 1) -> list[Result]:
    engine = Engine(of, load_backend("numpy", of), 2)
    slot = engine.open()
    assert slot is not None
    found: list[Result] = []
    for piece in np.array_split(samples, pieces):
        engine.push(slot, piece)
        while engine.pending():
            found += engine.tick()
    engine.finish(slot)
    while engine.pending():
        found += engine.tick()
    return found


def tokens(of: Network, samples: Samples, pieces: int = 1) -> Tokens:
    return [(t.id, t.step) for r in results(of, samples, pieces) for t in r.tokens]


def shifted(of: Tokens, steps: int) -> Tokens:
    return [(token, step + steps) for token, step in of]


def test_chunks_of_zeros_are_cut_out_after_some() -> None:
    x = np.concatenate([noise(2), zeros(5), noise(1.5, 1)])
    found = unmuted(x, CHUNK, MUTE)
    np.testing.assert_array_equal(
        found.samples, np.concatenate([noise(2), zeros(3), noise(1.5, 1)])
    )
    assert found.segments == (Segment(0, 0), Segment(5, 2))


def test_a_recording_has_its_segments_in_frames_of_the_encoder() -> None:
    x = np.concatenate([noise(2), zeros(5), noise(1.5, 1)])
    parts = unmuted(x, CHUNK, MUTE, sound_chunks=2).parts(LSTM(), 15)
    assert parts == [Part(0, 10, 1, 1), Part(10, 15, 1, 8)]
    assert unmuted(x, CHUNK, MUTE, sound_chunks=3).parts(LSTM(), 15)[1] == Part(10, 15, 3, 10)
    assert unmuted(noise(0.0), CHUNK, MUTE).parts(LSTM(), 0) == [Part(0, 0, 0, 0)]


@pytest.mark.parametrize("mute_chunks", [0, 6])
def test_nothing_is_cut_from_shorter_silences_or_where_there_is_no_rule(mute_chunks: int) -> None:
    x = np.concatenate([noise(2), zeros(6), noise(1)])
    found = unmuted(x, CHUNK, mute_chunks)
    assert found.samples is x
    assert found.segments == (Segment(0, 0),)


def test_an_incomplete_last_chunk_is_cut_too_or_begins_a_segment() -> None:
    silent = unmuted(np.concatenate([noise(1), zeros(4.5)]), CHUNK, MUTE)
    assert len(silent.samples) == 4 * CHUNK
    assert silent.segments == (Segment(0, 0),)
    loud = unmuted(np.concatenate([noise(1), zeros(4), noise(0.5)]), CHUNK, MUTE)
    assert len(loud.samples) == 4.5 * CHUNK
    assert loud.segments == (Segment(0, 0), Segment(4, 1))


def test_chunks_are_counted_after_the_lead() -> None:
    x = np.concatenate([zeros(0.25), noise(1), zeros(5), noise(1)])
    found = unmuted(x, CHUNK, MUTE, lead=CHUNK // 4)
    assert found.segments == (Segment(0, 0), Segment(4, 2))
    assert len(found.samples) == 5.25 * CHUNK


def test_what_comes_after_a_mute_is_heard_as_a_new_stream_is() -> None:
    of = network(alpha=0.0, initial_padding=True)
    x, y = noise(6), noise(7, 1)
    alone, after = tokens(of, np.concatenate([x, zeros(MUTE)])), tokens(of, y)
    assert len(alone) > 2 and len(after) > 2
    got = tokens(of, np.concatenate([x, zeros(20), y]))
    assert got == alone + shifted(after, 26)
    assert got != tokens(network(0, alpha=0.0, initial_padding=True), np.concatenate([x, zeros(20), y]))  # fmt: skip


def test_a_muted_channel_still_gets_a_result_for_every_chunk() -> None:
    x = np.concatenate([noise(2), zeros(30), noise(2, 1)])
    found = results(network(), x)
    assert [r.end for r in found[:-1]] == [round(0.06 * (n + 1), 2) for n in range(34)]
    assert not any(r.tokens for r in found[2 + MUTE + 1 : 32])


def test_a_mute_however_long_leaves_statistics_and_text_alone() -> None:
    of = network(alpha=0.05)
    x, y = noise(6), noise(7, 1)
    short = tokens(of, np.concatenate([x, zeros(5), y]))
    long = tokens(of, np.concatenate([x, zeros(500), y]))
    assert [token for token, _ in short] == [token for token, _ in long]


@pytest.mark.parametrize("rest", [0.0, 0.5])
def test_a_stream_that_ends_muted_ends_as_if_the_zeros_had_not_come(rest: float) -> None:
    of = network(initial_padding=True, final_padding=3840)
    x = np.concatenate([noise(6), zeros(MUTE)])
    assert tokens(of, np.concatenate([x, zeros(8 + rest)])) == tokens(of, x)


@settings(deadline=None, max_examples=25)
@given(
    runs=st.lists(st.tuples(st.booleans(), st.integers(1, 5 * CHUNK)), max_size=6),
    pieces=st.integers(1, 9),
)
def test_the_engine_does_what_cutting_does(runs: list[tuple[bool, int]], pieces: int) -> None:
    of = network(alpha=0.0, initial_padding=True)
    x = np.concatenate(
        [
            noise(0.0),
            *(
                noise(count / CHUNK, seed) if loud else zeros(count / CHUNK)
                for seed, (loud, count) in enumerate(runs)
            ),
        ]
    )
    found = unmuted(x, CHUNK, MUTE)
    ends = [*(s.first for s in found.segments[1:]), len(found.samples)]
    want: Tokens = []
    always = network(0, alpha=0.0, initial_padding=True)
    for segment, end in zip(found.segments, ends, strict=True):
        part = found.samples[segment.first * CHUNK : end * CHUNK]
        want += shifted(tokens(always, part), segment.first + segment.skipped)
    assert tokens(of, x, pieces) == want


def beeps(chunks: float) -> Samples:
    """Sound of so many chunks, three times, each behind a mute; not on the grid of chunks."""
    some = [zeros(0.4), *(part for seed in range(3) for part in (noise(chunks, seed), zeros(9)))]
    return np.concatenate(some)


def test_short_sounds_out_of_nothing_say_nothing() -> None:
    assert tokens(network(), beeps(2.0))
    assert tokens(network(sound_chunks=4), beeps(2.0)) == []
    assert tokens(network(sound_chunks=4), beeps(8.0)) != []


def test_a_segment_is_decoded_from_its_sounding_chunk_of_that_number_on() -> None:
    samples = np.concatenate([noise(2), zeros(2), noise(6)])
    segments = unmuted(samples, CHUNK, MUTE, sound_chunks=4).segments
    assert segments == (Segment(0, 0, 5),)
    assert min(step for _, step in tokens(network(sound_chunks=4), samples)) >= 5
    assert unmuted(noise(3), CHUNK, MUTE, sound_chunks=4).segments == (Segment(0, 0, None),)
    assert unmuted(noise(3), CHUNK, 0, sound_chunks=2).segments == (Segment(0, 0, 1),)


def test_chunks_that_say_nothing_are_no_tokens_of_the_past_either() -> None:
    of = network(sound_chunks=6)
    samples = np.concatenate([noise(12, 3), zeros(8), noise(12, 4)])
    want = tokens(of, samples)
    assert tokens(of, samples, pieces=31) == want
    silent = {*range(5), *range(15, 24)}  # 5 chunks; what is muted, and 5 again
    for found in (want, results_of_beam(of, samples)):
        assert found and not silent & {step for _, step in found}


def results_of_beam(of: Network, samples: Samples) -> Tokens:
    engine = Engine(of, load_backend("numpy", of), 1, BeamConfig(width=2))
    slot = engine.open()
    assert slot is not None
    engine.push(slot, samples)
    engine.finish(slot)
    found: list[Result] = []
    while engine.pending():
        found += engine.tick()
    return [(t.id, t.step) for r in found for t in r.tokens]
