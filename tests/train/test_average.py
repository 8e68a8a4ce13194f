"""Checkpoints averaged: the mean of what they validate with, of one model only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from stream.model.network import open_model
from tests.train.tones import command
from train import __main__ as training
from train import average, checkpoint


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    run = folder / "runs" / "kept"
    settings = "updates=8", "validate_every=2", "checkpoint_every=3", "resumable=1", "keep=true"
    assert training.main(command(folder, run, *settings, "milestones=[3]")) == 0
    return run


def averaged_of(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = checkpoint.load(path)["averaged"]
    return state


def assert_mean(got: Path, files: list[Path]) -> None:
    states = [averaged_of(path) for path in files]
    for name, value in averaged_of(got).items():
        want = torch.stack([state[name].double() for state in states]).mean(0).float()
        assert torch.equal(value, want), name
        assert value.dtype == states[0][name].dtype


def test_the_last_ones_are_one_for_each_update_wherever_they_are_kept(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "averaged.pt"
    assert average.main([str(run), "--last", "4", "--output", str(output)]) == 0
    said = capsys.readouterr()
    assert said.out == f"{output}\n"
    files = [run / "milestones" / "update-000003.pt"]
    files += [run / f"update-00000{n}.pt" for n in (4, 6, 8)]
    assert said.err.split() == [str(path) for path in files]
    assert_mean(output, files)
    notes = checkpoint.load(output)["notes"]
    assert notes["training"]["averaged"] == [3, 4, 6, 8]
    assert notes["training"]["updates"] == 8
    assert notes["wer"] == {}


def test_the_best_ones_are_those_of_the_lowest_wer_and_of_equal_ones_the_latest(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / f"update-00000{n}.pt" for n in (2, 4, 6)]
    for path, wer in zip(files, (0.5, 0.9, 0.5), strict=True):
        content = checkpoint.load(run / path.name)
        content["notes"]["wer"]["dev"]["all"] = wer
        checkpoint.save(content, path)
    output = tmp_path / "best.pt"
    for count, chosen in ((1, [files[2]]), (2, [files[0], files[2]])):
        assert average.main([str(tmp_path), "--best", str(count), "--output", str(output)]) == 0
        assert capsys.readouterr().err.split() == [str(path) for path in chosen]
        assert_mean(output, chosen)


def test_the_average_is_a_model_whose_normalisations_are_folded_after_it(
    run: Path, tmp_path: Path
) -> None:
    output = tmp_path / "averaged.pt"
    files = [tmp_path / "wide.pt", run / "update-000008.pt"]
    wide = checkpoint.load(run / "update-000002.pt")
    wide["averaged"]["post.0.norm.variance"] *= 4.0
    checkpoint.save(wide, files[0])
    assert average.main([*map(str, files), "--output", str(output)]) == 0
    state, array = averaged_of(output), "encoder.post.0.weight_ih"
    scale = torch.rsqrt(state["post.0.norm.variance"].double() + 1e-5)
    want = (state["post.0.lstm.weight_ih"].double() * scale).float().numpy()
    np.testing.assert_allclose(open_model(output).arrays[array], want, rtol=1e-6)
    folded = np.mean([open_model(path).arrays[array] for path in files], axis=0)
    assert np.abs(folded - want).max() > 1e-3  # the mean of folded weights is another


def test_another_run_starts_from_an_average(folder: Path, run: Path, tmp_path: Path) -> None:
    output = tmp_path / "averaged.pt"
    assert average.main([str(run), "--last", "2", "--output", str(output)]) == 0
    start = [*command(folder, tmp_path / "next", "updates=1"), "--init-from", str(output)]
    assert training.main(start) == 0


def test_checkpoints_of_other_models_are_refused(
    folder: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, soft = tmp_path / "other.pt", tmp_path / "soft.pt"
    content = checkpoint.load(run / "best.pt")
    checkpoint.save({**content, "mean": [0.0] * 80}, other)
    specification = {**content["specification"], "activation": "soft"}
    checkpoint.save({**content, "specification": specification}, soft)
    for path, word in ((other, "mean"), (soft, "specification")):
        files = [str(path), str(run / "best.pt")]
        assert average.main([*files, "--output", str(tmp_path / "x.pt")]) == 3
        said = capsys.readouterr().err
        assert f"{path}: is of another model than {run / 'best.pt'}: its {word} differ" in said
    assert not (tmp_path / "x.pt").exists()


def test_too_few_are_refused_with_what_keeps_more(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for option in ("--last", "--best"):
        assert average.main([str(run), option, "9", "--output", str(tmp_path / "x.pt")]) == 3
        assert "such checkpoints, not 9. A run keeps more with keep = true" in (
            capsys.readouterr().err
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a"], "name --last N or --best N of a run, or the checkpoints themselves"),
        (["a", "b", "--last", "2"], "choose in the folder of one run"),
        (["a", "--best", "0"], "is 0; want 1 or more"),
        (["a", "--last", "1", "--best", "1"], "not allowed with"),
    ],
)
def test_a_wrong_command_line_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        average.main([*arguments, "--output", "averaged.pt"])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
