"""Channel decoding: which rows are stepped, what is heard of them, and when speech ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from stream.backends import Backend
from stream.decoding.channels import SILENCE, ChannelDecoder, Speech
from stream.decoding.decoding import Decoding
from stream.decoding.endpoint import EndpointConfig
from stream.decoding.greedy import Token
from stream.decoding.hypothesis import Hypothesis
from stream.decoding.keywords import KeywordTrie
from stream.decoding.overlap import ResetConfig
from stream.vocabulary import Vocabulary
from tests.stream.engine.scrambled import Pieces, ScrambledBackend, letters

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

    def step(
        self,
        f: NDArray[np.float32],
        rows: NDArray[np.int64],
        lengths: NDArray[np.int64] | None = None,
    ) -> list[list[Token]]:
        if not f.shape[1]:
            return [[] for _ in rows]
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

    def partials(self, row: int, waiting: bytes = b"") -> tuple[Hypothesis, ...]:
        tokens = tuple(self.waits.get(row, []))
        return (Hypothesis("x", tokens, 1.0),) if tokens else ()

    def commit(self, row: int) -> list[Token]:
        return self.waits.pop(row, [])


class Scripted(Decoding):
    """Decoding by `Script`."""

    def rows(self, backend: Backend, vocabulary: Vocabulary, count: int) -> tuple[None, Script]:
        return None, Script(count)


def decoder(
    resets: ResetConfig | None = None,
    endpoint: EndpointConfig | None = None,
    vocabulary: Vocabulary | None = None,
) -> tuple[ChannelDecoder, Script]:
    decoding = Scripted(resets=resets, endpoint=endpoint)
    channels = ChannelDecoder(ScrambledBackend(3), vocabulary or letters(1000), decoding, SLOTS)
    for slot in range(SLOTS):
        channels.open(slot)
    rows = cast(Script, channels._rows)
    rows.restarted.clear()
    return channels, rows


def plan(channels: ChannelDecoder, *slots: int) -> tuple[list[int], list[int], list[int]]:
    """Return a plan's rows, their slots, and those that begin."""
    found = channels.step_rows(np.array(slots))
    owners = np.arange(len(slots)) if found.owners is None else found.owners
    return found.rows.tolist(), [slots[owner] for owner in owners], found.fresh.tolist()


def say(channels: ChannelDecoder, slots: list[int], *values: float) -> list[Speech]:
    """Step slots, every row of a slot hearing the same."""
    at = np.array(slots)
    planned = channels.step_rows(at)
    owners = np.arange(len(slots)) if planned.owners is None else planned.owners
    f = np.array([values[owner] for owner in owners], np.float32)[:, None, None]
    return channels.step(at, f, planned)


def finish(channels: ChannelDecoder, slot: int, *values: float) -> Speech:
    f = np.array(values, np.float32).reshape(1, -1, 1)
    (speech,) = channels.finish(np.array([slot]), f, np.array([len(values)]))
    return speech


def row(channels: ChannelDecoder, slot: int) -> int:
    return int(channels.rows(np.array([slot]))[0])


def ids(speech: Speech) -> list[int]:
    return [token.id for token in speech.tokens]


def test_without_resets_each_slot_has_one_row() -> None:
    channels, _ = decoder()
    assert plan(channels, 2, 0) == ([2, 0], [2, 0], [])
    assert channels.row_count == SLOTS
    assert decoder(RESETS)[0].row_count == 2 * SLOTS


def test_what_is_final_is_given_out_and_the_rest_is_provisional() -> None:
    channels, _ = decoder()
    first, second = say(channels, [0, 2], 5.0, -7.0)
    assert (ids(first), first.provisional, first.endpoint) == ([5], (), False)
    assert ids(second) == []
    assert [token.id for token in second.provisional[0].tokens] == [7]
    end = finish(channels, 2, 8.0)
    assert ids(end) == [8, 7]
    assert end.provisional == ()
    assert ids(finish(channels, 0)) == []


def test_a_second_row_begins_in_a_fresh_state_and_takes_over() -> None:
    channels, rows = decoder(RESETS)
    for _ in range(60):
        assert plan(channels, 1) == ([1], [1], [])
        say(channels, [1], 0.0)
    assert plan(channels, 1) == ([1, 4], [1, 1], [4])
    assert rows.restarted == [(4, 60)]
    for _ in range(60, 81):
        assert row(channels, 1) == 1
        say(channels, [1], 0.0)
        assert rows.restarted == [(4, 60)]
    assert row(channels, 1) == 4  # silence: as soon as it was warm
    for _ in range(81, 120):
        assert plan(channels, 1) == ([4], [1], [])
        say(channels, [1], 0.0)
    # One period after the row that is heard now began.
    assert plan(channels, 1) == ([4, 1], [1, 1], [1])


def test_slots_of_which_some_have_a_second_row_share_a_step() -> None:
    channels, _ = decoder(RESETS)
    for _ in range(60):
        say(channels, [0], 0.0)
    slots = np.array([2, 0, 1])
    planned = channels.step_rows(slots)
    assert planned.rows.tolist() == [2, 0, 1, 3]
    assert planned.owners is not None
    assert planned.owners.tolist() == [0, 1, 2, 1]
    f = np.array([4.0, 5.0, 6.0, 9.0], np.float32)[:, None, None]
    assert [ids(speech) for speech in channels.step(slots, f, planned)] == [[4], [5], [6]]


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
            assert row(channels, 0) == SLOTS
            assert speech.provisional == ()
    assert heard == [3, 5, 6, 7]
    assert rows.waits == {}


def test_a_muted_channel_says_all_and_begins_anew_where_the_stream_is() -> None:
    channels, rows = decoder(RESETS)
    say(channels, [0], -5.0)
    assert ids(channels.mute(0)) == [5]
    assert channels.mute(0) is SILENCE
    assert channels.muted.tolist() == [True, False, False]
    channels.resume(0)
    assert not channels.muted.any()
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
    rows.step = lambda *of: [waiting]  # type: ignore[method-assign]
    (speech,) = say(channels, [0], 0.0)
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
    assert plan(channels, 0) == ([0], [0], [])
    assert rows.restarted[-1] == (0, 0)
    assert [say(channels, [0], 0.0)[0].endpoint for _ in range(11)].index(True) == 9


# 1: a word mark and "a"; 2 to 4: the bytes of one character; 5: the first byte of another.
BYTES = Pieces(["", "▁a", *(bytes([byte]) for byte in "東".encode()), b"\xc3"])


def test_the_text_of_a_character_waits_for_its_last_byte_across_steps() -> None:
    channels, _ = decoder(vocabulary=BYTES)
    said = [say(channels, [0], value)[0] for value in (1.0, 2.0, 0.0, 3.0, 4.0)]
    assert [speech.text for speech in said] == [" a", "", "", "", "東"]
    assert [list(speech.texts) for speech in said] == [[" a"], [""], [], [""], ["東"]]


def test_slots_keep_their_bytes_apart() -> None:
    channels, _ = decoder(vocabulary=BYTES)
    for values in ((2.0, 1.0), (3.0, 2.0), (4.0, 1.0)):
        said = say(channels, [0, 1], *values)
    assert [speech.text for speech in said] == ["東", "\ufffd a"]


def test_what_is_provisional_goes_on_from_the_bytes_that_are_final() -> None:
    channels, rows = decoder(vocabulary=BYTES)
    asked: list[bytes] = []
    partials = rows.partials
    rows.partials = lambda row, waiting=b"": asked.append(waiting) or partials(row)  # type: ignore
    say(channels, [0], 2.0)
    say(channels, [0], 3.0)
    say(channels, [0], 4.0)
    assert asked == [b"\xe6", b"\xe6\x9d", b""]


def test_a_character_that_an_end_cuts_short_is_replaced_there() -> None:
    channels, _ = decoder(vocabulary=BYTES)
    say(channels, [0], 2.0)
    speech = finish(channels, 0, 3.0)
    assert (list(speech.texts), speech.rest, speech.text) == ([""], "\ufffd\ufffd", "\ufffd\ufffd")
    channels.open(0)
    assert say(channels, [0], 1.0)[0].text == " a"


def test_a_character_that_an_endpoint_or_a_mute_cuts_short_is_replaced_there() -> None:
    channels, _ = decoder(endpoint=EndpointConfig(silence=0.3), vocabulary=BYTES)
    say(channels, [0], 5.0)
    said = [say(channels, [0], 0.0)[0] for _ in range(10)]
    assert [speech.text for speech in said if speech.endpoint] == ["\ufffd"]
    assert "".join(speech.text for speech in said) == "\ufffd"
    channels, _ = decoder(vocabulary=BYTES)
    say(channels, [0], 5.0)
    assert [channels.mute(0).text for _ in range(3)] == ["\ufffd", "", ""]


def test_a_reset_of_states_within_a_character_leaves_it_whole() -> None:
    channels, _ = decoder(RESETS, vocabulary=BYTES)
    text = ""
    for step in range(200):
        value = {78: 2.0, 85: 3.0, 120: 4.0}.get(step, 0.0)
        text += say(channels, [0], value)[0].text
    assert text == "東"
