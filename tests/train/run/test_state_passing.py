"""Rows that go on from others are one utterance with them, and a resumed run passes the same states."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from stream.stage import map_state
from tests.tiny import tiny_network
from tests.train.compute.torchrun import torchrun
from tests.train.tones import command, prepared
from train import __main__, checkpoint
from train.model import Transducer
from train.run.inputs import Inputs
from train.run.state_passing import Passed, beginning, states_after


def model() -> Transducer:
    return Transducer.from_network(tiny_network(2))


def inputs() -> Inputs:
    x = torch.randn(3, 12, 240, generator=torch.Generator().manual_seed(0))
    tokens = torch.tensor([[3, 4, 5, 6], [7, 8, 0, 0], [0, 0, 0, 0]])
    return Inputs(x, torch.tensor([12, 6, 0]), tokens, torch.tensor([4, 2, 0]))


def assert_equal(got: Any, want: Any, rows: slice = slice(None)) -> None:
    map_state(lambda a, b: torch.testing.assert_close(a[rows], b[rows]), got, want)


def test_rows_end_where_each_would_end_alone() -> None:
    own, given = model(), inputs()
    after = states_after(own, given, None)
    for row, (frames, count) in enumerate(zip((12, 6, 0), (4, 2, 0), strict=True)):
        encoder, prediction = own.initial_state(1)
        start = torch.tensor([[own.specification.blank]])
        _, encoder = own.encode(given.x[row : row + 1, :frames], encoder)
        read = torch.cat([start, given.tokens[row : row + 1, :count]], dim=1)
        _, prediction = own.predict(read[:, :count], prediction)
        one = slice(row, row + 1)
        map_state(
            lambda a, b, one=one: torch.testing.assert_close(a[one], b), after.encoder, encoder
        )
        map_state(
            lambda a, b, one=one: torch.testing.assert_close(a[one], b),
            after.prediction,
            prediction,
        )
        assert after.token[row] == read[0, count]


def test_a_row_that_goes_on_is_the_rest_of_one_utterance() -> None:
    own, given = model(), inputs()
    whole, _, _ = own(given.x[:1], given.lengths[:1], given.tokens[:1])
    first = Inputs(given.x[:1, :8], torch.tensor([8]), given.tokens[:1, :3], torch.tensor([3]))
    passed = states_after(own, first, None)
    f, _ = own.encode_rows(given.x[:1, 8:], torch.tensor([4]), passed.encoder)
    torch.testing.assert_close(f, whole[:, 4:])
    g = own.predict_prefixes(given.tokens[:1, 3:], passed.token, passed.prediction)
    torch.testing.assert_close(g, own.predict_prefixes(given.tokens[:1])[:, 3:])


def test_rows_without_tokens_hand_on_what_they_began_with() -> None:
    own, given = model(), inputs()
    before = states_after(own, given, None)
    silent = Inputs(given.x, given.lengths, given.tokens, torch.zeros(3, dtype=torch.int64))
    after = states_after(own, silent, before)
    assert torch.equal(after.token, before.token)
    assert_equal(after.prediction, before.prediction)


def test_more_rows_than_before_begin_as_a_stream_does_and_fewer_are_taken() -> None:
    own, given = model(), inputs()
    passed = states_after(own, given, None)
    more = beginning(own, 5, passed)
    fresh = beginning(own, 5, None)
    assert more.token.tolist() == [*passed.token.tolist(), *fresh.token.tolist()[3:]]
    assert_equal(more.encoder, fresh.encoder, slice(3, None))
    map_state(lambda a, b: torch.testing.assert_close(a[:3], b), more.encoder, passed.encoder)
    fewer = beginning(own, 1, passed)
    map_state(lambda a, b: torch.testing.assert_close(a, b[:1]), fewer.encoder, passed.encoder)


def test_states_are_computed_without_dropout_and_leave_the_model_training() -> None:
    own = model().train()
    for norm in (True, False):
        own.train(norm)
        one, other = (states_after(own, inputs(), None) for _ in range(2))
        assert_equal(one.encoder, other.encoder)
        assert own.training is norm


PASSING = "state_passing.chains=[0, 0, 1]", "state_passing.delay=1", "checkpoint_every=4"


def test_a_run_passes_states_from_update_to_update(folder: Path) -> None:
    run = prepared(folder, folder / "unwritten", *PASSING)
    own, seen = run.learner, []

    def loss(*given: Any) -> Any:
        seen.append(given[-1])
        return forward(*given)

    forward, own.objective.forward = own.objective.forward, loss
    for number, rows in enumerate((2, 3, 1, 2, 3, 2)):
        batch = run.material.batches.batch(number)
        fields = ("audio", "samples", "tokens", "token_lengths")
        own.learn([replace(batch, **{name: getattr(batch, name)[:rows] for name in fields})])
    assert [isinstance(before, Passed) for before in seen] == [
        False,
        True,
        True,
        False,
        False,
        True,
    ]


def test_a_resumed_run_passes_the_same_states(folder: Path, tmp_path: Path) -> None:
    for name, ends in (("whole", [7]), ("halves", [4, 7])):
        for end in ends:
            run = command(folder, tmp_path / name, *PASSING, f"updates={end}")
            assert __main__.main([*run, "--change"]) == 0
    whole, halves = (checkpoint.load(tmp_path / name / "last.pt") for name in ("whole", "halves"))
    plain = command(folder, tmp_path / "plain", "updates=7", "checkpoint_every=4")
    assert __main__.main(plain) == 0
    without = checkpoint.load(tmp_path / "plain" / "last.pt")
    for name, value in whole["averaged"].items():
        assert torch.equal(value, halves["averaged"][name]), name
    differ = [n for n, v in whole["averaged"].items() if not torch.equal(v, without["averaged"][n])]
    assert differ


def test_states_that_are_not_finite_are_not_passed_on(folder: Path) -> None:
    passing = prepared(folder, folder / "unwritten", *PASSING).learner._passing
    own = model()
    states = states_after(own, inputs(), None)
    passing.keep(1, 0, lambda: states)
    before = passing.before(2, 0, own, 3)
    assert before is not None and torch.equal(before.token, states.token)
    assert passing.before(2, 0, own, 3) is None  # they are handed on once
    broken = states._replace(encoder=map_state(lambda leaf: leaf * torch.nan, states.encoder))
    passing.keep(1, 0, lambda: broken)
    assert passing.before(2, 0, own, 3) is None


@pytest.mark.slow
def test_two_processes_pass_states_freeze_and_end_as_one_that_accumulates(
    folder: Path, tmp_path: Path
) -> None:
    settings = (
        *PASSING,
        "updates=6",
        "validate_every=3",
        "patience=9",
        "milestones=[3]",
        "optimiser.kind=adamw",
        "optimiser.freeze_until={ encoder = 3 }",
        "optimiser.factors={ prediction = 0.5 }",
        "batches.join=0.0",
    )
    one = command(folder, tmp_path / "one", *settings, "batches.accumulate=2")
    assert __main__.main(one) == 0
    script = tmp_path / "two.py"
    script.write_text("from train import __main__\nraise SystemExit(__main__.main())\n")
    done = torchrun(script, command(folder, tmp_path / "two", *settings))
    assert done.returncode == 0, done.stderr
    alone, both = (checkpoint.load(tmp_path / name / "last.pt") for name in ("one", "two"))
    assert alone["wers"] == both["wers"] and len(both["wers"]) == 2
    for name, value in alone["averaged"].items():
        torch.testing.assert_close(both["averaged"][name], value, rtol=1e-4, atol=1e-5)
    assert (tmp_path / "two" / "milestones" / "update-000003.pt").exists()
