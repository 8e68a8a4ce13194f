"""The engine with beam search, hotwords, endpoints and state resets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from stream.backends import load_backend
from stream.decoding.beam import BeamConfig
from stream.decoding.endpoint import EndpointConfig
from stream.decoding.eos import EosRule
from stream.decoding.greedy import Greedy, GreedyConfig, Token
from stream.decoding.keywords import KeywordTrie
from stream.decoding.overlap import Overlap, ResetConfig
from stream.decoding.transducer_beam import TransducerBeam
from stream.encoders.lstm import LSTM
from stream.engine.engine import Decoding, Engine, Result
from stream.front_end.log_mel import streamed_log_mel
from stream.front_end.stacking import stack
from stream.language_model.ngram import Ngram
from stream.model.network import Network
from tests.server.scripted import pcm, samples_of, talking_network
from tests.stream.engine.driving import streamed

CHUNK = LSTM.chunk_samples

Samples = NDArray[np.float32]
LOUDER = {
    "joint.encoder.weight": 3,
    "prediction.embedding": 4,
    "prediction.lstm.0.weight_hh": 4,
    "joint.prediction.weight": 6,
}
BLANK = 1.0
GREEDY = GreedyConfig(2)
BEAM = BeamConfig()
RESETS = ResetConfig(segment=40, overlap=20)
NOISE = [samples_of(pcm(seconds, seed)) for seed, seconds in enumerate((1.2, 3.0, 0.7))]


def padded_network(**specification: Any) -> Network:
    """A network that says a lot, and whose first frame comes with the first chunk."""
    talking = talking_network()
    arrays = {name: array.copy() for name, array in talking.arrays.items()}
    for name, factor in LOUDER.items():
        arrays[name] *= factor
    arrays["joint.output.bias"][-1] += BLANK
    changed = msgspec.structs.replace(talking.specification, initial_padding=True, **specification)
    return replace(talking, specification=changed, arrays=arrays)


def engine(
    slots: int = 1, decoding: Any = GREEDY, network: Network | None = None, **of: Any
) -> Engine:
    network = network or padded_network()
    return Engine(network, load_backend("numpy", network), slots, Decoding(decoding, **of))


def opened(engine: Engine, keywords: dict[str, float] | KeywordTrie | None = None) -> int:
    slot = engine.open(keywords)
    assert slot is not None
    return slot


def run(engine: Engine, *recordings: Samples, chunk: int = 4000) -> list[list[Result]]:
    """Stream recordings side by side, all from the start, in chunks."""
    slots = [opened(engine) for _ in recordings]
    return streamed(engine, dict(zip(slots, recordings, strict=True)), chunk)


@pytest.mark.parametrize("configured", [None, EndpointConfig(silence=60.0, length=None)])
@pytest.mark.parametrize("decoding", [GREEDY, BEAM], ids=["greedy", "beam"])
def test_a_channel_may_end_its_segments_by_a_silence_of_its_own(
    decoding: Any, configured: EndpointConfig | None
) -> None:
    both = engine(2, decoding, endpoint=configured)
    alone = engine(1, decoding, endpoint=EndpointConfig(silence=0.06, length=None))
    first, second = opened(both), opened(both)
    both.end_after(first, 0.06)
    found = streamed(both, {first: NOISE[1], second: NOISE[1]})
    (expected,) = run(alone, NOISE[1])
    ends = [result.endpoint for result in expected]
    assert any(ends)
    assert [result.endpoint for result in found[first]] == ends
    assert not any(result.endpoint for result in found[second])
    both.close(first)
    assert opened(both) == first  # and forgets it
    assert not any(result.endpoint for result in streamed(both, {first: NOISE[1]})[first])


def tokens(results: list[Result]) -> list[Token]:
    return [token for result in results for token in result.tokens]


def ids(results: list[Result]) -> list[tuple[int, int]]:
    return [(token.id, token.step) for token in tokens(results)]


def encoded(samples: Samples, network: Network) -> tuple[Any, NDArray[np.float32]]:
    """Return backend and stacked frames of the whole chunks of a recording, (1, 2 T, 240)."""
    backend = load_backend("numpy", network)
    samples = samples[: len(samples) // CHUNK * CHUNK]
    frames = streamed_log_mel(samples[None], network.specification.front_end)
    z, _ = network.normaliser.step(frames, network.normaliser.initial_state(1))
    return backend, stack(z)


def outline(results: list[Result]) -> Any:
    return [
        (
            r.text,
            [(t.id, t.step) for t in r.tokens],
            [p.text for p in r.provisional],
            r.endpoint,
            r.spans,
        )
        for r in results
    ]


def test_beam_search_in_the_engine_is_beam_search() -> None:
    network = padded_network()
    (results,) = run(engine(decoding=BEAM), NOISE[0])
    backend, x = encoded(NOISE[0], network)
    f, _ = backend.encode(x, backend.initial_state(1)[0])
    beam = TransducerBeam(backend, network.vocabulary, BEAM)
    (want,), (state,) = beam.step(f, [beam.initial_state()])
    got = tokens(results[:-1])
    assert [(t.id, t.step) for t in got] == [(t.id, t.step) for t in want]
    assert [p.text for p in results[-2].provisional] == [p.text for p in beam.partials(state)]
    assert any(result.provisional for result in results)
    assert results[-1].last
    assert results[-1].provisional == ()


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"decoding": BEAM},
        {"decoding": BEAM, "resets": RESETS},
        {"resets": RESETS},
        {"decoding": BEAM, "resets": RESETS, "endpoint": EndpointConfig(silence=0.3)},
    ],
)
def test_a_channel_says_what_it_would_say_alone_in_any_chunks(options: dict[str, Any]) -> None:
    together = run(engine(5, **options), *NOISE, chunk=1700)
    for samples, results in zip(NOISE, together, strict=True):
        (alone,) = run(engine(1, **options), samples, chunk=len(samples))
        assert outline(alone) == outline(results)
    assert any(r.tokens for r in together[0])


@pytest.mark.parametrize("decoding", [GREEDY, BEAM])
def test_at_an_endpoint_and_at_the_end_it_is_known_of_all_tokens_when_they_sound(
    decoding: Any,
) -> None:
    rule = EndpointConfig(silence=0.3, quiet=None, length=0.9)
    (results,) = run(engine(decoding=decoding, endpoint=rule), NOISE[1])
    emitted, spans = 0, []
    for result in results:
        emitted += len(result.tokens)
        spans += result.spans
        assert len(spans) <= emitted
        if result.endpoint or result.last:
            assert len(spans) == emitted
    assert emitted > 10
    assert [span.start for span in spans] == sorted(span.start for span in spans)
    assert sum(result.endpoint for result in results) > 1


def test_what_is_final_and_the_best_of_what_is_not_make_the_transcript_at_the_end() -> None:
    (results,) = run(engine(decoding=BEAM), NOISE[1])
    text = "".join(r.text for r in results)
    assert text == "".join(padded_network().vocabulary.text(token.id) for token in tokens(results))
    assert [t.step for t in tokens(results)] == sorted(t.step for t in tokens(results))


def test_no_final_is_later_than_a_second_and_a_half() -> None:
    slow = BeamConfig(score_threshold=None, token_threshold=4.0, symbols_per_step=3)
    (results,) = run(engine(decoding=slow), NOISE[0])
    for result in results:
        assert all(result.end - 0.06 * (token.step + 1) < 1.5 for token in result.tokens)


def test_rows_that_overlap_are_those_of_two_streams() -> None:
    network = padded_network()
    (results,) = run(engine(resets=RESETS), NOISE[1])
    backend, x = encoded(NOISE[1], network)
    greedy, overlap, want = Greedy(backend, GREEDY), Overlap(RESETS), list[Token]()
    rows: list[Any] = [[backend.initial_state(1)[0], greedy.initial_state(1)], None]
    takes = 0
    for step in range(x.shape[1] // 2):
        if overlap.begins(step):
            fresh = greedy.initial_state(1)
            rows[1] = [backend.initial_state(1)[0], fresh._replace(step=np.array([step]))]
        said: list[list[Token]] = [[], []]
        for i, row in enumerate(rows):
            if row is not None:
                f, row[0] = backend.encode(x[:, 2 * step : 2 * step + 2], row[0])
                (said[i],), row[1] = greedy.step(f, row[1])
        want += overlap.without_duplicates(said[0])
        if overlap.step(step, *said):
            want += overlap.take_over()
            rows = [rows[1], None]
            takes += 1
    assert takes >= 1
    assert [(t.id, t.step) for t in tokens(results[:-1])] == [(t.id, t.step) for t in want]


def test_an_endpoint_leaves_nothing_provisional() -> None:
    quiet = np.concatenate([NOISE[2], np.full(16000, 1e-4, np.float32)])
    rule = EndpointConfig(silence=None, quiet=None, length=0.6)
    (results,) = run(engine(decoding=BEAM, endpoint=rule), quiet)
    ends = [i for i, result in enumerate(results) if result.endpoint]
    assert ends == list(range(9, len(results) - 1, 10))
    assert all(results[i].provisional == () for i in ends)
    assert not any(r.endpoint for r in run(engine(decoding=BEAM), quiet)[0])


@pytest.mark.slow
def test_hotwords_are_those_of_their_connection() -> None:
    pieces = padded_network().vocabulary.pieces
    words = {piece.replace("▁", " "): 3.0 for piece in pieces[7:10]}
    for decoding in (GREEDY, BEAM):
        busy = engine(3, decoding)
        slots = [opened(busy), opened(busy, words), opened(busy)]
        said = [ids(r) for r in streamed(busy, dict.fromkeys(slots, NOISE[1]))]
        assert said[0] == said[2] != said[1]
        busy.restart(slots[1], keep_statistics=False)
        assert ids(streamed(busy, {slots[1]: NOISE[1]})[0]) == said[1]
        busy.close(slots[1])
        assert opened(busy) == slots[1]
        assert ids(streamed(busy, {slots[1]: NOISE[1]})[0]) == said[0]


@pytest.mark.parametrize("keywords", [{"": 1.0}, {"Ä": 1.0}, {"cat": float("inf")}])
def test_hotwords_that_cannot_work_are_refused_and_take_no_slot(keywords: dict[str, float]) -> None:
    one = engine()
    with pytest.raises(ValueError, match="keyword"):
        one.open(keywords)
    assert one.open() == 0


def test_a_muted_channel_says_what_it_still_weighed() -> None:
    network = padded_network(mute_chunks=2)
    silent = np.zeros(20 * CHUNK, np.float32)
    sound = NOISE[1][: 30 * CHUNK]
    samples = np.concatenate([sound, silent, sound])
    (results,) = run(engine(decoding=BEAM, network=network, resets=RESETS), samples)
    assert [r.provisional for r in results[32:50]] == [()] * 18
    assert not any(r.tokens for r in results[33:50])
    assert [t.step for t in tokens(results)] == sorted(t.step for t in tokens(results))
    assert any(t.step >= 50 for t in tokens(results))


def test_eos_is_a_token_and_no_text() -> None:
    eos = 6
    for decoding in (
        BeamConfig(eos=EosRule(eos, alpha=0.5)),
        GreedyConfig(eos=eos, eos_mode="predict", eos_alpha=0.3),
    ):
        (results,) = run(engine(decoding=decoding), NOISE[1])
        said = tokens(results)
        assert eos in {token.id for token in said}
        vocabulary = padded_network().vocabulary
        want = "".join(vocabulary.text(token.id) for token in said if token.id != eos)
        assert "".join(result.text for result in results) == want


def test_an_ngram_model_wants_beam_search() -> None:
    class Nothing:
        order = 1

        def word(self, text: str) -> int | None:
            return 0

        def find(self, words: tuple[int, ...]) -> tuple[float, float] | None:
            return -1.0, 0.0

    ngram = Ngram(Nothing(), padded_network().vocabulary.pieces, 1.0)
    with pytest.raises(ValueError, match="n-gram model wants beam search"):
        engine(ngram=ngram)
    (results,) = run(engine(decoding=BEAM, ngram=ngram), NOISE[2])
    assert results[-1].last
