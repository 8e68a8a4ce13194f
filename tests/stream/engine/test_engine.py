"""The engine: whatever comes in whatever order, each channel says what it would say alone."""

from __future__ import annotations

import gc
import re
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hwckpt import reader
from stream.backends import load_backend
from stream.decoding.decoding import Decoding
from stream.decoding.greedy import Greedy, GreedyConfig
from stream.decoding.overlap import ResetConfig
from stream.encoders.lstm import LSTM
from stream.engine.engine import Engine, Result, load_engine
from stream.front_end.log_mel import streamed_log_mel
from stream.front_end.stacking import STACK, stack
from stream.model.network import Network
from tests.server.scripted import pcm, samples_of, talking_network

CHUNK = LSTM.chunk_samples

Samples = NDArray[np.float32]

NOISE = [samples_of(pcm(seconds, seed)) for seed, seconds in enumerate((1.3, 0.9, 2.0))]
GENERATIONS = {"1.4": False, "1.14": True}


def network_of(generation: str) -> Network:
    """The talking network with the front end of a generation."""
    padded = GENERATIONS[generation]
    talking = talking_network()
    specification = msgspec.structs.replace(
        talking.specification, initial_padding=padded, final_padding=3840 if padded else 0
    )
    return replace(talking, specification=specification)


def engine(slots: int = 1, generation: str = "1.4", decoding: GreedyConfig | None = None) -> Engine:
    network = network_of(generation)
    return Engine(network, load_backend("numpy", network), slots, decoding)


def opened(engine: Engine) -> int:
    slot = engine.open()
    assert slot is not None
    return slot


def drain(engine: Engine) -> Iterator[Result]:
    while engine.pending():
        yield from engine.tick()


def stream(engine: Engine, slot: int, chunks: Sequence[Samples]) -> list[Result]:
    """Push a whole stream chunk by chunk, end it, and return all results."""
    results: list[Result] = []
    for chunk in chunks:
        engine.push(slot, chunk)
        results += drain(engine)
    engine.finish(slot)
    return results + list(drain(engine))


def said(results: Sequence[Result]) -> list[tuple[int, int]]:
    return [(token.id, token.step) for result in results for token in result.tokens]


def alone(samples: Samples, generation: str = "1.4") -> list[tuple[int, int]]:
    """Tokens of a recording in one big step: no engine, no chunks."""
    network = network_of(generation)
    backend, normaliser = load_backend("numpy", network), network.normaliser
    frames = streamed_log_mel(samples[None], network.specification.front_end)
    z, _ = normaliser.step(frames, normaliser.initial_state(1))
    count = z.shape[1]
    x = stack(np.concatenate([z, np.zeros((1, -count % 6, 80), np.float32)], axis=1))
    present = np.arange(x.shape[1])[None] < -(-count // STACK)
    f, _ = backend.encode(x, backend.initial_state(1)[0], present)
    greedy = Greedy(backend)
    (tokens,), _ = greedy.step(f, greedy.initial_state(1))
    return [(token.id, token.step) for token in tokens]


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("samples", [*NOISE, NOISE[0][:9600], NOISE[0][:9599], NOISE[0][:10321]])
def test_a_stream_says_what_one_big_step_does(generation: str, samples: Samples) -> None:
    chunked = engine(1, generation)
    got = said(stream(chunked, opened(chunked), np.array_split(samples, 13)))
    assert got == alone(samples, generation) != []


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("count", [*range(0, 5), 159, 160, 161, 239, 240, 241, 399, 400, 401])
def test_a_stream_of_a_few_samples_says_what_one_big_step_does(generation: str, count: int) -> None:
    samples = NOISE[2][8000 : 8000 + count]
    chunked = engine(1, generation)
    results = stream(chunked, opened(chunked), [samples])
    assert len(results) == 1 and results[0].last
    assert said(results) == (alone(samples, generation) if count else [])


@settings(max_examples=15)
@given(
    st.sampled_from(list(GENERATIONS)),
    st.lists(st.integers(0, len(NOISE[0])), max_size=30).map(sorted),
)
def test_chunking_does_not_matter(generation: str, cuts: list[int]) -> None:
    chunked = engine(1, generation)
    results = stream(chunked, opened(chunked), np.split(NOISE[0], cuts))
    assert said(results) == alone(NOISE[0], generation)


def test_one_sample_at_a_time_says_the_same() -> None:
    samples = NOISE[1][:7000]
    chunked = engine()
    results = stream(chunked, opened(chunked), list(samples[:, None]))
    assert said(results) == alone(samples) != []


@settings(max_examples=15)
@given(st.data())
def test_any_interleaving_of_channels_says_what_each_says_alone(data: st.DataObject) -> None:
    shared = engine(3)
    rest = {opened(shared): list(samples_in_pieces(data, samples)) for samples in NOISE}
    found: dict[int, list[Result]] = {slot: [] for slot in rest}
    while any(rest.values()):
        slot = data.draw(st.sampled_from([slot for slot, pieces in rest.items() if pieces]))
        shared.push(slot, rest[slot].pop(0))
        if not rest[slot]:
            shared.finish(slot)
        if data.draw(st.booleans()):
            for result in shared.tick():
                found[result.slot].append(result)
    for result in drain(shared):
        found[result.slot].append(result)
    assert [said(results) for results in found.values()] == [alone(samples) for samples in NOISE]


def samples_in_pieces(data: st.DataObject, samples: Samples) -> list[Samples]:
    cuts = data.draw(st.lists(st.integers(0, len(samples)), max_size=8))
    return np.split(samples, sorted(cuts))


def test_channels_of_one_batch_say_what_each_says_alone() -> None:
    shared = engine(5)
    slots = [opened(shared) for _ in range(5)]
    for slot in slots:
        shared.push(slot, NOISE[slot % 3])
        shared.finish(slot)
    found: dict[int, list[Result]] = {slot: [] for slot in slots}
    for result in drain(shared):
        found[result.slot].append(result)
    assert [said(found[slot]) for slot in slots] == [alone(NOISE[slot % 3]) for slot in slots]


@pytest.mark.parametrize("generation", GENERATIONS)
def test_streams_that_end_together_say_what_each_says_alone(generation: str) -> None:
    lengths = [0, 1, 150, 239, 241, 400, 1000, 1300, 2881, 5000, 9599, 9600]
    shared = engine(len(lengths), generation)
    for length in lengths:
        slot = opened(shared)
        shared.push(slot, NOISE[slot % 3][:length])
        shared.finish(slot)
    found: dict[int, list[Result]] = {slot: [] for slot in range(len(lengths))}
    for result in drain(shared):
        found[result.slot].append(result)
    for slot, length in enumerate(lengths):
        samples = NOISE[slot % 3][:length]
        assert said(found[slot]) == (alone(samples, generation) if length else [])
        assert [result.last for result in found[slot]] == [False] * (length // CHUNK) + [True]


def test_samples_of_sixteen_bits_are_samples_of_float32() -> None:
    wide = np.frombuffer(pcm(2.0, 5), np.int16)
    narrow = samples_of(pcm(2.0, 5))
    results = []
    for samples in (wide, narrow):
        chunked = engine()
        results.append(stream(chunked, opened(chunked), np.array_split(samples, 7)))
    assert results[0] == results[1]
    assert said(results[0]) == alone(narrow) != []


def test_a_channel_that_fell_behind_catches_up_beside_one_that_did_not() -> None:
    shared = engine(2)
    late, live = opened(shared), opened(shared)
    found: dict[int, list[Result]] = {late: [], live: []}
    shared.push(late, NOISE[2])  # more than its ring holds
    shared.finish(late)
    for chunk in np.array_split(NOISE[0], 30):
        shared.push(live, chunk)
        for result in shared.tick():
            found[result.slot].append(result)
    shared.finish(live)
    for result in drain(shared):
        found[result.slot].append(result)
    assert said(found[late]) == alone(NOISE[2])
    assert said(found[live]) == alone(NOISE[0])


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("size", [1, 77, 959, 960, 961, 5000])
def test_every_chunk_of_960_samples_gives_one_result_when_it_is_complete(
    generation: str, size: int
) -> None:
    chunked = engine(1, generation)
    slot = opened(chunked)
    samples = NOISE[0][: 8 * CHUNK + 300]
    results: list[Result] = []
    for begin in range(0, len(samples), size):
        chunked.push(slot, samples[begin : begin + size])
        results += drain(chunked)
        assert len(results) == min(begin + size, len(samples)) // CHUNK
    chunked.finish(slot)
    results += drain(chunked)
    assert [result.last for result in results] == [False] * 8 + [True]
    assert [(result.start, result.end) for result in results] == [
        *[(round(0.06 * i, 2), round(0.06 * (i + 1), 2)) for i in range(8)],
        (0.48, 0.48),
    ]


def test_without_initial_padding_an_encoder_frame_comes_one_chunk_later() -> None:
    for generation, delay in (("1.4", 1), ("1.14", 0)):
        chunked = engine(1, generation)
        results = stream(chunked, opened(chunked), [NOISE[2]])
        for index, result in enumerate(results[:-1]):
            assert all(token.step == index - delay for token in result.tokens)
        assert all(token.step >= len(results) - 1 - delay for token in results[-1].tokens)


def test_the_text_of_results_is_that_of_their_tokens() -> None:
    chunked = engine()
    results = stream(chunked, opened(chunked), [NOISE[2]])
    vocabulary = network_of("1.4").vocabulary
    text = "".join(result.text for result in results)
    assert text.strip() == vocabulary.decode([token for token, _ in said(results)]) != ""


def test_a_stream_without_samples_gives_one_empty_closing_result() -> None:
    for generation in GENERATIONS:
        empty = engine(1, generation)
        slot = opened(empty)
        empty.finish(slot)
        assert list(drain(empty)) == [Result(slot, 0.0, 0.0, "", (), last=True)]


def test_nothing_comes_after_the_closing_result() -> None:
    ended = engine()
    slot = opened(ended)
    stream(ended, slot, [NOISE[0]])
    assert not ended.pending() and ended.tick() == []
    with pytest.raises(ValueError, match="channel 0: samples after the end of the stream"):
        ended.push(slot, NOISE[0])


def test_a_full_engine_opens_no_channel_until_one_is_closed() -> None:
    full = engine(2)
    assert [full.open(), full.open(), full.open()] == [0, 1, None]
    full.close(0)
    assert full.open() == 0


def test_a_slot_that_is_given_out_again_remembers_nothing() -> None:
    used = engine(2)
    slot, other = opened(used), opened(used)
    used.push(slot, NOISE[2])
    used.push(other, NOISE[1])
    list(drain(used))
    used.push(slot, NOISE[2][:500])  # a chunk that is incomplete, too
    used.close(slot)
    assert used.open() == slot
    assert said(stream(used, slot, [NOISE[0]])) == alone(NOISE[0])


def test_a_restart_keeps_the_statistics_or_does_not() -> None:
    after: dict[bool, list[Any]] = {}
    for keep in (True, False):
        kept = engine()
        slot = opened(kept)
        stream(kept, slot, [30 * NOISE[2]])
        kept.restart(slot, keep_statistics=keep)
        after[keep] = said(stream(kept, slot, [NOISE[0]]))
    assert after[False] == alone(NOISE[0])
    assert after[True] != after[False]


def test_statistics_that_are_kept_are_those_of_one_long_recording() -> None:
    kept = engine()
    slot = opened(kept)
    stream(kept, slot, [NOISE[2]])
    network = network_of("1.4")
    frames = streamed_log_mel(NOISE[2][None], network.specification.front_end)
    _, want = network.normaliser.step(frames, network.normaliser.initial_state(1))
    kept.restart(slot, keep_statistics=True)
    for got, wanted in zip(kept._features._statistics, want, strict=True):
        np.testing.assert_allclose(got[[slot]], wanted, rtol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2.0**99])
def test_a_sample_that_is_no_audio_is_named_and_changes_nothing(value: float) -> None:
    shared = engine(2)
    good, bad = opened(shared), opened(shared)
    shared.push(good, NOISE[0][:5000])
    shared.push(bad, NOISE[1][:4000])
    broken = NOISE[1][4000:8000].copy()
    broken[100] = value
    named = re.escape(f"channel 1: sample 4100 (0.256 s) is {value}, wants a finite number")
    with pytest.raises(ValueError, match=named):
        shared.push(bad, broken)
    found: dict[int, list[Result]] = {good: [], bad: []}
    shared.push(good, NOISE[0][5000:])
    shared.push(bad, NOISE[1][4000:])
    shared.finish(good)
    shared.finish(bad)
    for result in drain(shared):
        found[result.slot].append(result)
    assert said(found[good]) == alone(NOISE[0])
    assert said(found[bad]) == alone(NOISE[1])


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_chunks_of_many_channels_are_heard_as_if_pushed_one_by_one(dtype: type) -> None:
    audio = [(noise * (32767 if dtype is np.int16 else 1)).astype(dtype) for noise in NOISE]
    together, alone = engine(3), engine(3)
    said: list[list[Result]] = []
    for shared in (together, alone):
        slots = [opened(shared) for _ in audio]
        for start in range(0, min(map(len, audio)) - CHUNK, CHUNK):
            chunks = np.stack([samples[start : start + CHUNK] for samples in audio])
            if shared is together:
                shared.push_chunks(slots, chunks)
            else:
                for slot, chunk in zip(slots, chunks, strict=True):
                    shared.push(slot, chunk)
        said.append(list(drain(shared)))
    assert said[0] == said[1]
    assert any(not result.silent for result in said[0])


def test_of_chunks_one_of_which_is_no_audio_none_is_taken() -> None:
    shared = engine(2)
    slots = [opened(shared), opened(shared)]
    chunks = np.zeros((2, CHUNK), np.float32)
    chunks[1, 5] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        shared.push_chunks(slots, chunks)
    assert [shared.backlog(slot) for slot in slots] == [0, 0]
    shared.finish(slots[0])
    with pytest.raises(ValueError, match="was finished"):
        shared.push_chunks(slots, np.zeros((2, CHUNK), np.float32))


def test_the_loudest_samples_that_are_taken_leave_other_channels_alone() -> None:
    shared = engine(2)
    good, loud = opened(shared), opened(shared)
    shared.push(good, NOISE[0])
    shared.push(loud, np.where(NOISE[0] < 0, -1e6, 1e6).astype(np.float32))
    shared.finish(good)
    assert said([r for r in drain(shared) if r.slot == good]) == alone(NOISE[0])


def test_samples_of_two_channels_are_refused_by_their_shape() -> None:
    mono = engine()
    with pytest.raises(ValueError, match=r"samples are \(100, 2\)"):
        mono.push(opened(mono), np.zeros((100, 2), np.float32))


def test_a_slot_that_is_not_open_is_named() -> None:
    for slot in (0, 7, -1):
        with pytest.raises(ValueError, match=f"channel {slot} is not open"):
            engine().push(slot, NOISE[0])


def test_the_backlog_is_what_was_not_processed() -> None:
    waiting = engine(1, "1.14")
    slot = opened(waiting)
    waiting.push(slot, NOISE[0][: 3 * CHUNK + 10])
    assert waiting.backlog(slot) == 3 * CHUNK + 10
    waiting.tick()
    assert waiting.backlog(slot) == 2 * CHUNK + 10
    list(drain(waiting))
    assert waiting.backlog(slot) == 10


@pytest.mark.slow
def test_an_hour_at_once_is_consumed_in_flat_memory() -> None:
    hour = np.zeros(3600 * 16_000, np.float32)
    flat = engine(decoding=GreedyConfig(symbols_per_step=1))
    slot = opened(flat)
    held = []
    tracemalloc.start()
    try:
        flat.push(slot, hour)
        for ticks in (20, 300):
            for _ in range(ticks):
                flat.tick()
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert flat.backlog(slot) == len(hour) - 240 - 319 * CHUNK
    assert held[1] - held[0] < 50_000  # 300 chunks are 1.2 MB
    assert peak < 2_000_000  # the hour is 230 MB


@pytest.mark.parametrize("resets", [False, True])
def test_the_memory_of_a_channel_is_what_another_slot_takes(resets: bool) -> None:
    network = talking_network()
    backend = load_backend("numpy", network)
    decoding = Decoding(GreedyConfig(), resets=ResetConfig() if resets else None)

    def allocated(slots: int) -> tuple[int, int]:
        tracemalloc.start()
        engine = Engine(network, backend, slots, decoding)
        return tracemalloc.get_traced_memory()[0], engine.channel_bytes

    try:
        allocated(1)
        few, stated = allocated(50)
        many, _ = allocated(250)
    finally:
        tracemalloc.stop()
    assert (many - few) / 200 == pytest.approx(stated, rel=0.1)


def test_a_model_is_loaded_by_its_network_and_backend() -> None:
    loaded = load_engine(talking_network(), 2, "numpy")
    assert said(stream(loaded, opened(loaded), [NOISE[0]])) == alone(NOISE[0])
    with pytest.raises(ValueError, match="engine: 0 slots"):
        load_engine(talking_network(), 0, "numpy")


GOLDEN = ["v1.4.0_reset", "v1.4.0_carry", "v1.14.0_greedy", "v1.14.0_greedy_nofinalpad"]


@pytest.mark.parametrize("name", [*GOLDEN, "v1.14.0_greedy_eosblank"])
def test_golden_recordings_give_their_tokens_in_any_chunking(golden: Path, name: str) -> None:
    check_golden(golden / f"pcm_to_tokens_{name}.npz", "")


@pytest.mark.parametrize("name", GOLDEN[2:])
def test_golden_recordings_give_their_tokens_with_a_count_per_frame(
    golden: Path, name: str
) -> None:
    check_golden(golden / f"pcm_to_tokens_{name}.npz", "framecap_")


def check_golden(path: Path, counter: str) -> None:
    with np.load(path) as vectors:
        z = dict(vectors)
    network = reader.read(path.parent / str(z["checkpoint"]))
    padding = int(z.get("final_padding_samples", 0))
    specification = msgspec.structs.replace(network.specification, final_padding=padding)
    network = replace(network, specification=specification)
    if "eos_decoding" in z:
        mode: Any = str(z["eos_decoding"])
        config = GreedyConfig(
            30, "frame" if counter else "running", eos=int(z["eos_index"]), eos_mode=mode
        )
    else:
        config = GreedyConfig(30, sample_cap=int(z["max_symbol_per_sample"]))
    chunked = Engine(network, load_backend("numpy", network), 1, config)
    slot = opened(chunked)
    keep = str(z["normalisation"]) == "ewma" and not z["reset"]
    rng = np.random.default_rng(3)
    for i in range(int(z["num"])):
        samples = z[f"pcm_{i}"].astype(np.float32) / 32768
        cuts = np.sort(rng.integers(0, len(samples), 20))
        results = stream(chunked, slot, np.split(samples, cuts))
        chunked.restart(slot, keep_statistics=keep)
        tokens = [token for result in results for token in result.tokens]
        assert [token.id for token in tokens] == z[f"tokens_{counter}{i}"].tolist()
        if f"frames_{counter}{i}" in z:
            assert [token.step for token in tokens] == z[f"frames_{counter}{i}"].tolist()
        if not counter:
            text = network.vocabulary.decode([token.id for token in tokens])
            assert text == str(z[f"text_{i}"])
        if not counter and f"probs_{i}" in z:
            got = np.exp([token.log_probability for token in tokens])
            np.testing.assert_allclose(got, z[f"probs_{i}"], atol=1e-4)


@pytest.mark.parametrize("slots", [1, 3, 16])
def test_a_warm_engine_is_free_and_as_good_as_new(slots: int) -> None:
    network = talking_network()
    warm, cold = (
        load_engine(network, slots, "numpy"),
        Engine(network, load_backend("numpy", network), slots),
    )
    assert not warm.pending()
    audio = np.random.default_rng(4).normal(0.0, 0.1, 9000).astype(np.float32)
    results = []
    for engine in (warm, cold):
        taken = [engine.open() for _ in range(slots)]
        assert taken == list(range(slots))
        engine.push(slots - 1, audio)
        engine.finish(slots - 1)
        found: list[Result] = []
        while engine.pending():
            found += engine.tick()
        results.append(found)
    assert results[0] == results[1]
