"""CTC: greedy against its definition, the beam against all alignments, in any batch and chunking."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream.backends import Backend
from stream.decoding.beam import BeamConfig, BeamState
from stream.decoding.ctc import CtcBeam, CtcGreedy
from stream.decoding.eos import EosRule
from stream.decoding.greedy import GreedyConfig, Token
from stream.decoding.keywords import KeywordTrie
from stream.errors import ArgumentError
from stream.language_model.ngram import Ngram
from stream.model.specification import Specification
from tests.stream.engine.scrambled import Pieces, ScrambledBackend, frames, letters

PIECES = 6
A, B, C, BLANK = range(4)
ABC = Pieces("abc")
EVERYTHING = BeamConfig(
    width=100_000, temperature=1.0, score_threshold=None, token_threshold=None, final_delay=None
)


class Written(Backend):
    """A head whose log-probabilities are written down: f holds the numbers of a row's frames.

    Args:
        frames: probabilities of a, b, c and blank at each frame; they are normalised.
    """

    def __init__(self, *frames: list[float]) -> None:
        self.specification = Specification(vocabulary=3, joint=1)
        table = np.array(frames)
        self._table = np.log(table / table.sum(axis=1, keepdims=True)).astype(np.float32)

    def ctc(self, f: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._table[f[:, :, 0].astype(np.int64)]

    @property
    def f(self) -> NDArray[np.float32]:
        return np.arange(len(self._table), dtype=np.float32)[None, :, None]


def sharp(*classes: int) -> Written:
    """Return a head that is sure of one class a frame."""
    return Written(*([50.0 if c == n else 1.0 for c in range(4)] for n in classes))


def greedy_tokens(head: Backend, f: NDArray[np.float32], **config: Any) -> list[list[Token]]:
    greedy = CtcGreedy(head, GreedyConfig(**config))
    return greedy.decode(f, np.arange(len(f)), greedy.initial_state(len(f)))


def beam_run(
    beam: CtcBeam, f: NDArray[np.float32], chunk: int = 1, states: list[BeamState] | None = None
) -> tuple[list[list[Token]], list[BeamState]]:
    states = states or [beam.initial_state() for _ in f]
    tokens: list[list[Token]] = [[] for _ in f]
    for begin in range(0, f.shape[1], chunk):
        finals, states = beam.step(f[:, begin : begin + chunk], states)
        for row, more in zip(tokens, finals, strict=True):
            row += more
    return tokens, states


def beam_tokens(beam: CtcBeam, f: NDArray[np.float32], chunk: int = 1) -> list[list[Token]]:
    tokens, states = beam_run(beam, f, chunk)
    return [row + beam.commit(state)[0] for row, state in zip(tokens, states, strict=True)]


def ids(tokens: list[Token]) -> list[int]:
    return [token.id for token in tokens]


def collapsed(classes: tuple[int, ...], blank: int) -> tuple[int, ...]:
    """Return what an alignment says: runs once, without blanks."""
    return tuple(c for c, _ in itertools.groupby(classes) if c != blank)


def test_greedy_collapses_runs_and_gives_step_and_probability_of_their_first_frame() -> None:
    head = sharp(BLANK, A, A, BLANK, A, B, B, BLANK, C)
    (tokens,) = greedy_tokens(head, head.f)
    assert [(t.id, t.step) for t in tokens] == [(A, 1), (A, 4), (B, 5), (C, 8)]
    assert [t.log_probability for t in tokens] == pytest.approx([math.log(50 / 53)] * 4, abs=1e-6)


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_greedy_says_what_the_best_class_of_each_frame_collapses_to(seed: int) -> None:
    backend, f = ScrambledBackend(PIECES), frames(2, 30, seed)
    best = backend.ctc(f).argmax(axis=2)
    for row, tokens in zip(best, greedy_tokens(backend, f), strict=True):
        assert tuple(ids(tokens)) == collapsed(tuple(row.tolist()), PIECES)


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), data=st.data())
def test_greedy_depends_on_neither_neighbours_nor_chunks(seed: int, data: st.DataObject) -> None:
    f, greedy = frames(4, 24, seed), CtcGreedy(ScrambledBackend(PIECES, blank=1.0))
    lengths = np.array(data.draw(st.lists(st.integers(0, 24), min_size=4, max_size=4)))
    everyone, state = np.arange(4), greedy.initial_state(6)
    together = greedy.decode(f, everyone + 1, state, lengths)
    assert state.step.tolist() == [0, *lengths.tolist(), 0]
    for row, length in enumerate(lengths.tolist()):
        alone, tokens = greedy.initial_state(1), []
        cuts = sorted(data.draw(st.lists(st.integers(0, length), max_size=4)))
        for part in np.split(f[row : row + 1, :length], cuts, axis=1):
            tokens += greedy.decode(part, np.array([0]), alone)[0]
        assert tokens == together[row]


def test_a_keyword_chooses_a_piece_that_is_nearly_as_probable_once_a_run() -> None:
    head = Written([1, 1, 1, 9], [5, 4, 1, 1], [5, 4, 1, 1], [4, 5, 1, 1], [1, 1, 1, 9])
    greedy, trie = CtcGreedy(head), KeywordTrie({"b": 1.0}, ABC.spellings)
    one = np.array([0])
    said = greedy.decode(head.f, one, greedy.initial_state(1), None, {0: trie})[0]
    assert [(t.id, t.step) for t in said] == [(B, 1)]
    assert said[0].log_probability == pytest.approx(math.log(4 / 11), abs=1e-6)
    assert ids(greedy.decode(head.f, one, greedy.initial_state(1))[0]) == [A, B]


def test_a_keyword_is_not_heard_in_silence() -> None:
    head = Written([1, 4, 1, 5])
    trie = KeywordTrie({"b": 9.0}, ABC.spellings)
    greedy = CtcGreedy(head)
    assert greedy.decode(head.f, np.array([0]), greedy.initial_state(1), None, {0: trie}) == [[]]


def test_greedy_obeys_the_rule_of_eos() -> None:
    head = sharp(A, C, BLANK)
    assert ids(greedy_tokens(head, head.f)[0]) == [A, C]
    assert ids(greedy_tokens(head, head.f, eos=C, eos_mode="ignore")[0]) == [A]
    with pytest.raises(ValueError, match="eos is 3, the vocabulary has pieces 0 to 2"):
        CtcGreedy(head, GreedyConfig(eos=3))


@pytest.mark.parametrize("seed", range(4))
def test_without_pruning_the_score_of_a_text_is_the_sum_over_its_alignments(seed: int) -> None:
    backend, f = ScrambledBackend(3), frames(1, 5, seed)
    log_probabilities = backend.ctc(f)[0].astype(np.float64)
    want: dict[tuple[int, ...], float] = {}
    for alignment in itertools.product(range(4), repeat=5):
        said = collapsed(alignment, 3)
        score = sum(log_probabilities[t, c] for t, c in enumerate(alignment))
        want[said] = np.logaddexp(want.get(said, -np.inf), score)
    _, (state,) = beam_run(CtcBeam(backend, ABC, EVERYTHING), f)
    found = {tuple(ids(list(path.tokens))): path.score for path in state.paths}
    assert found.keys() == want.keys()
    for said, score in want.items():
        assert found[said] == pytest.approx(score, abs=1e-5)


class Bigrams:
    """A bigram model over a, b and c: seen pairs have probabilities of their own, others back off."""

    order = 2

    def word(self, text: str) -> int | None:
        return {"<s>": 0, "a": 1, "b": 2, "c": 3}.get(text)

    def find(self, words: tuple[int, ...]) -> tuple[float, float] | None:
        seen = {(0, 1): -0.2, (1, 2): -0.1, (2, 2): -0.9, (3, 1): -0.4, (1, 1): -1.3}
        return (-0.5 * words[0], -0.25) if len(words) == 1 else _with_back_off(seen.get(words))


def _with_back_off(value: float | None) -> tuple[float, float] | None:
    return None if value is None else (value, 0.0)


@pytest.mark.parametrize("seed", range(3))
def test_without_pruning_n_grams_and_keywords_add_to_each_text_what_they_are_worth(
    seed: int,
) -> None:
    backend, f = ScrambledBackend(3), frames(1, 4, seed)
    log_probabilities = backend.ctc(f)[0].astype(np.float64)
    want: dict[tuple[int, ...], float] = {}
    for alignment in itertools.product(range(4), repeat=4):
        said = collapsed(alignment, 3)
        score = sum(log_probabilities[t, c] for t, c in enumerate(alignment))
        want[said] = np.logaddexp(want.get(said, -np.inf), score)
    ngram = Ngram(Bigrams(), ABC.pieces, 0.7)
    trie = KeywordTrie({"ab": 1.5, "c": 0.5}, ABC.spellings)
    for said in want:  # the terms depend on the text alone, not on its alignments
        context, node = ngram.start, 0
        for token in said:
            term, context = ngram.step(context, token)
            boost, node = trie.step(node, token)
            want[said] += term + boost
    beam = CtcBeam(backend, ABC, EVERYTHING, ngram)
    _, (state,) = beam_run(beam, f, states=[beam.initial_state(trie)])
    found = {tuple(ids(list(path.tokens))): path.score for path in state.paths}
    assert found.keys() == want.keys()
    for said, score in want.items():
        assert found[said] == pytest.approx(score, abs=1e-5)
    best = max(want, key=lambda said: want[said])
    assert tuple(ids(beam.commit(state)[0])) == best


def test_there_is_no_internal_language_model() -> None:
    with pytest.raises(ArgumentError, match="a CTC head has no internal language model"):
        CtcBeam(ScrambledBackend(3), ABC, BeamConfig(internal_weight=0.5))


def test_fuzzy_logits_leave_the_likeliest_classes_as_they_are() -> None:
    backend, f = ScrambledBackend(255, 4000.0, 2000.0), frames(2, 20, 3)
    config = BeamConfig(temperature=1.0)
    exact, fuzzy = (
        beam_tokens(CtcBeam(backend, letters(255, "z"), each), f)
        for each in (config, replace(config, fuzzy=True))
    )
    assert [ids(row) for row in fuzzy] == [ids(row) for row in exact] != [[], []]


def test_the_beam_finds_what_is_said_more_often_than_the_best_alignment() -> None:
    # The best alignment is blank, blank: 0.36; but a has three: 0.24 + 0.24 + 0.16.
    head = Written([4, 0.001, 0.001, 6], [4, 0.001, 0.001, 6])
    assert greedy_tokens(head, head.f) == [[]]
    assert ids(beam_tokens(CtcBeam(head, ABC, EVERYTHING), head.f)[0]) == [A]


def test_hypotheses_compare_by_score_though_a_longer_one_has_a_better_score_per_token() -> None:
    head = Written([3, 0.001, 0.001, 7], *[[0.3, 0.3, 0.3, 9.1]] * 7)
    beam = CtcBeam(head, ABC, replace(EVERYTHING, token_threshold=1.5))
    _, (state,) = beam_run(beam, head.f)
    empty, a = (next(p for p in state.paths if len(p.tokens) == n) for n in (0, 1))
    assert empty.score > a.score and empty.mean < a.mean
    assert beam_tokens(beam, head.f) == [[]]
    assert beam.partials(state)[0].tokens == a.tokens


def test_the_beam_takes_the_step_of_the_likeliest_frame() -> None:
    head = Written([1, 1, 1, 97], [1, 1, 1, 40], [90, 1, 1, 1], [1, 1, 1, 97])
    (tokens,) = beam_tokens(CtcBeam(head, ABC, BeamConfig(temperature=1.0)), head.f)
    assert [(t.id, t.step) for t in tokens] == [(A, 2)]
    assert tokens[0].log_probability == pytest.approx(math.log(90 / 93), abs=1e-6)


@settings(max_examples=10)
@given(seed=st.integers(0, 10_000))
def test_the_beam_says_what_greedy_says_where_the_model_is_sure(seed: int) -> None:
    f, backend = frames(2, 20, seed), ScrambledBackend(PIECES, 4000.0, 2000.0)
    want = greedy_tokens(backend, f)
    beam = CtcBeam(backend, letters(PIECES, "z"), BeamConfig(width=1, temperature=1.0))
    got = beam_tokens(beam, f)
    for wanted, found in zip(want, got, strict=True):
        assert wanted
        assert [(t.id, t.step) for t in found] == [(t.id, t.step) for t in wanted]


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), width=st.integers(1, 6), data=st.data())
def test_the_beam_depends_on_neither_neighbours_nor_chunks(
    seed: int, width: int, data: st.DataObject
) -> None:
    beam = CtcBeam(ScrambledBackend(PIECES), letters(PIECES), BeamConfig(width=width))
    f = frames(4, 24, seed)
    lengths = np.array(data.draw(st.lists(st.integers(0, 24), min_size=4, max_size=4)))
    together, states = beam.step(f, [beam.initial_state() for _ in f], lengths)
    for row, length in enumerate(lengths.tolist()):
        chunk = data.draw(st.integers(1, 24))
        tokens, (state,) = beam_run(beam, f[row : row + 1, :length], chunk)
        assert tokens == [together[row]]
        assert beam.partials(state) == beam.partials(states[row])


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), delay=st.sampled_from([0.0, 0.3, 1.25]))
def test_every_later_hypothesis_begins_with_what_was_final(seed: int, delay: float) -> None:
    config = BeamConfig(final_delay=delay)
    beam = CtcBeam(ScrambledBackend(PIECES, blank=0.0), letters(PIECES, "z"), config)
    f = frames(1, 40, seed)
    states, finals = [beam.initial_state()], []
    for t in range(40):
        before = states[0].paths
        (tokens,), states = beam.step(f[:, t : t + 1], states)
        finals += tokens
        assert states[0].paths and before
        waits = [path.tokens[0].step for path in states[0].paths if path.tokens]
        assert len(states[0].paths) == 1 or (t - min(waits, default=t)) * 0.06 <= delay + 0.13
    assert [token.step for token in finals] == sorted(token.step for token in finals)


def test_the_same_token_twice_wants_a_blank_between() -> None:
    for classes, want in (((A, A, A), [A]), ((A, BLANK, A), [A, A])):
        head = sharp(*classes)
        assert ids(beam_tokens(CtcBeam(head, ABC, BeamConfig()), head.f)[0]) == want


def test_a_run_goes_on_across_a_final_and_a_commit() -> None:
    head = sharp(A, A, BLANK, A)
    beam = CtcBeam(head, ABC, BeamConfig(width=1))
    (first,), (state,) = beam_run(beam, head.f[:, :1])
    tokens, state = beam.commit(state)
    assert ids(first + tokens) == [A]
    (rest,), _ = beam_run(beam, head.f[:, 1:], states=[state])
    assert [(t.id, t.step) for t in rest] == [(A, 3)]


def test_keywords_of_a_beam_boost_their_row_alone() -> None:
    head = Written([5, 4, 1, 1], [1, 1, 1, 9])
    beam = CtcBeam(head, ABC, BeamConfig(temperature=1.0))
    boosted = beam.initial_state(KeywordTrie({"b": 2.0}, ABC.spellings))
    f = np.repeat(head.f, 2, axis=0)
    finals, states = beam.step(f, [beam.initial_state(), boosted])
    said = [row + beam.commit(state)[0] for row, state in zip(finals, states, strict=True)]
    assert [ids(row) for row in said] == [[A], [B]]
    assert said[1][0].log_probability == pytest.approx(math.log(4 / 11), abs=1e-6)


class OnlyC:
    """A bigram table in which c is likely and all else is not."""

    order = 1

    def word(self, text: str) -> int | None:
        return {"<s>": 0, "a": 1, "b": 2, "c": 3}.get(text)

    def find(self, words: tuple[int, ...]) -> tuple[float, float] | None:
        return (-0.01 if words == (3,) else -2.0, 0.0) if len(words) == 1 else None


def test_an_ngram_model_changes_the_choice_and_not_the_recorded_probability() -> None:
    head = Written([1, 1, 1, 40], [5, 1, 4, 1], [1, 1, 1, 40])
    config = BeamConfig(temperature=1.0)
    assert ids(beam_tokens(CtcBeam(head, ABC, config), head.f)[0]) == [A]
    beam = CtcBeam(head, ABC, config, Ngram(OnlyC(), ABC.pieces, 1.0))
    (tokens,) = beam_tokens(beam, head.f)
    assert [(t.id, t.step) for t in tokens] == [(C, 1)]
    assert tokens[0].log_probability == pytest.approx(math.log(4 / 11), abs=1e-6)


def test_a_terminal_eos_ends_the_stream_there() -> None:
    head = sharp(A, C, B, B)
    eos = EosRule(C, terminal=True)
    beam = CtcBeam(head, ABC, BeamConfig(eos=eos))
    (tokens,), (state,) = beam_run(beam, head.f)
    assert ids(tokens) == [A, C]
    assert state.ended and state.step == 2


@pytest.mark.parametrize("kind", ["greedy", "beam"])
def test_log_probabilities_that_are_no_numbers_name_their_row(kind: str) -> None:
    backend = ScrambledBackend(PIECES)
    whole = backend.ctc

    def broken(f: Any) -> Any:
        scores = whole(f)
        scores[1, 2, 0] = np.nan
        return scores

    backend.ctc = broken  # type: ignore[method-assign]
    beam, greedy = CtcBeam(backend, letters(PIECES)), CtcGreedy(backend)

    def decode(lengths: NDArray[np.int64]) -> None:
        if kind == "beam":
            beam.step(frames(2, 3), [beam.initial_state() for _ in range(2)], lengths)
        else:
            greedy.decode(frames(2, 3), np.arange(2), greedy.initial_state(2), lengths)

    decode(np.array([3, 2]))  # the frame does not count
    with pytest.raises(FloatingPointError, match="row 1: CTC's log-probabilities are not finite"):
        decode(np.array([3, 3]))


def test_a_beam_step_leaves_its_states_as_they_were() -> None:
    beam = CtcBeam(ScrambledBackend(PIECES), letters(PIECES), replace(BeamConfig(), width=3))
    f = frames(1, 12)
    _, states = beam_run(beam, f[:, :6])
    once, twice = (beam_run(beam, f[:, 6:], states=states) for _ in range(2))
    assert once == twice
