"""Channel decoding: which rows are stepped, what is heard of them, and when speech ends."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stream.decoding.channels import ChannelDecoder, Speech
from stream.decoding.endpoint import EndpointConfig
from stream.decoding.greedy import Token
from stream.decoding.hypothesis import Hypothesis
from stream.decoding.keywords import KeywordTrie
from stream.decoding.splice import ResetConfig

RESETS = ResetConfig(segment=100, overlap=40)
SLOTS = 3


class Script:
    """Decoder rows that emit f[0] as a token where it is not 0; one token may be provisional."""

    def __init__(self, rows: int) -> None:
        self.now = [0] * rows
        self.restarted: list[tuple[int, int]] = []
        self.waits: dict[int, list[Token]] = {}

    def restart(self, row: int, step: int = 0, keywords: KeywordTrie | None = None) -> None:
        self.now[row] = step
        self.restarted.append((row, step))
        self.waits.pop(row, None)

    def step(self, f: NDArray[np.float32], rows: NDArray[np.int64]) -> list[list[Token]]:
        found = []
        for x, row in zip(f[:, 0, 0], rows.tolist(), strict=True):
            token = Token(abs(int(x)), self.now[row], -0.5)
            self.now[row] += 1
            if x < 0:
                self.waits.setdefault(row, []).append(token)
            found.append([token] if x > 0 else [])
        return found

    def best(self, row: int) -> Sequence[Token]:
        return self.waits.get(row, [])

    def partials(self, row: int) -> tuple[Hypothesis, ...]:
        tokens = tuple(self.waits.get(row, []))
        return (Hypothesis("x", tokens, 1.0),) if tokens else ()

    def commit(self, row: int) -> list[Token]:
        return self.waits.pop(row, [])


def decoder(
    resets: ResetConfig | None = None, endpoint: EndpointConfig | None = None
) -> tuple[ChannelDecoder, Script]:
    rows = Script(ChannelDecoder.row_count(SLOTS, resets))
    channels = ChannelDecoder(rows, SLOTS, resets, endpoint)
    for slot in range(SLOTS):
        channels.open(slot)
    rows.restarted.clear()
    return channels, rows


def say(channels: ChannelDecoder, slots: list[int], *values: float) -> list[Speech]:
    """Step slots, every row of a slot hearing the same."""
    plan = channels.plan(slots)
    f = np.array([values[owner] for owner in plan.owners], np.float32)[:, None, None]
    return channels.step(slots, f, plan)


def ids(speech: Speech) -> list[int]:
    return [token.id for token in speech.tokens]


def test_without_resets_each_slot_has_one_row() -> None:
    channels, _ = decoder()
    plan = channels.plan([2, 0])
    assert (plan.rows.tolist(), plan.owners.tolist(), plan.fresh) == ([2, 0], [0, 1], [])
    assert ChannelDecoder.row_count(SLOTS, None) == SLOTS


def test_what_is_final_is_given_out_and_the_rest_is_provisional() -> None:
    channels, _ = decoder()
    first, second = say(channels, [0, 2], 5.0, -7.0)
    assert (ids(first), first.provisional, first.endpoint) == ([5], (), False)
    assert ids(second) == []
    assert [token.id for token in second.provisional[0].tokens] == [7]
    end = channels.finish(2, np.array([[[8.0]]], np.float32))
    assert ids(end) == [8, 7]
    assert end.provisional == ()
    assert ids(channels.finish(0, np.zeros((1, 0, 1), np.float32))) == []


def test_a_second_row_begins_in_a_fresh_state_and_takes_over() -> None:
    channels, rows = decoder(RESETS)
    for _step in range(60):
        plan = channels.plan([1])
        assert plan.rows.tolist() == [1]
        channels.step([1], np.zeros((1, 1, 1), np.float32), plan)
    plan = channels.plan([1])
    assert (plan.rows.tolist(), plan.owners.tolist(), plan.fresh) == ([1, 4], [0, 0], [4])
    assert rows.restarted == [(4, 60)]
    channels.step([1], np.zeros((2, 1, 1), np.float32), plan)
    for _step in range(61, 81):
        assert channels.row(1) == 1
        assert channels.plan([1]).fresh == []
        say(channels, [1], 0.0)
    assert channels.row(1) == 4  # silence: as soon as it was warm
    for _step in range(81, 120):
        assert channels.plan([1]).rows.tolist() == [4]
        say(channels, [1], 0.0)
    plan = channels.plan([1])  # one period after the row that is heard now began
    assert (plan.rows.tolist(), plan.fresh) == ([4, 1], [1])


def test_slots_of_which_some_have_a_second_row_share_a_step() -> None:
    channels, _ = decoder(RESETS)
    for _ in range(60):
        say(channels, [0], 0.0)
    plan = channels.plan([2, 0, 1])
    assert plan.rows.tolist() == [2, 0, 1, 3]
    assert plan.owners.tolist() == [0, 1, 2, 1]
    spoken = channels.step(
        [2, 0, 1], np.array([[[4.0]], [[5.0]], [[6.0]], [[9.0]]], np.float32), plan
    )
    assert [ids(speech) for speech in spoken] == [[4], [5], [6]]


def test_a_long_stream_loses_and_repeats_nothing() -> None:
    channels, _ = decoder(RESETS)
    rng = np.random.default_rng(0)
    said, heard = [], []
    for _ in range(500):
        value = float(rng.integers(1, 50)) if rng.random() < 0.3 else 0.0
        said += [int(value)] * (value > 0)
        heard += ids(say(channels, [0], value)[0])
    assert heard == said


def test_provisional_tokens_become_final_at_a_take_over_once() -> None:
    channels, rows = decoder(RESETS)
    heard = []
    for step in range(100):
        value = {78: 3.0, 84: -5.0, 85: -6.0, 87: -7.0}.get(step, 0.0)
        (speech,) = say(channels, [0], value)
        heard += ids(speech)
        if step == 87:
            # Both rows have the same three tokens, so the second takes over; all is committed.
            assert channels.row(0) == SLOTS
            assert speech.provisional == ()
    assert heard == [3, 5, 6, 7]
    assert rows.waits == {}


def test_a_muted_channel_says_all_and_begins_anew_where_the_stream_is() -> None:
    channels, rows = decoder(RESETS)
    say(channels, [0], -5.0)
    assert ids(channels.mute(0)) == [5]
    assert channels.mute(0) == Speech([])
    assert channels.muted(0)
    assert channels.resume(0)
    assert not channels.resume(0)
    assert rows.restarted == [(0, 3)]
    (speech,) = say(channels, [0], 6.0)
    assert speech.tokens[0].step == 3


def test_an_endpoint_commits_what_waits() -> None:
    channels, _ = decoder(endpoint=EndpointConfig(silence=0.3, length=None))
    say(channels, [1], -5.0)
    for _ in range(5):
        (speech,) = say(channels, [1], 0.0)
        assert not speech.endpoint
        assert speech.provisional
    (speech,) = say(channels, [1], 0.0)
    assert speech.endpoint
    assert ids(speech) == [5]
    assert speech.provisional == ()
    assert not any(say(channels, [1], 0.0)[0].endpoint for _ in range(30))


def test_silence_goes_on_while_a_channel_is_muted() -> None:
    channels, _ = decoder(endpoint=EndpointConfig(silence=0.3, length=None))
    say(channels, [1], 5.0)
    assert [channels.mute(1).endpoint for _ in range(8)] == [False] * 5 + [True, False, False]


def test_a_provisional_token_that_turns_final_is_not_new_speech() -> None:
    channels, rows = decoder(endpoint=EndpointConfig(silence=0.3, length=None))
    say(channels, [0], -5.0)
    for _ in range(5):
        say(channels, [0], 0.0)
    waiting = rows.waits.pop(0)
    plan = channels.plan([0])
    rows.step = lambda f, at: [waiting]  # type: ignore[method-assign]
    (speech,) = channels.step([0], np.zeros((1, 1, 1), np.float32), plan)
    assert ids(speech) == [5]
    assert speech.endpoint


def test_the_eos_token_is_an_endpoint_where_it_is_told_to_be() -> None:
    for eos, ends in ((9, True), (None, False)):
        channels, _ = decoder(endpoint=EndpointConfig(silence=None, length=None, eos=eos))
        assert not say(channels, [0], 5.0)[0].endpoint
        assert say(channels, [0], 9.0)[0].endpoint == ends


def test_a_slot_that_opens_again_has_forgotten_the_stream_before() -> None:
    channels, rows = decoder(RESETS, EndpointConfig(silence=None, quiet=0.6, length=None))
    for _ in range(70):
        say(channels, [0], 1.0)
    channels.open(0)
    plan = channels.plan([0])
    assert plan.fresh == []
    assert len(plan.rows) == 1
    assert rows.restarted[-1] == (0, 0)
    assert [say(channels, [0], 0.0)[0].endpoint for _ in range(11)].index(True) == 9
