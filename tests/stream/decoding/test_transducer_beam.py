"""Beam search of a transducer: checked against brute force and greedy, in any batch and chunking."""

from __future__ import annotations

import gc
import itertools
import json
from collections import Counter
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream.decoding.beam import GRACE, BeamConfig, BeamState
from stream.decoding.eos import EosRule
from stream.decoding.greedy import Greedy, GreedyConfig, Token
from stream.decoding.hypothesis import Node, TextHash, log_add, text_hash
from stream.decoding.keywords import KeywordTrie
from stream.decoding.transducer_beam import TransducerBeam
from stream.language_model.ngram import Ngram
from stream.vocabulary import texts_of
from stream.words import FRAME_SECONDS
from tests.stream.engine.scrambled import Pieces, ScrambledBackend, frames, letters

EVERYTHING = BeamConfig(
    width=100_000,
    temperature=1.0,
    score_threshold=None,
    token_threshold=None,
    symbols_per_step=3,
    final_delay=None,
)
PIECES = 6


def beam(
    config: BeamConfig | None = None, pieces: int = PIECES, **backend: float
) -> TransducerBeam:
    return TransducerBeam(ScrambledBackend(pieces, **backend), letters(pieces), config)


def run(
    beam: TransducerBeam,
    f: NDArray[np.float32],
    states: list[BeamState] | None = None,
    chunk: int = 1,
) -> tuple[list[list[Token]], list[BeamState]]:
    """Decode in chunks, without the end."""
    states = states or [beam.initial_state() for _ in f]
    tokens: list[list[Token]] = [[] for _ in f]
    for begin in range(0, f.shape[1], chunk):
        finals, states = beam.step(f[:, begin : begin + chunk], states)
        for row, more in zip(tokens, finals, strict=True):
            row += more
    return tokens, states


def whole(beam: TransducerBeam, f: NDArray[np.float32], **of: Any) -> list[list[Token]]:
    """Decode to the end."""
    tokens, states = run(beam, f, **of)
    return [row + beam.commit(state)[0] for row, state in zip(tokens, states, strict=True)]


def probability(
    backend: ScrambledBackend, f: NDArray[np.float32], tokens: tuple[int, ...]
) -> float:
    """Sum the log-probability of a token sequence over all its alignments (Graves 2012)."""
    blank = backend.specification.blank
    _, state = backend.initial_state(1)
    outputs = []
    for token in (blank, *tokens):
        g, state = backend.predict(np.array([token]), state)
        outputs.append(g)
    alpha = [0.0] + [-np.inf] * len(tokens)
    for frame in f:
        scores = [backend.join(frame[None], g)[0].astype(np.float64) for g in outputs]
        scores = [s - np.log(np.exp(s).sum()) for s in scores]
        for u, token in enumerate(tokens):
            alpha[u + 1] = np.logaddexp(alpha[u + 1], alpha[u] + scores[u][token])
        alpha = [a + s[blank] for a, s in zip(alpha, scores, strict=True)]
    return float(alpha[-1])


@pytest.mark.parametrize("seed", range(3))
def test_without_pruning_scores_are_those_of_all_alignments(seed: int) -> None:
    search = beam(EVERYTHING, 3, blank=6.0)
    f = frames(1, 3, seed)
    tokens, (state,) = run(search, f)
    assert tokens == [[]]  # the empty hypothesis is kept, so nothing is final
    found = {tuple(token.id for token in path.tokens): path.score for path in state.paths}
    backend = ScrambledBackend(3, blank=6.0)
    # A mark behind a mark is no other text, and three tokens may all fall into one frame.
    for length in range(4):
        for sequence in itertools.product(range(1, 3), repeat=length):
            want = probability(backend, f[0], sequence)
            assert found[sequence] == pytest.approx(want, abs=1e-5)


def test_probabilities_of_one_text_add_up_whatever_its_pieces() -> None:
    backend = ScrambledBackend(3, blank=6.0)
    search = TransducerBeam(backend, Pieces(["ab", "a", "b"]), EVERYTHING)
    f = frames(1, 2, 1)
    _, (state,) = run(search, f)
    (both,) = (p for p in state.paths if p.text == text_hash(text_hash(TextHash(), "a"), "b"))
    want = log_add(probability(backend, f[0], (0,)), probability(backend, f[0], (1, 2)))
    assert both.score == pytest.approx(want, abs=1e-5)


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_a_beam_of_width_one_is_greedy_where_the_model_is_sure(seed: int) -> None:
    f = frames(2, 20, seed)
    wanted = []
    for blank in (1990.0, 2000.0, 2010.0):  # which is no matter where it is sure
        greedy = Greedy(ScrambledBackend(PIECES, 4000.0, blank), GreedyConfig(symbols_per_step=30))
        wanted.append(greedy.step(f, greedy.initial_state(2))[0])
    ids = [[[(t.id, t.step) for t in row] for row in want] for want in wanted]
    assume(ids[0] == ids[1] == ids[2])
    assume(all(t.log_probability > -1e-3 for row in wanted[1] for t in row))
    counts = Counter((n, t.step) for n, row in enumerate(wanted[1]) for t in row)
    assume(max(counts.values(), default=0) < 30)  # after the last of a frame blank is not sure
    config = BeamConfig(width=1, temperature=1.0, symbols_per_step=30)
    search = TransducerBeam(ScrambledBackend(PIECES, 4000.0, 2000.0), letters(PIECES, "z"), config)
    assert [[(t.id, t.step) for t in row] for row in whole(search, f)] == ids[1]
    assert ids[1] != [[], []]


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), width=st.integers(1, 6), data=st.data())
def test_a_channel_depends_on_neither_its_neighbours_nor_its_chunks(
    seed: int, width: int, data: st.DataObject
) -> None:
    search = beam(BeamConfig(width=width))
    f = frames(4, 24, seed)
    lengths = np.array(data.draw(st.lists(st.integers(0, 24), min_size=4, max_size=4)))
    together, states = search.step(f, [search.initial_state() for _ in f], lengths)
    for row, length in enumerate(lengths):
        chunk = data.draw(st.integers(1, 25))
        alone, (state,) = run(search, f[row : row + 1, :length], chunk=chunk)
        assert alone[0] == together[row]
        assert search.partials(state) == search.partials(states[row])
        assert search.commit(state)[0] == search.commit(states[row])[0]


@settings(max_examples=12)
@given(seed=st.integers(0, 10_000), delay=st.sampled_from([0.0, 0.3, 1.25]))
def test_every_later_hypothesis_begins_with_what_was_final(seed: int, delay: float) -> None:
    search = beam(BeamConfig(final_delay=delay), blank=2.0)
    f = frames(1, 60, seed)
    (state,), final = [search.initial_state()], list[Token]()
    for t in range(60):
        (more,), (state,) = search.step(f[:, t : t + 1], [state])
        final += more
        assert [token.step for token in final] == sorted(token.step for token in final)
        for path in state.paths:
            text = TextHash()
            for token in (*final, *path.tokens):
                text = text_hash(text, search.vocabulary.pieces[token.id])
            assert path.text == text


@settings(max_examples=12)
@given(
    seed=st.integers(0, 10_000),
    delay=st.sampled_from([0.0, 0.18, 0.6, 1.25]),
    width=st.sampled_from([2, 4, 12]),
)
def test_no_final_is_later_than_the_cap(seed: int, delay: float, width: int) -> None:
    config = BeamConfig(width, score_threshold=None, token_threshold=3.0, final_delay=delay)
    search = beam(config, blank=1.5)
    f = frames(1, 50, seed)
    (state,) = [search.initial_state()]
    for t in range(50):
        (final,), (state,) = search.step(f[:, t : t + 1], [state])
        late = int((delay + GRACE) / FRAME_SECONDS + 1e-9) + 1
        assert all(t - token.step <= late for token in final)
        assert all(t - path.tokens[0].step < late for path in state.paths if path.tokens)


def test_without_a_cap_something_waits_longer_than_it() -> None:
    config = BeamConfig(12, score_threshold=None, token_threshold=3.0, final_delay=None)
    search = beam(config, blank=1.5)
    states, waited = [search.initial_state() for _ in range(4)], 0
    f = frames(4, 40)
    for t in range(40):
        _, states = search.step(f[:, t : t + 1], states)
        waiting = [path.tokens[0].step for s in states for path in s.paths if path.tokens]
        waited = max(waited, t - min(waiting, default=t))
    assert waited > int((0.18 + GRACE) / FRAME_SECONDS) + 1


def test_partials_are_ranked_by_score_per_token_and_add_up_to_one() -> None:
    search = beam(BeamConfig(score_threshold=None, token_threshold=4.0))
    _, (state,) = run(search, frames(1, 5, 2))
    partials = search.partials(state)
    assert len(partials) > 1
    assert all(partial.tokens for partial in partials)
    by_tokens = {path.tokens: path for path in state.paths}
    means = [by_tokens[partial.tokens].mean for partial in partials]
    assert means == sorted(means, reverse=True)
    empty = [np.exp(path.score) for path in state.paths if not path.tokens]
    total = sum(np.exp(path.score) for path in state.paths)
    assert sum(np.exp(p.log_probability) for p in partials) == pytest.approx(1 - sum(empty) / total)
    texts, _ = texts_of((t.id for t in partials[0].tokens), search.vocabulary.texts)
    assert (partials[0].text, list(partials[0].texts)) == ("".join(texts), texts)


def test_commit_leaves_the_best_hypothesis_and_nothing_that_waits() -> None:
    search = beam(BeamConfig(score_threshold=None, token_threshold=4.0))
    _, (state,) = run(search, frames(1, 5, 2))
    tokens, after = search.commit(state)
    best = max(state.paths, key=lambda path: path.mean)
    assert tuple(tokens) == best.tokens
    assert [path.tokens for path in after.paths] == [()]
    assert after.paths[0].score == best.score
    assert search.partials(after) == ()
    assert search.commit(after) == ([], after)


def test_a_state_is_a_value() -> None:
    search = beam()
    f = frames(1, 12, 3)
    _, (state,) = run(search, f[:, :6])
    before = json.dumps([repr(path.tokens) for path in state.paths])
    first = search.step(f[:, 6:], [state])
    second = search.step(f[:, 6:], [state])
    assert first[0] == second[0]
    assert search.partials(first[1][0]) == search.partials(second[1][0])
    assert json.dumps([repr(path.tokens) for path in state.paths]) == before
    assert state.step == 6


def test_the_network_runs_on_all_channels_at_once() -> None:
    calls = {}
    for batch in (1, 40):
        search = beam()
        backend = search.backend
        assert isinstance(backend, ScrambledBackend)
        backend.joined.clear()
        backend.predicted.clear()
        run(search, np.repeat(frames(1, 30, 4), batch, axis=0))
        calls[batch] = len(backend.joined), len(backend.predicted)
        assert max(backend.joined) >= batch
    assert calls[40] == calls[1]


def test_a_history_is_computed_once_while_it_lives() -> None:
    search = beam(BeamConfig(token_threshold=4.0))
    backend = search.backend
    assert isinstance(backend, ScrambledBackend)
    seen: list[tuple[float, int]] = []
    predict = backend.predict

    def watched(tokens: Any, state: Any) -> Any:
        seen.extend(zip(state[0][:, 0].tolist(), tokens.tolist(), strict=True))
        return predict(tokens, state)

    backend.predict = watched  # type: ignore[method-assign]
    states = [search.initial_state()]
    f = frames(1, 40, 5)
    for t in range(40):
        kept = [path.node for path in states[0].paths]
        began = len(seen)
        _, states = search.step(f[:, t : t + 1], states)
        mine = seen[began:]
        assert len(mine) == len(set(mine))
        known = {(float(node.prediction[0][0])) for node in kept}
        new = {float(path.node.prediction[0][0]) for path in states[0].paths} - known
        assert len(new) <= len(mine)


def test_histories_that_nobody_stands_on_are_forgotten() -> None:
    def alive() -> int:
        gc.collect()
        return sum(type(thing) is Node for thing in gc.get_objects())

    search = beam(BeamConfig(width=4))
    before = alive()
    _, states = run(search, frames(3, 100, 6))
    assert alive() - before <= 3 * 4
    assert all(len(path.tokens) < 40 for state in states for path in state.paths)


def test_a_terminal_eos_ends_the_stream_there() -> None:
    search = beam(BeamConfig(eos=EosRule(2, alpha=0.2, terminal=True)))
    f = frames(1, 30, 7)
    tokens, (state,) = run(search, f)
    assert state.ended
    assert tokens[0][-1].id == 2
    assert [path.tokens for path in state.paths] == [()]
    more, after = search.step(f, [state])
    assert more == [[]]
    assert after == [state]


def test_keywords_of_one_connection_are_its_own() -> None:
    search = beam(BeamConfig(), blank=2.0)
    f = np.repeat(frames(1, 30, 8), 2, axis=0)
    plain = whole(search, f[:1])[0]
    trie = KeywordTrie({"dd": 4.0}, search.vocabulary.pieces)
    states = [search.initial_state(trie), search.initial_state()]
    boosted, beside = whole(search, f, states=states)
    texts, _ = texts_of((token.id for token in boosted), search.vocabulary.texts)
    assert "dd" in "".join(texts)
    assert beside == plain != boosted


def test_an_ngram_changes_the_choice_and_not_the_recorded_probability() -> None:
    class OnlyC:
        """A model that has heard nothing but one letter."""

        order = 1

        def word(self, text: str) -> int | None:
            return {"<s>": 0, "<unk>": 1, "c": 2}.get(text)

        def find(self, words: tuple[int, ...]) -> tuple[float, float] | None:
            return {(1,): (-3.0, 0.0), (2,): (-0.01, 0.0)}.get(words)

    vocabulary = letters(PIECES)
    backend = ScrambledBackend(PIECES, blank=1.0)
    search = TransducerBeam(
        backend, vocabulary, BeamConfig(), Ngram(OnlyC(), vocabulary.pieces, 2.0)
    )
    (tokens,) = whole(search, frames(1, 30, 9))
    assert {vocabulary.pieces[token.id] for token in tokens} == {"c"}
    assert all(-8.0 < token.log_probability < 0.0 for token in tokens)


def test_the_internal_language_model_is_the_joint_without_an_encoder() -> None:
    backend, f = ScrambledBackend(PIECES, blank=1.0), frames(1, 12, 9)
    config = BeamConfig(token_threshold=None, score_threshold=None, final_delay=None)
    plain, without = (
        TransducerBeam(backend, letters(PIECES), replace(config, internal_weight=weight))
        for weight in (0.0, 0.5)
    )
    (path,) = plain.initial_state().paths
    (same,) = without.initial_state().paths
    logits = backend.join(np.zeros_like(same.node.g)[None], same.node.g[None])[0, :-1]
    logits = logits.astype(np.float64)
    log_probabilities = logits - np.log(np.exp(logits).sum())
    for token in range(PIECES):
        spoken = Token(token, 0, -0.5)
        worth = plain._extender.extend(path, 0.0, spoken, None).score
        left = without._extender.extend(same, 0.0, spoken, None).score
        assert left == pytest.approx(worth - 0.5 * log_probabilities[token], abs=1e-5)
    assert whole(plain, f) != whole(without, f)


def test_logits_that_are_no_numbers_name_their_row() -> None:
    search = beam()
    join = search.backend.join

    def broken(f: Any, g: Any) -> Any:
        logits = join(f, g)
        logits[1, 0] = np.nan
        return logits

    search.backend.join = broken  # type: ignore[method-assign]
    with pytest.raises(FloatingPointError, match="row 1"):
        run(search, frames(2, 1))


def test_fewer_classes_than_the_width_are_no_error() -> None:
    search = beam(replace(EVERYTHING, width=50), 2)
    assert len(run(search, frames(1, 2))[1][0].paths) > 4


def test_a_models_specification_limits_the_tokens_of_a_frame() -> None:
    f = frames(4, 12)
    backend = ScrambledBackend(PIECES, blank=0.0)
    backend.specification = msgspec.structs.replace(backend.specification, symbols_per_step=1)
    found, _ = run(TransducerBeam(backend, letters(PIECES)), f)
    assert found == run(beam(BeamConfig(symbols_per_step=1), blank=0.0), f)[0]
    assert found != run(beam(blank=0.0), f)[0]
    assert all(len({token.step for token in row}) == len(row) for row in found)
