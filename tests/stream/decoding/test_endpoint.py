"""Endpointing: each rule, and what restarts with the next segment."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stream.decoding.endpoint import NEVER, EndpointConfig, Endpointer
from stream.encoders.lstm import LSTM
from stream.stage import Integers, Mask
from tests.convolution import Convolution

EOS = 7


def ends(config: EndpointConfig, tokens: dict[int, int], steps: int) -> list[int]:
    """Return the steps that end a segment, of one row."""
    endpointer = Endpointer(config, LSTM())
    state, found = endpointer.initial_state(1), []
    for step in range(steps):
        emitted = after(np.array([step in tokens]))
        eos = np.array([tokens.get(step) == EOS])
        (ended,), state = endpointer.step(emitted, eos, state)
        found += [step] * bool(ended)
    return found


def after(emitted: Mask) -> Integers:
    """Return what `Endpointer.step` takes where a chunk is one frame, which has a token or not."""
    return np.where(emitted, 0, NEVER)


def only(**rules: Any) -> EndpointConfig:
    return EndpointConfig(**{"silence": None, "quiet": None, "length": None, **rules})


def test_silence_counts_from_the_last_token() -> None:
    # 0.6 s are 10 steps: more than ten without a token.
    assert ends(only(silence=0.6), {3: 1, 12: 1}, 60) == [23]


def test_a_row_may_have_a_silence_of_its_own() -> None:
    endpointer = Endpointer(only(silence=0.6), LSTM())
    own = np.array([endpointer.steps(None), endpointer.steps(0.12), endpointer.steps(0.01)])
    state, found = endpointer.initial_state(3), [[], [], []]  # type: ignore[var-annotated]
    for step in range(20):
        ended, state = endpointer.step(
            after(np.full(3, step == 3)), np.zeros(3, np.bool_), state, own
        )
        for row in np.flatnonzero(ended):
            found[row].append(step)
    assert found == [[14], [6], [5]]


def test_silence_before_the_first_token_is_no_endpoint() -> None:
    assert ends(only(silence=0.6), {}, 60) == []


def test_after_an_endpoint_silence_wants_a_token_again() -> None:
    assert ends(only(silence=0.6), {0: 1, 30: 1}, 60) == [11, 41]


def test_nothing_said_ends_a_segment_again_and_again() -> None:
    assert ends(only(quiet=0.6), {}, 30) == [9, 19, 29]
    assert ends(only(quiet=0.6), {5: 1}, 30) == []


def test_a_segment_has_a_greatest_length() -> None:
    assert ends(only(length=0.6), {step: 1 for step in range(30)}, 30) == [9, 19, 29]


def test_the_eos_token_ends_a_segment_where_the_model_has_one() -> None:
    assert ends(only(eos=EOS), {4: 1, 9: EOS, 10: EOS}, 30) == [9, 10]
    assert ends(only(), {9: EOS}, 30) == []


def test_in_a_long_chunk_silence_counts_from_the_frame_of_the_last_token() -> None:
    encoder = Convolution(chunk_ms=1000)  # 25 frames of 40 ms
    endpointer = Endpointer(only(silence=0.6), encoder)  # more than 15 frames
    for frame, wanted in ((8, True), (9, False)):
        behind = np.array([24 - frame])
        (ended,), state = endpointer.step(behind, np.array([False]), endpointer.initial_state(1))
        assert ended == wanted
        assert wanted or endpointer.step(np.array([NEVER]), np.array([False]), state)[0].all()


def test_rows_are_independent() -> None:
    endpointer = Endpointer(EndpointConfig(silence=0.6, quiet=0.9, length=1.2), LSTM())
    rng = np.random.default_rng(0)
    emitted = rng.random((200, 5)) < 0.05
    eos = np.zeros((200, 5), np.bool_)
    state = endpointer.initial_state(5)
    together = []
    for step in range(200):
        ended, state = endpointer.step(after(emitted[step]), eos[step], state)
        together.append(ended)
    for row in range(5):
        one = endpointer.initial_state(1)
        for step in range(200):
            ended, one = endpointer.step(after(emitted[step, [row]]), eos[step, [row]], one)
            assert ended[0] == together[step][row]
    assert np.any(together)


@pytest.mark.parametrize("field", ["silence", "quiet", "length"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_time_that_is_none_is_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{field} is {value}"):
        only(**{field: value})
