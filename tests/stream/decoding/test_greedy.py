"""Greedy decoding against the two loops of NUMERICS 4.1 and 4.2, written out for one row."""

from __future__ import annotations

import functools
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
from stream.backends import Backend
from stream.backends.numpy import NumpyBackend
from stream.decoding.greedy import Greedy, GreedyConfig, Token
from stream.decoding.keywords import KeywordTrie
from stream.model.specification import Specification
from stream.stage import State, map_state
from tests.tiny import tiny_network, tiny_specification

Floats = NDArray[np.float32]
EOS = 4


@functools.cache
def talkative() -> NumpyBackend:
    """A random backend that emits anything from no token to a cap's worth in a frame."""
    network = tiny_network(6)
    scale = {
        "prediction.embedding": 4,
        "prediction.lstm.0.weight_hh": 4,
        "joint.prediction.weight": 6,
        "joint.output.weight": 2,
    }
    arrays = {
        name: array * np.float32(scale.get(name, 1)) for name, array in network.arrays.items()
    }
    arrays["joint.output.bias"][-1] += 2
    return NumpyBackend(replace(network, arrays=arrays))


BLANK = tiny_specification().blank
FRAMES = np.random.default_rng(0).normal(0, 1, (4, 12, 16)).astype(np.float32)


class Counting(NumpyBackend):
    """Counts the rows it was asked to predict and to join."""

    predicted = joined = 0

    def __init__(self, backend: NumpyBackend) -> None:
        self.__dict__.update(backend.__dict__)

    def predict(self, tokens: NDArray[np.int64], state: State) -> tuple[Floats, State]:
        self.predicted += len(tokens)
        return super().predict(tokens, state)

    def join(self, f: Floats, g: Floats) -> Floats:
        self.joined += len(f)
        return super().join(f, g)


class Table:
    """A backend whose logits are f + g, and g says how many tokens a row has emitted.

    Piece 0 wins until f[0] tokens are out; then blank does.
    """

    specification = Specification(vocabulary=3)

    def initial_state(self, batch: int) -> tuple[State, State]:
        return (), (np.full((batch, 1), -1.0, np.float32),)

    def encode(self, x: Any, state: State, present: Any = None) -> Any:
        raise NotImplementedError

    def predict(self, tokens: NDArray[np.int64], state: State) -> tuple[Floats, State]:
        count = state[0] + 1.0
        g = np.zeros((len(tokens), 4), np.float32)
        g[:, 3] = count[:, 0] + 0.5
        return g, (count,)

    def join(self, f: Floats, g: Floats) -> Floats:
        return f + g


def until(*totals: int) -> Floats:
    """Frames, (1, T, 4), by the end of which so many tokens are out."""
    f = np.zeros((1, len(totals), 4), np.float32)
    f[0, :, 0] = totals
    return f


def log_softmax(logits: Floats) -> NDArray[np.float64]:
    wide = logits.astype(np.float64)
    return np.asarray(wide - np.logaddexp.reduce(wide))


def corrected(scores: NDArray[np.float64], config: GreedyConfig) -> NDArray[np.float64]:
    """NUMERICS 4.3."""
    scores, eos = scores.copy(), scores[EOS]
    if config.eos_mode == "ignore":
        scores[EOS] = -np.inf
    elif config.eos_mode == "blank":
        scores[BLANK] = np.logaddexp(scores[BLANK], eos)
        scores[EOS] = -np.inf
    elif config.eos_mode == "predict":
        scores[EOS] = eos * config.eos_alpha
        if config.eos_beta > 0 and scores[EOS] <= np.log(config.eos_beta):
            scores[EOS] = -np.inf
    return scores


def loop_1_14(backend: Backend, f: Floats, config: GreedyConfig) -> list[tuple[int, int]]:
    """NUMERICS 4.2, one row, the last frame known; returns (id, step)."""
    g, state = backend.predict(np.array([BLANK]), backend.initial_state(1)[1])
    t, n, last = 0, 0, len(f) - 1
    emitted: list[tuple[int, int]] = []
    cap = config.symbols_per_step
    while True:
        scores = corrected(log_softmax(backend.join(f[t : t + 1], g)[0]), config)
        best = int(scores.argmax())
        if t == last and (best == BLANK or n >= cap):
            return emitted
        if config.sample_cap is not None and len(emitted) >= config.sample_cap:
            return emitted
        if best != BLANK:
            emitted.append((best, t))
            g, state = backend.predict(np.array([best]), state)
            n += 1
        advance = best == BLANK or n >= cap
        if n >= cap and t < last:
            n = 0
        if advance:
            t = min(t + 1, last)


def loop_1_4(backend: Backend, f: Floats, config: GreedyConfig) -> list[tuple[int, int]]:
    """NUMERICS 4.1, one row; returns (id, step)."""
    g, state = backend.predict(np.array([BLANK]), backend.initial_state(1)[1])
    emitted: list[tuple[int, int]] = []
    for t in range(len(f)):
        if config.sample_cap is not None and len(emitted) > config.sample_cap:
            break
        for _ in range(config.symbols_per_step):
            scores = corrected(log_softmax(backend.join(f[t : t + 1], g)[0]), config)
            best = int(scores.argmax())
            if best == BLANK:
                break
            emitted.append((best, t))
            g, state = backend.predict(np.array([best]), state)
    return emitted


def pairs(tokens: list[Token]) -> list[tuple[int, int]]:
    return [(token.id, token.step) for token in tokens]


def decode(
    f: Floats, config: GreedyConfig | None = None, backend: Backend | None = None, **arguments: Any
) -> list[list[Token]]:
    greedy = Greedy(backend or talkative(), config)
    return greedy.step(f, greedy.initial_state(len(f)), **arguments)[0]


configs = st.builds(
    GreedyConfig,
    symbols_per_step=st.integers(1, 8),
    counter=st.sampled_from(["frame", "running"]),
    sample_cap=st.none() | st.integers(0, 12),
    eos=st.just(EOS),
    eos_mode=st.sampled_from(["none", "predict", "blank", "ignore"]),
    eos_alpha=st.sampled_from([0.5, 1.0, 2.0]),
    eos_beta=st.sampled_from([0.0, 0.3]),
)


@settings(max_examples=60)
@given(configs)
def test_every_row_of_a_batch_emits_what_the_loop_for_one_row_does(config: GreedyConfig) -> None:
    loop = loop_1_4 if config.counter == "frame" else loop_1_14
    got = decode(FRAMES, config)
    assert [pairs(row) for row in got] == [loop(talkative(), f, config) for f in FRAMES]


@settings(max_examples=40)
@given(configs, st.lists(st.integers(0, 12), max_size=6))
def test_any_chunking_emits_the_same_tokens(config: GreedyConfig, cuts: list[int]) -> None:
    greedy = Greedy(talkative(), config)
    state: State = greedy.initial_state(4)
    got: list[list[Token]] = [[], [], [], []]
    for chunk in np.split(FRAMES, sorted(cuts), axis=1):
        tokens, state = greedy.step(chunk, state)
        got = [row + new for row, new in zip(got, tokens, strict=True)]
    assert [pairs(row) for row in got] == [pairs(row) for row in decode(FRAMES, config)]


def test_the_test_material_says_something() -> None:
    got = decode(FRAMES)
    assert min(map(len, got)) > 0
    ids = {token.id for row in got for token in row}
    assert EOS in ids and len(ids) > 10
    per_frame = {sum(token.step == t for token in row) for row in got for t in range(12)}
    assert {0, 1, 30} < per_frame and len(per_frame) > 5


def test_rows_that_are_shorter_than_the_batch_stop_at_their_length() -> None:
    lengths = np.array([12, 0, 5, 7])
    greedy = Greedy(talkative())
    got, state = greedy.step(FRAMES, greedy.initial_state(4), lengths)
    want = [decode(f[None, :n])[0] for f, n in zip(FRAMES, lengths, strict=True)]
    assert [pairs(row) for row in got] == [pairs(row) for row in want]
    np.testing.assert_array_equal(state.step, lengths)


def test_rows_of_a_larger_state_are_decoded_in_place_and_no_other_is_touched() -> None:
    greedy = Greedy(talkative())
    state = greedy.initial_state(9)
    rows = np.array([7, 1, 4, 2])
    before = map_state(np.copy, tuple(state))
    assert greedy.decode(FRAMES, rows, state) == decode(FRAMES)
    _, want = greedy.step(FRAMES, greedy.initial_state(4))

    def same(all_rows: NDArray[Any], old: NDArray[Any], new: NDArray[Any]) -> None:
        np.testing.assert_array_equal(all_rows[rows], new)
        others = np.setdiff1d(np.arange(9), rows)
        np.testing.assert_array_equal(all_rows[others], old[others])

    map_state(same, tuple(state), before, tuple(want))


def test_a_step_leaves_the_state_that_it_was_given() -> None:
    greedy = Greedy(talkative())
    state = greedy.initial_state(4)
    before = map_state(np.copy, tuple(state))
    assert any(greedy.step(FRAMES, state)[0])
    map_state(np.testing.assert_array_equal, tuple(state), before)


def test_only_rows_that_still_emit_are_joined_and_predicted_again() -> None:
    backend = Counting(talkative())
    got = decode(FRAMES, GreedyConfig(symbols_per_step=10), backend)
    assert backend.predicted == 4 + sum(map(len, got))  # the starts of sequence
    emitted = [np.bincount([token.step for token in row], minlength=12) for row in got]
    assert backend.joined == np.minimum(np.array(emitted) + 1, 10).sum()  # at the cap none is asked


def test_the_counter_per_frame_lets_each_frame_emit_up_to_the_cap() -> None:
    (tokens,) = decode(until(2, 4, 6), GreedyConfig(symbols_per_step=3), Table())
    assert [token.step for token in tokens] == [0, 0, 1, 1, 2, 2]


def test_the_running_counter_forces_time_on_after_every_cap_of_tokens() -> None:
    config = GreedyConfig(symbols_per_step=3, counter="running")
    (tokens,) = decode(until(2, 4, 6, 6), config, Table())
    assert [token.step for token in tokens] == [0, 0, 1, 2, 2, 2]


def test_the_cap_per_sample_of_the_frame_counter_is_tested_before_a_step_only() -> None:
    (tokens,) = decode(until(4, 8, 12), GreedyConfig(sample_cap=3), Table())
    assert len(tokens) == 4
    (tokens,) = decode(until(3, 6, 9), GreedyConfig(sample_cap=3), Table())
    assert len(tokens) == 6  # 3 is not more than 3


def test_the_cap_per_sample_of_the_running_counter_is_exact() -> None:
    (tokens,) = decode(until(4, 8), GreedyConfig(counter="running", sample_cap=3), Table())
    assert len(tokens) == 3


def test_a_tie_goes_to_the_lowest_class() -> None:
    f = np.zeros((1, 1, 4), np.float32)
    f[0, 0, 1:3] = 0.5  # pieces 1 and 2 and, with g = 0.5, blank
    (tokens,) = decode(f, GreedyConfig(symbols_per_step=1), Table())
    assert [token.id for token in tokens] == [1]


def test_the_probability_is_that_of_the_choice_among_all_classes() -> None:
    (tokens,) = decode(until(1), backend=Table())
    logits = np.array([1.0, 0.0, 0.0, 0.5])
    assert tokens[0].log_probability == pytest.approx(1.0 - np.log(np.exp(logits).sum()))


def test_logits_that_are_not_numbers_are_refused_by_row() -> None:
    f = FRAMES.copy()
    f[2, 3, 0] = np.nan
    with pytest.raises(FloatingPointError, match="row 2: the joint's logits are not finite"):
        decode(f)


def test_state_keeps_its_shapes_and_types() -> None:
    greedy = Greedy(talkative())
    before = greedy.initial_state(4)
    _, after = greedy.step(FRAMES, before)

    def same(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
        assert a.shape == b.shape and a.dtype == b.dtype
        return a

    map_state(same, before, after)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"symbols_per_step": 0}, "symbols_per_step is 0"),
        ({"eos_mode": "blank"}, "wants the id of the EOS token"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GreedyConfig(**fields)


def test_an_eos_that_is_no_piece_is_refused() -> None:
    with pytest.raises(ValueError, match="eos is 20, the vocabulary has pieces 0 to 19"):
        Greedy(talkative(), GreedyConfig(eos=BLANK))


@pytest.mark.parametrize("name", ["v1.4.0_hard", "v1.4.0_soft", "v1.14.0"])
def test_caps_per_step_and_per_sample_reproduce_the_golden_tokens(golden: Path, name: str) -> None:
    with np.load(golden / f"transducer_{name}.npz") as vectors:
        z = dict(vectors)
    network = reader.read(golden / str(z["checkpoint"]))
    activation = "hard" if name == "v1.4.0_hard" else "soft"
    specification = msgspec.structs.replace(network.specification, activation=activation)
    backend = NumpyBackend(replace(network, specification=specification))
    projected = z["joint_enc_out"] if "joint_enc_out" in z else z["encoder_out"]
    checked = 0
    for key in (k for k in z if k.startswith(("greedy_tokens", "greedy_framecap_tokens"))):
        row, variant = int(key.split("_b")[1][0]), key.rsplit("_", 1)[1]
        f = np.ascontiguousarray(projected[row : row + 1, : int(z["encoder_lens"][row])])
        running = name == "v1.14.0" and "framecap" not in key
        if variant.startswith("sample"):
            config = GreedyConfig(counter="running", sample_cap=int(variant[6:]))
        else:
            config = GreedyConfig(int(variant[3:]), "running" if running else "frame")
        (tokens,) = decode(f, config, backend)
        assert [token.id for token in tokens] == z[key].tolist(), key
        if (frames := key.replace("tokens", "frames")) in z and frames != key:
            assert [token.step for token in tokens] == z[frames].tolist(), frames
        if (probs := key.replace("tokens", "probs")) in z and probs != key:
            got = np.exp([token.log_probability for token in tokens])
            np.testing.assert_allclose(got, z[probs], atol=1e-4)
        checked += 1
    assert checked >= 8


class Spoken:
    """A backend whose logits are the frames themselves; a token is followed by blank."""

    specification = Specification(vocabulary=3, joint=4)

    def initial_state(self, batch: int) -> tuple[State, State]:
        return (), (np.zeros((batch, 1), np.float32),)

    def encode(self, x: Any, state: State, present: Any = None) -> Any:
        raise NotImplementedError

    def predict(self, tokens: NDArray[np.int64], state: State) -> tuple[Floats, State]:
        g = np.zeros((len(tokens), 4), np.float32)
        g[tokens < 3, 3] = 50.0
        return g, state

    def join(self, f: Floats, g: Floats) -> Floats:
        return f + g


def spoken(frames: list[list[float]], trie: KeywordTrie | None, **config: Any) -> list[Token]:
    greedy = Greedy(Spoken(), GreedyConfig(symbols_per_step=1, **config))
    tokens, state = [], greedy.initial_state(2)
    for frame in frames:  # the prediction network's 50 for blank is undone by the frame after
        f = np.array([[frame], [frame]], np.float32)
        state = state._replace(g=np.zeros_like(state.g))
        (more, _), state = greedy.step(f, state, keywords={0: trie} if trie else {})
        tokens += more
    return tokens


PIECES = ["▁a", "b", "c"]
AC = KeywordTrie({" ac": 1.0}, PIECES)


def test_a_keyword_wins_against_a_piece_that_is_a_little_more_probable() -> None:
    frames = [[9.0, 0.0, 0.0, 0.0], [0.0, 5.0, 3.5, 0.0]]
    assert [t.id for t in spoken(frames, None)] == [0, 1]
    tokens = spoken(frames, AC)
    assert [t.id for t in tokens] == [0, 2]
    total = np.log(np.exp([0.0, 5.0, 3.5, 0.0]).sum())
    assert tokens[1].log_probability == pytest.approx(3.5 - total, abs=1e-6)


def test_a_keyword_never_wins_against_blank() -> None:
    frames = [[9.0, 0.0, 0.0, 0.0], [0.0, 0.0, 4.9, 5.0]]
    assert [t.id for t in spoken(frames, KeywordTrie({" ac": 9.0}, PIECES))] == [0]


def test_a_keyword_does_not_win_against_what_is_much_more_probable() -> None:
    frames = [[9.0, 0.0, 0.0, 0.0], [0.0, 5.0, 2.9, 0.0]]
    assert [t.id for t in spoken(frames, KeywordTrie({" ac": 9.0}, PIECES))] == [0, 1]


def test_a_keyword_goes_on_where_it_was_at_the_frame_before() -> None:
    frames = [[0.0, 9.0, 0.0, 0.0], [0.0, 5.0, 3.5, 0.0]]
    assert [t.id for t in spoken(frames, AC)] == [1, 1]  # "bc" begins no keyword


def test_a_keyword_competes_after_the_rules_for_eos() -> None:
    frames = [[9.0, 0.0, 0.0, 0.0], [0.0, 5.0, 3.5, 0.0]]
    ignoring: dict[str, Any] = {"eos": 2, "eos_mode": "ignore"}
    assert [t.id for t in spoken(frames, AC, **ignoring)] == [0, 1]
    weighed: dict[str, Any] = {"eos": 1, "eos_mode": "predict", "eos_alpha": 2.0}
    assert [t.id for t in spoken(frames, AC, **weighed)] == [0, 2]


def assert_same_but_for_rounding(got: list[Token], want: list[Token]) -> None:
    """A row's products are summed as the CPU's BLAS likes it for the rows beside it."""
    assert pairs(got) == pairs(want)
    probabilities = [[token.log_probability for token in tokens] for tokens in (got, want)]
    np.testing.assert_allclose(*probabilities, rtol=0, atol=1e-5)


def test_keywords_of_a_row_change_no_other() -> None:
    greedy = Greedy(talkative())
    pieces = tiny_network(6).vocabulary.pieces
    trie = KeywordTrie({piece.replace("▁", " "): 3.0 for piece in pieces[5:9]}, pieces)
    start = greedy.initial_state(4)
    plain, _ = greedy.step(FRAMES, start)
    boosted, _ = greedy.step(FRAMES, start, keywords={1: trie, 3: trie})
    assert_same_but_for_rounding(boosted[0], plain[0])
    assert_same_but_for_rounding(boosted[2], plain[2])
    assert pairs(boosted[1]) != pairs(plain[1])
    again, _ = greedy.step(FRAMES[1:2], greedy.initial_state(1), keywords={0: trie})
    assert_same_but_for_rounding(again[0], boosted[1])


def test_a_models_specification_says_how_tokens_are_counted() -> None:
    running = NumpyBackend(tiny_network(6, symbol_counter="running"))
    running.__dict__ |= {k: v for k, v in talkative().__dict__.items() if k != "specification"}
    by_frame, counted_on = (
        decode(FRAMES, GreedyConfig(5, counter)) for counter in ("frame", "running")
    )
    assert by_frame != counted_on
    assert decode(FRAMES, GreedyConfig(5)) == by_frame
    assert decode(FRAMES, GreedyConfig(5), running) == counted_on


@pytest.mark.parametrize("cap", [1, 2])
def test_a_models_specification_says_how_many_tokens_a_frame_may_have(cap: int) -> None:
    capped = NumpyBackend(tiny_network(6, symbols_per_step=cap))
    capped.__dict__ |= {k: v for k, v in talkative().__dict__.items() if k != "specification"}
    found = decode(FRAMES, None, capped)
    assert found == decode(FRAMES, GreedyConfig(cap)) != decode(FRAMES)
    assert decode(FRAMES, GreedyConfig(5), capped) == decode(FRAMES, GreedyConfig(5))
