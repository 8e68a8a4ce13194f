"""Alignment: words lie over their sound, in order, whatever was emitted when."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream.backends import load_backend
from stream.bundled import model_path, recordings
from stream.encoders.lstm import LSTM
from stream.engine.alignment import HOLD, Alignment, Span, word_spans
from stream.engine.engine import Engine, Result
from stream.engine.levels import Levels
from stream.front_end.log_mel import FrontEnd
from stream.model.network import Network
from stream.words import WordDelay, percentile
from tests.benchmarks.word_times import BUNDLED, Unit, compare, read_references, recognise, spoilt
from tests.convolution import Convolution
from tests.server.scripted import pcm, samples_of, talking_network
from tests.stream.engine.driving import streamed

CHUNK = LSTM.chunk_samples

Levelled = NDArray[np.float32]
Token = tuple[int, int]

TEXTS = (" one", " tw", "o", "", " ", " ⁇ ", "x")
ONE, TW, TAIL, EOS, SPACE, UNKNOWN, X = range(len(TEXTS))
NOISE, SPEECH = -12.0, -3.0
DELAY = WordDelay(0.3, 0.0)


def sound(seconds: float, *words: tuple[float, float]) -> Levelled:
    """Levels of a room in which somebody speaks from .. to, seconds."""
    level = np.full(round(100 * seconds), NOISE, np.float32)
    level += np.random.default_rng(0).normal(0.0, 0.5, len(level)).astype(np.float32)
    for begin, end in words:
        level[round(100 * begin) : round(100 * end)] += SPEECH - NOISE
    return level


def aligned(
    level: Levelled,
    tokens: Sequence[Token],
    *,
    late: int = 0,
    padded: bool = False,
    ended: bool = True,
) -> list[Span]:
    """Run a stream: each token comes with the chunk of its step, or so many chunks later."""
    levels = Levels(1, NOISE, 6)
    alignment = Alignment(levels, DELAY, FrontEnd(400, 2.0**-23, padded), LSTM(), 1)
    alignment.begin(0)
    row, spans = np.array([0]), []
    chunks = len(level) // 6
    for chunk in range(chunks):
        levels.put(row, level[None, 6 * chunk : 6 * chunk + 6])
        if alignment.due[0] <= chunk:
            alignment.settle(0)
        come = [(TEXTS[id_], step) for id_, step in tokens if step + late == chunk]
        spans += alignment.add(0, come, closes=False)
    levels.put(row, level[None, 6 * chunks :])
    if ended:
        rest = [(TEXTS[id_], step) for id_, step in tokens if step + late >= chunks]
        samples = 160 * len(level) + (0 if padded else 240)
        spans += alignment.add(0, rest, closes=True, samples=samples)
    return spans


def test_a_word_lies_over_its_sound_and_not_where_it_was_emitted() -> None:
    level = sound(4.0, (1.0, 1.4))
    for step in (20, 24, 26):  # 1.20, 1.44 and 1.56 s
        assert aligned(level, [(ONE, step)]) == [pytest.approx((1.0, 1.4), abs=0.02)]


@pytest.mark.parametrize("late", [0, 5, 20])
def test_words_share_the_pause_between_them_with_nobody(late: int) -> None:
    level = sound(4.0, (1.0, 1.3), (1.5, 1.9), (2.0, 2.6))
    spans = aligned(level, [(ONE, 21), (TW, 29), (TAIL, 30), (ONE, 40)], late=late)
    assert spans == [
        pytest.approx((1.0, 1.3), abs=0.02),
        pytest.approx((1.5, 1.56), abs=0.02),
        pytest.approx((1.56, 1.9), abs=0.02),
        pytest.approx((2.0, 2.6), abs=0.02),
    ]


def test_where_there_is_no_pause_the_delays_divide_the_sound() -> None:
    level = sound(4.0, (1.0, 2.0))
    first, second = aligned(level, [(ONE, 23), (ONE, 30)])  # ends at 1.44, begins at 1.5
    assert first == pytest.approx((1.0, 1.48), abs=0.05)
    assert second == pytest.approx((1.48, 2.0), abs=0.05)
    assert first.end == second.start


def test_a_quiet_word_behind_a_loud_one_has_a_threshold_of_its_own() -> None:
    level = sound(5.0, (1.0, 1.4))
    level[250:290] += 5.0
    assert aligned(level, [(ONE, 22), (ONE, 46)])[1] == pytest.approx((2.5, 2.9), abs=0.03)


def test_times_come_when_a_word_is_complete() -> None:
    level = sound(3.0, (1.0, 1.4), (1.6, 2.0))
    assert aligned(level, [(TW, 22), (TAIL, 23)], ended=False) == []
    assert len(aligned(level, [(TW, 22), (TAIL, 23), (ONE, 32)], ended=False)) == 2


def test_a_word_after_a_long_silence_does_not_reach_back() -> None:
    level = sound(30.0, (1.0, 1.4), (25.0, 25.5))
    tokens = [(ONE, 22), (ONE, 422)]
    want = [pytest.approx((1.0, 1.4), abs=0.02), pytest.approx((25.0, 25.5), abs=0.02)]
    assert aligned(level, tokens) == want
    near = sound(30.0, (1.0, 1.4), (5.0, 5.5))
    assert HOLD // 6 > 90 - 22
    assert aligned(near, [(ONE, 22), (ONE, 90)])[1] == pytest.approx((5.0, 5.5), abs=0.02)


def test_tokens_that_come_when_their_sound_is_forgotten_lie_where_the_delays_say() -> None:
    (span,) = aligned(sound(30.0, (1.0, 1.6)), [(ONE, 25)], late=300)
    assert span == pytest.approx((1.2, 1.56), abs=0.02)


def test_tokens_without_text_have_a_span_and_change_no_word() -> None:
    level = sound(4.0, (1.0, 1.4), (1.6, 2.0))
    plain = aligned(level, [(TW, 22), (TAIL, 23), (ONE, 32)])
    spans = aligned(
        level, [(EOS, 2), (TW, 22), (EOS, 22), (TAIL, 23), (EOS, 26), (ONE, 32), (EOS, 40)]
    )
    assert (spans[1].start, spans[3].end, spans[5]) == (plain[0].start, plain[1].end, plain[2])
    assert len(spans) == 7
    assert aligned(level, [(EOS, 10)]) == [pytest.approx((0.6, 0.66), abs=0.011)]


def test_a_space_ends_a_word_wherever_it_stands() -> None:
    level = sound(4.0, (1.0, 1.4), (1.6, 2.0))
    for tokens in (
        [(X, 22), (SPACE, 32), (X, 32)],
        [(X, 22), (UNKNOWN, 32)],
        [(UNKNOWN, 22), (X, 32)],
    ):
        spans = aligned(level, tokens)
        assert spans[0] == pytest.approx((1.0, 1.4), abs=0.02)
        assert spans[-1] == pytest.approx((1.6, 2.0), abs=0.02)


def test_text_without_spaces_is_one_word_however_long() -> None:
    tokens = [(X, step) for step in range(400)]
    level = sound(25.0, (0.5, 24.2))
    level[::6] = NOISE  # nobody speaks without closing the mouth
    assert aligned(level, tokens, ended=False) == []
    spans = aligned(level, tokens)
    assert spans == sorted(spans) and len(spans) == 400
    assert (spans[0].start, spans[-1].end) == pytest.approx((0.01, 24.2), abs=0.03)


words = st.lists(st.tuples(st.integers(0, len(TEXTS) - 1), st.integers(0, 40)), max_size=30)


@given(words, st.integers(0, 10), st.booleans(), st.integers(0, 2**32 - 1))
def test_words_come_in_order_do_not_overlap_and_lie_within_the_audio(
    tokens: list[Token], late: int, padded: bool, seed: int
) -> None:
    tokens.sort(key=lambda token: token[1])
    level = np.random.default_rng(seed).normal(-8.0, 4.0, 6 * 41 + seed % 6).astype(np.float32)
    spans = aligned(level, tokens, late=late, padded=padded)
    assert len(spans) == len(tokens)
    times = word_spans([TEXTS[id_] for id_, _ in tokens], spans)
    flat = [seconds for pair in times for seconds in pair]
    assert flat == sorted(flat)
    assert all(0.0 <= seconds <= len(level) / 100 + 0.015 for seconds in flat)
    steps = [step for _, step in tokens]
    if len(set(steps)) == len(steps):
        assert all(start < end for start, end in times)


# The engine.

GENERATIONS = {"1.4": (False, (0, 4, 6)), "1.14": (True, (0, 2, 5))}  # seeds of which it says a lot


def talking(padded: bool, **specification: object) -> Network:
    network = talking_network()
    changed = msgspec.structs.replace(
        network.specification, initial_padding=padded, **specification
    )
    return replace(network, specification=changed)


def spans_of(results: Sequence[Result]) -> list[Span]:
    return [span for result in results for span in result.spans]


@pytest.mark.parametrize("padded, seeds", GENERATIONS.values(), ids=GENERATIONS)
@pytest.mark.parametrize("final_padding", [0, 3840])
def test_every_token_has_a_span_whatever_the_chunks_and_the_neighbours(
    padded: bool, seeds: tuple[int, ...], final_padding: int
) -> None:
    network = talking(padded, final_padding=final_padding)
    audio = [
        samples_of(pcm(seconds, seed)) for seed, seconds in zip(seeds, (3.0, 2.9, 3.1), strict=True)
    ]

    def run(*which: int, cut: int) -> list[list[Span]]:
        engine = Engine(network, load_backend("numpy", network), 3)
        slots = [engine.open() for _ in which]
        of = {slot: audio[i] for slot, i in zip(slots, which, strict=True) if slot is not None}
        results = streamed(engine, of, cut)
        for each in results:
            assert len(spans_of(each)) == sum(len(result.tokens) for result in each) > 5
        return [spans_of(each) for each in results]

    alone = [run(i, cut=10**6)[0] for i in range(3)]
    assert run(0, 1, 2, cut=CHUNK) == alone
    assert run(2, 0, 1, cut=333) == [alone[2], alone[0], alone[1]]
    for spans, samples in zip(alone, audio, strict=True):
        assert all(0 <= span.start <= span.end <= len(samples) / 16000 for span in spans)


def test_times_go_on_through_a_mute() -> None:
    network = talking(True, mute_chunks=3, alpha=0.0)
    first, second = (samples_of(pcm(1.2, seed)) for seed in (1, 2))

    def run(chunks: int) -> list[Span]:
        engine = Engine(network, load_backend("numpy", network), 1)
        zeros = np.zeros(chunks * CHUNK, np.float32)
        return spans_of(
            streamed(engine, {engine.open() or 0: np.concatenate([first, zeros, second])}, CHUNK)[0]
        )

    near, far = run(200), run(1200)
    begins = next(i for i, span in enumerate(near) if span.start > 2.0)
    assert far[:begins] == near[:begins]
    shifted = [(span.start + 60, span.end + 60) for span in near[begins:]]
    assert far[begins:] == [pytest.approx(span) for span in shifted] != []


# The bundled model, on the bundled recordings; tests/benchmarks/bundled_words.ctm says where their words are.


@pytest.mark.parametrize(
    "gain, snr, most", [(0.0, None, 0.2), (-20.0, None, 0.2), (0.0, 20.0, 0.25)]
)
def test_words_of_the_bundled_model_lie_over_their_sound(
    gain: float, snr: float | None, most: float
) -> None:
    references = read_references(BUNDLED)
    audio = [spoilt(utterance.read(), gain, snr, 0.75) for utterance in recordings()]
    errors = compare(
        recognise(model_path(), audio),
        [[Unit(references[utterance.audio.stem])] for utterance in recordings()],
    )
    assert len(errors.starts) > 30
    for of in (errors.starts, errors.ends):
        sizes = [abs(seconds) for seconds in of]
        assert statistics.median(sizes) <= 0.08
        assert percentile(sizes, 90) <= most
    assert np.mean(errors.overlaps) > 0.9
    assert statistics.median(errors.lengths) > 0.2
    late = statistics.median(errors.emitted)
    assert -0.15 < late < 0.15


def test_a_frame_of_a_long_chunk_may_know_a_word_that_follows_it() -> None:
    levels, delay = Levels(1, NOISE, 100), WordDelay(-0.35, -0.75)
    for chunk_ms, start, end in ((40, 0.0, 0.55), (1000, 0.4, 0.8)):
        encoder = Convolution(chunk_ms=chunk_ms)
        alignment = Alignment(levels, delay, FrontEnd(400, 2.0**-23, False), encoder, 1)
        levels.begin(0)
        alignment.begin(0)
        levels.put(np.array([0]), sound(1.0, (0.4, 0.8))[None])
        (span,) = alignment.add(0, [(TEXTS[ONE], 0)], closes=True)
        assert span.start == pytest.approx(start, abs=0.03)
        assert span.end == pytest.approx(end, abs=0.05)
