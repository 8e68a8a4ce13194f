"""One model at every length of chunk that it was trained with: the same text wherever it runs, for each of them."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from export.checks.streaming import check_streaming
from export.word_delay import measured
from server.client.stream import stream_audio
from stream import validate
from stream.backends import load_backend
from stream.bundled import recordings
from stream.decoding.beam import BeamConfig
from stream.decoding.decoding import Decoding
from stream.decoding.endpoint import EndpointConfig
from stream.decoding.greedy import GreedyConfig
from stream.decoding.overlap import ResetConfig
from stream.encoders.conformer import Conformer
from stream.encoders.lstm import LSTM
from stream.engine.channel_memory import channel_bytes, megabytes
from stream.engine.engine import Engine, Result
from stream.errors import ArgumentError
from stream.model.directory import write
from stream.model.network import Network, open_model
from stream.recogniser import Recogniser
from stream.stage import Floats
from stream.validation import Reference
from stream.validation import validate as validated
from stream.words import WordDelay
from tests.server.scripted import pcm, samples_of, serving
from tests.tiny import tiny_network, tiny_specification

LENGTHS = (40, 120, 240, 1000)  # ms
FEW = GreedyConfig(symbols_per_step=2)  # a random model says most that it may
every_length = pytest.mark.parametrize("chunk_ms", LENGTHS)


@functools.cache
def network() -> Network:
    """Return a random model for chunks of 120 ms, trained with all lengths; it mutes after 360 ms of zeros."""
    family = Conformer(
        depth=2,
        size=16,
        heads=2,
        groups=1,
        kernel=3,
        mamba_every=2,
        mamba_heads=2,
        mamba_state=4,
        feed_forward=16,
        channels=4,
        chunk_ms=120,
        chunks_ms=LENGTHS,
    )
    counted = {"final_padding": 3200, "mute_chunks": 3, "sound_chunks": 2}
    random = tiny_network(6, other_encoder=family, **counted)
    arrays = {n: array + np.float32(n.endswith("scale")) for n, array in random.arrays.items()}
    arrays["joint.encoder.weight"] = 6 * arrays["joint.encoder.weight"]
    return replace(random, arrays=arrays)


def sound(seconds: float, seed: int = 0) -> Floats:
    """Return noise with a pause of zeros in its middle, as of a line on hold."""
    samples = samples_of(pcm(seconds, seed)).copy()
    samples[len(samples) // 3 : 2 * len(samples) // 3] = 0.0
    return samples


def said(results: Sequence[Result]) -> list[tuple[int, int]]:
    return [(token.id, token.step) for result in results for token in result.tokens]


def test_a_length_that_was_not_trained_is_refused_and_those_that_were_are_named() -> None:
    trained = "a chunk of 60 ms: the model is trained with chunks of 40, 120, 240, 1000 ms"
    with pytest.raises(ArgumentError, match=trained):
        network().with_chunk(60)
    with pytest.raises(ArgumentError, match="a chunk of 240 ms: .* chunks of 60 ms"):
        Recogniser(tiny_network(), chunk_ms=240)
    assert LSTM().with_chunk(60) == LSTM()
    assert tiny_network().with_chunk(60).specification == tiny_specification()


def test_what_is_counted_in_chunks_lasts_as_long_in_others() -> None:
    counted = {
        ms: (of.mute_chunks, of.sound_chunks)
        for ms in LENGTHS
        for of in [network().specification.with_chunk(ms)]
    }
    assert counted == {40: (9, 6), 120: (3, 2), 240: (2, 1), 1000: (1, 1)}


def test_what_is_counted_in_chunks_does_not_depend_on_the_lengths_that_were_in_use_before() -> None:
    own = network().specification
    for before, after in itertools.permutations(LENGTHS, 2):
        assert own.with_chunk(before).with_chunk(after) == own.with_chunk(after)
    assert own.with_chunk(1000).with_chunk(120) == own


def test_a_model_directory_keeps_its_own_length_and_all_others(tmp_path: Path) -> None:
    write(network(), tmp_path / "model", {})
    encoder = open_model(tmp_path / "model").specification.encoder
    assert (encoder.chunk_length, encoder.chunk_lengths) == (120, LENGTHS)
    assert Recogniser(tmp_path / "model", "numpy").network.specification.encoder == encoder


@every_length
def test_a_chunk_is_answered_when_its_last_sample_has_come(chunk_ms: int) -> None:
    recogniser = Recogniser(network(), chunk_ms=chunk_ms)
    size = 16 * chunk_ms
    assert not recogniser.push(sound(1.2)[: size - 1])
    (result,) = recogniser.push(np.zeros(1, np.float32))
    assert (result.start, result.end) == (0.0, chunk_ms / 1000)


@every_length
def test_streamed_tokens_are_those_of_the_training_forward(chunk_ms: int) -> None:
    pytest.importorskip("torch")
    from train.evaluation import training_tokens

    chosen, spoken = network().with_chunk(chunk_ms), recordings()[-3:]
    reference = functools.partial(training_tokens, search=FEW)
    report = validated(
        chosen, spoken, reset_stats=True, reference=reference, decoding=FEW, piece_ms=70.0
    )
    assert report.different == 0
    assert sum(len(outcome.tokens) for outcome in report.utterances) > 20


@settings(max_examples=40)
@given(
    chunk_ms=st.sampled_from(LENGTHS),
    runs=st.lists(st.tuples(st.booleans(), st.integers(1, 18_000)), min_size=1, max_size=4),
    counted=st.tuples(st.integers(0, 2), st.integers(0, 3)),
    final_padding=st.sampled_from([0, 700, 3200, 17_000]),
    initial_padding=st.booleans(),
)
@example(1000, [(True, 16_000 + 5000)], (0, 2), 3200, False)  # its two chunks end with the stream
@example(240, [(True, 4000), (False, 8000), (True, 4100)], (2, 1), 0, False)  # a mute among them
@example(1000, [(True, 200)], (2, 1), 3200, False)  # no more than the lead
def test_a_stream_says_what_its_recording_does_however_it_ends(
    chunk_ms: int,
    runs: list[tuple[bool, int]],
    counted: tuple[int, int],
    final_padding: int,
    initial_padding: bool,
) -> None:
    chosen = ending(final_padding, initial_padding, *counted).with_chunk(chunk_ms)
    audio: Any = SimpleNamespace(id="runs", read=lambda: of_runs(runs))
    backend = load_backend("numpy", chosen)
    check_streaming(chosen, backend, backend, Decoding(FEW), [audio])


def ending(final_padding: int, initial_padding: bool, mute: int, sound: int) -> Network:
    """Return the model with other ends; it mutes and begins to speak after so many chunks of 120 ms."""
    specification = msgspec.structs.replace(
        network().specification,
        final_padding=final_padding,
        initial_padding=initial_padding,
        mute_chunks=mute,
        sound_chunks=sound,
    )
    return replace(network(), specification=specification)


def of_runs(runs: Sequence[tuple[bool, int]]) -> Floats:
    """Return noise and zeros by turns."""
    rng = np.random.default_rng(0)
    parts = [loud * rng.normal(0.0, 0.1, count) for loud, count in runs]
    return np.concatenate(parts).astype(np.float32)


@settings(max_examples=10)
@given(
    chunk_ms=st.sampled_from(LENGTHS),
    runs=st.lists(st.tuples(st.booleans(), st.integers(1, 40_000)), min_size=1, max_size=3),
    ends=st.lists(st.integers(0, 80_000), max_size=4),
)
def test_resets_near_an_end_depend_on_no_pieces_and_never_go_back(
    chunk_ms: int, runs: list[tuple[bool, int]], ends: list[int]
) -> None:
    decoding = Decoding(FEW, resets=ResetConfig(50, 20))
    want, got = (
        Recogniser(network(), "numpy", decoding, chunk_ms=chunk_ms).stream(of_runs(runs), pieces)
        for pieces in ([], sorted(ends))
    )
    assert got == want
    steps = [step for _, step in said(want)]
    assert steps == sorted(steps)


@every_length
@settings(max_examples=8)
@given(ends=st.lists(st.integers(0, 40_000), max_size=6), length=st.integers(1, 40_000))
def test_no_result_depends_on_the_pieces_in_which_audio_comes(
    chunk_ms: int, ends: list[int], length: int
) -> None:
    samples = sound(2.5)[:length]
    want = _recogniser(chunk_ms).stream(samples)
    assert _recogniser(chunk_ms).stream(samples, sorted(ends)) == want
    assert len(want) == length // (16 * chunk_ms) + 1  # and the closing one
    assert want[-1].last


def _recogniser(chunk_ms: int) -> Recogniser:
    return Recogniser(network(), "numpy", FEW, chunk_ms=chunk_ms)


@every_length
def test_an_engine_says_of_each_channel_what_a_recogniser_says_whoever_joins_and_leaves(
    chunk_ms: int,
) -> None:
    chosen = network().with_chunk(chunk_ms)
    engine = Engine(chosen, load_backend("numpy", chosen), 3, FEW)
    rng = np.random.default_rng(chunk_ms)
    streams = [sound(rng.uniform(0.3, 2.5), seed) for seed in range(5)]
    waiting, rest, of = list(range(5)), {}, {}
    found: dict[int, list[Result]] = {number: [] for number in waiting}
    while waiting or of:
        if waiting and rng.random() < 0.3 and (slot := engine.open()) is not None:
            of[slot] = waiting.pop(0)
            rest[slot] = streams[of[slot]]
        for slot in list(rest):
            count = int(rng.integers(1, 6000))
            engine.push(slot, rest[slot][:count])
            rest[slot] = rest[slot][count:]
            if not len(rest[slot]):
                del rest[slot]
                engine.finish(slot)
        for result in engine.tick():
            found[of[result.slot]].append(result)
            if result.last:
                engine.close(result.slot)
                del of[result.slot]
    for number, samples in enumerate(streams):
        want = _recogniser(chunk_ms).stream(samples)
        assert said(found[number]) == said(want)
        assert [r.end for r in found[number]] == [r.end for r in want]
        assert [r.spans for r in found[number]] == [r.spans for r in want]
    assert any(map(said, found.values()))


@every_length
def test_one_graph_says_the_same_with_every_length(chunk_ms: int, exported: Path) -> None:
    want = _recogniser(chunk_ms).stream(sound(1.3))
    got = Recogniser(exported, "onnx", FEW, chunk_ms=chunk_ms).stream(sound(1.3), [700, 9001])
    assert said(got) == said(want)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnx", reason="needs onnx: pip install 'rill-asr[train]'")
    from export.build import build

    path = tmp_path_factory.mktemp("exported") / "model"
    write(network(), path, build(network()))
    return path


@pytest.mark.parametrize("chunk_ms", [40, 1000])
@pytest.mark.parametrize(
    "decoding",
    [
        Decoding(BeamConfig(width=2), endpoint=EndpointConfig(silence=0.2, length=1.0)),
        Decoding(FEW, resets=ResetConfig(50, 20), endpoint=EndpointConfig(silence=0.2, length=1.0)),
    ],
    ids=["beam", "resets"],
)
def test_beams_endpoints_and_resets_do_not_depend_on_the_pieces(
    chunk_ms: int, decoding: Decoding
) -> None:
    audio = sound(3.0)
    want, got = (
        Recogniser(network(), "numpy", decoding, chunk_ms=chunk_ms).stream(audio, ends)
        for ends in ([], [5, 9000, 9001, 40_000])
    )
    assert got == want
    assert any(result.endpoint for result in want)
    steps = [step for _, step in said(want)]
    assert steps == sorted(steps) and len(steps) > 20


def test_a_length_of_chunk_changes_what_is_said() -> None:
    texts = {tuple(said(_recogniser(ms).stream(sound(2.5)))) for ms in LENGTHS}
    assert len(texts) == len(LENGTHS)


@pytest.mark.parametrize("chunk_ms", [40, 240])
async def test_a_server_says_what_a_recogniser_says(chunk_ms: int) -> None:
    chosen, audio = network().with_chunk(chunk_ms), pcm(1.1)
    engine = Engine(chosen, load_backend("numpy", chosen), 2, FEW)
    async with serving(engine, slots=2) as service:
        outcome = await stream_audio(service.url, [samples_of(audio)], realtime=False)
    want = _recogniser(chunk_ms).stream(samples_of(audio))
    assert outcome.transcript == "".join(result.text for result in want).strip()
    assert len(outcome.latencies) == min(len(want) - 1, 1100 // 60)


@every_length
def test_words_lie_in_the_audio_one_after_another(chunk_ms: int) -> None:
    for seed in range(2):
        spans = [s for r in _recogniser(chunk_ms).stream(sound(3.0, seed)) for s in r.spans]
        assert len(spans) > 3
        assert all(0.0 <= span.start <= span.end <= 3.0 for span in spans)
        assert spans == sorted(spans)


@every_length
def test_words_are_timed_by_the_delay_of_the_length_in_use(chunk_ms: int) -> None:
    delays = tuple(WordDelay(0.1 * n, 0.05 * n) for n in range(len(LENGTHS)))
    several, one = (
        timed(delay).with_chunk(chunk_ms) for delay in (delays, delays[LENGTHS.index(chunk_ms)])
    )
    want, got = (Recogniser(of, "numpy", FEW).stream(sound(1.3)) for of in (one, several))
    assert got == want
    assert several.specification.usual_delay == one.specification.word_delay


def timed(delay: WordDelay | tuple[WordDelay, ...]) -> Network:
    specification = msgspec.structs.replace(network().specification, word_delay=delay)
    return replace(network(), specification=specification)


def test_an_export_measures_the_delay_with_every_length(tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []
    heard: Any = [
        SimpleNamespace(text="any", read=functools.partial(sound, 1.5, n)) for n in (0, 1)
    ]
    found = measured(network(), heard, lambda *count: done.append(count), fewest=1)
    delays = found.specification.word_delay
    assert isinstance(delays, tuple) and len(set(delays)) > 1
    assert done == [(n, 8) for n in range(1, 9)]
    assert measured(found, heard, fewest=1).specification == found.specification
    write(found, tmp_path / "model", {})
    assert open_model(tmp_path / "model").specification == found.specification


def test_delays_that_are_not_one_for_each_length_are_refused() -> None:
    with pytest.raises(
        ValueError, match="word_delay has 3 entries, wants .* 40, 120, 240, 1000 ms"
    ):
        timed((WordDelay(),) * 3)


def test_longer_chunks_take_more_memory_for_samples_and_the_same_caches() -> None:
    found = channel_bytes(network())
    assert list(found) == list(LENGTHS)
    # The ring holds 360 ms at least, and three chunks.
    samples = {40: 9 * 640, 120: 3 * 1920, 240: 3 * 3840, 1000: 3 * 16_000}
    rest = {found[ms] - 4 * samples[ms] for ms in LENGTHS}
    assert max(rest) - min(rest) <= 4 * 100  # levels of 10 ms, as many as a chunk has


def test_the_memory_is_said_of_each_length_where_there_are_several() -> None:
    assert megabytes({60: 51_234}) == "0.0512 MB"
    assert megabytes({120: 1_310_000, 960: 1_480_000}) == (
        "1.31 MB in chunks of 120 ms, 1.48 MB in chunks of 960 ms"
    )
    assert list(channel_bytes(tiny_network())) == [60]


@every_length
def test_an_upload_of_minutes_fits_whatever_a_ring_holds(chunk_ms: int) -> None:
    recogniser = _recogniser(chunk_ms)
    results = recogniser.push(np.tile(sound(1.0), 20)) + recogniser.finish()
    assert len(results) == 20_000 // chunk_ms + 1


def test_validation_takes_one_length_or_all_in_a_table_and_records_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    write(network(), model, {})
    flags = ["--model", str(model), "--backend", "numpy", "--limit", "1", "--allow-unk"]
    assert validate.main([*flags, "--chunk-ms", "all", "--record"]) == 0
    printed = capsys.readouterr().out
    assert [f"chunks of {ms} ms" in printed for ms in LENGTHS] == [True] * 4
    kept: list[dict[str, Any]] = list(open_model(model).notes["evaluations"])
    assert [each["options"]["chunk_ms"] for each in kept] == list(LENGTHS)
    assert validate.main([*flags, "--chunk-ms", "60"]) == 2
    assert "trained with chunks of 40, 120, 240, 1000 ms" in capsys.readouterr().err


def test_a_comparison_says_of_each_length_how_many_utterances_differ(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(network(), tmp_path / "model", {})

    def training_forward(decoding: Decoding) -> Reference:
        def tokens(of: Network, audio: Sequence[Floats]) -> list[list[tuple[int, int]]]:
            wrong = of.specification.encoder.chunk_length == 240
            return [
                [(3, 1)] if wrong else said(Recogniser(of, "numpy", decoding).stream(samples))
                for samples in audio
            ]

        return tokens

    monkeypatch.setattr(validate, "_training_forward", training_forward)
    flags = [
        "--model",
        str(tmp_path / "model"),
        "--backend",
        "numpy",
        "--limit",
        "1",
        "--allow-unk",
    ]
    flags += ["--reset-stats", "--compare-full", "--chunk-ms", "all"]
    assert validate.main(flags) == 1
    printed = capsys.readouterr().out.splitlines()
    assert [line.partition(", ")[2] for line in printed if line.endswith("differ")] == [
        f"chunks of {ms} ms: {int(ms == 240)} of 1 utterances differ" for ms in LENGTHS
    ]
