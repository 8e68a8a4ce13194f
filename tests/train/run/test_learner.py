"""A learner does what the configuration of its optimiser says, and goes on so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tests.train.tones import command, prepared
from train import __main__, checkpoint
from train.config.run import ConfigError
from train.data.rows import Batch
from train.optimiser.weights import named_weights
from train.run.learner import Learner


def learner(folder: Path, *settings: str) -> Learner:
    return prepared(folder, folder / "unwritten", *settings).learner


def learned(own: Learner, updates: int, batches: Any) -> list[dict[str, Any]]:
    """Learn, and return the weights before and after each update."""
    states = [{n: w.detach().clone() for n, w in named_weights(own.objective).items()}]
    for _ in range(updates):
        own.learn([batches(own.update)])
        states.append({n: w.detach().clone() for n, w in named_weights(own.objective).items()})
    return states


def moved(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    return {n.split(".")[0] for n in before if not torch.equal(before[n], after[n])}


def test_frozen_parts_stay_until_they_are_released(folder: Path) -> None:
    run = prepared(
        folder,
        folder / "unwritten",
        'optimiser.freeze=["prediction"]',
        "optimiser.freeze_until={ encoder = 3 }",
    )
    statistics = {n: v.clone() for n, v in run.learner.model.state_dict().items() if "norm" in n}
    first, _, second, third = learned(run.learner, 3, run.material.batches.batch)
    assert moved(first, second) == {"joint", "ctc", "bag"}
    assert moved(second, third) == {"encoder", "joint", "ctc", "bag"}
    now = run.learner.model.state_dict()
    assert any(not torch.equal(now[name], value) for name, value in statistics.items())


def test_a_factor_is_of_the_step_that_a_part_makes(folder: Path) -> None:
    plain = "optimiser.weight_decay=0.0", "optimiser.min_rate=1e-9"
    steps = []
    for settings in (plain, (*plain, "optimiser.factors={ prediction = 0.25 }")):
        run = prepared(folder, folder / "unwritten", *settings)
        before, after = learned(run.learner, 1, run.material.batches.batch)
        steps.append({name: after[name] - before[name] for name in before})
    for name, step in steps[0].items():
        factor = 0.25 if name.startswith("prediction.") else 1.0
        torch.testing.assert_close(steps[1][name], factor * step, rtol=1e-3, atol=1e-7)


def test_adamw_has_no_trust_ratio(folder: Path) -> None:
    assert learner(folder).optimiser.trust_ratio
    assert not learner(folder, "optimiser.kind=adamw").optimiser.trust_ratio


@pytest.mark.parametrize("settings", [(), ("normalisation.stream_share=0.25",)], ids=str)
def test_processes_that_draw_batches_compute_the_frames_that_are_learned(
    folder: Path, settings: tuple[str, ...]
) -> None:
    own, drawing = (
        learner(folder, f"data.workers={workers}", "statistics_jitter=0.3", *settings)
        for workers in (0, 2)
    )
    for [batch], [framed] in zip(own.drawn(3), drawing.drawn(3), strict=True):
        assert batch.frames is None and framed.frames is not None
        assert framed.audio.size == 0 and (framed.samples == batch.samples).all()
        assert own.learn([batch]) == drawing.learn([framed])
    weights = (named_weights(each.objective).values() for each in (own, drawing))
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


def test_a_part_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="optimiser.factors: the model has no decoder"):
        learner(folder, "optimiser.factors={ decoder = 0.1 }")


def test_a_run_goes_on_with_other_factors_and_another_decay(folder: Path, tmp_path: Path) -> None:
    settings = "updates=7", "optimiser.joint_factor=0.5"
    assert __main__.main(command(folder, tmp_path, *settings)) == 0
    before = checkpoint.load(tmp_path / "last.pt")["optimiser"]
    assert [len(group["params"]) for group in before["param_groups"]][1] == 2
    other = "optimiser.factors={ encoder = 0.1, joint = 0.2 }", "optimiser.weight_decay=0.125"
    assert __main__.main([*command(folder, tmp_path, "updates=8", *other), "--change"]) == 0
    after = checkpoint.load(tmp_path / "last.pt")["optimiser"]
    assert [group["factor"] for group in after["param_groups"]] == [0.1, 1.0, 0.2, 0.2]
    assert {group["weight_decay"] for group in after["param_groups"]} == {0.125}
    assert {moments["step"] for moments in after["state"].values()} == {8}


def test_penalties_and_normalisation_follow_the_run(folder: Path) -> None:
    settings = (
        "loss.delay_penalty={ schedule = 'linear', first = 0.0, last = 0.4, ramp = 4 }",
        "normalisation.stream_share=0.0",
        "normalisation.delay=1",
        "normalisation.ramp=2",
        "statistics_jitter=0.0",
    )
    run = prepared(folder, folder / "unwritten", *settings)
    own, seen = run.learner, []

    def loss(x: Any, *rest: Any) -> Any:
        seen.append((x, own.objective.penalties.delay))
        return forward(x, *rest)

    forward, own.objective.forward = own.objective.forward, loss
    for _ in range(3):
        own.learn([run.material.batches.batch(own.update)])
    assert own.scheduled() == {"delay_penalty": seen[-1][1], "stream_share": 1.0}
    assert learner(folder).scheduled() == {}
    assert [delay for _, delay in seen] == [pytest.approx(0.1 * n) for n in (1, 2, 3)]
    plain = prepared(folder, folder / "unwritten", "statistics_jitter=0.0")
    batches, model = plain.material.batches, plain.learner.model
    for number, share in ((0, 0.0), (1, 0.5), (2, 1.0)):
        torch.manual_seed(0)
        want = plain.learner._frames.of(batches.batch(number), model.front_end, share)
        assert torch.equal(seen[number][0], want.x)
        by_stream = plain.learner._frames.of(batches.batch(number), model.front_end)
        assert torch.equal(by_stream.x, want.x) == (share == 1.0)


def test_a_schedule_that_the_run_does_not_reach_is_said(folder: Path) -> None:
    assert list(learner(folder).remarks()) == []
    late = learner(folder, "normalisation.stream_share=0.5", "milestones=[7, 30]")
    first, second = late.remarks()
    assert "ends at update 25, before its rows are normalised as streams are, at 7605" in first
    assert second == "milestones: the run ends at update 25, before 30"


def first_rows(batch: Batch, count: int) -> Batch:
    arrays = {k: getattr(batch, k)[:count] for k in ("audio", "samples", "tokens", "token_lengths")}
    return replace(batch, **arrays)


def test_the_parts_of_an_update_count_by_their_utterances(folder: Path) -> None:
    """Statistics are frozen and nothing is dropped, so gradients of parts add up exactly."""
    settings = "freeze_norms_from=1", "batches.join=0.0", "batches.short_seconds=1.0"
    dropout = [f"dropout.{kind}=0.0" for kind in ("encoder", "recurrent", "prediction", "joint")]

    def gradients(*numbers: int) -> tuple[list[int], Any, dict[str, Any]]:
        run = prepared(folder, folder / "unwritten", *settings, *dropout)
        parts = [first_rows(run.material.batches.batch(number), number) for number in numbers]
        learned = run.learner.learn(parts)
        weights = named_weights(run.learner.objective)
        found = {name: weight.grad.clone() for name, weight in weights.items()}
        return [len(part.samples) for part in parts], learned, found

    (few,), one, of_few = gradients(1)
    (many,), other, of_many = gradients(3)
    rows, both, of_both = gradients(1, 3)
    assert rows == [few, many] == [1, 3]
    share = few / (few + many)
    want = share * one.losses.total + (1 - share) * other.losses.total
    assert both.losses.total == pytest.approx(want, rel=1e-6)
    assert both.seconds == pytest.approx(one.seconds + other.seconds)
    assert (both.utterances, both.tokens) == (few + many, one.tokens + other.tokens)
    for name, gradient in of_both.items():
        expected = share * of_few[name] + (1 - share) * of_many[name]
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5)
