"""A run in a folder: killed and resumed to the bit, refused where it cannot be right, never surprised."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from stream.audio import read_audio
from stream.causality import CausalityError
from stream.error_rate import word_error_rate
from stream.integer.network import to_integers
from stream.manifest import read_manifest
from stream.model import directory
from stream.model.network import Network, open_model
from stream.recogniser import Recogniser
from stream.validation import validate
from tests.conftest import REPOSITORY
from tests.tiny import PIECES, tiny_tokenizer
from tests.train.loggers.fakes import Fake
from tests.train.tones import UPDATES, command, metrics, prepared
from train import __main__, checkpoint, loop
from train.config.file import load_config
from train.config.run import ConfigError
from train.data.batches import Batches
from train.encoders.lstm_layer import product_dtype
from train.evaluation import tokens_of_all, training_tokens
from train.loop import DivergedError
from train.model import Transducer
from train.optimiser.lamb import Lamb
from train.run import beginning
from train.run.material import material_of
from train.validation import scoring
from train.validation.scoring import Score

# Dies as if by a power cut, with the checkpoint of an update written but not yet in its place.
KILLED = """
import os, signal, sys
from pathlib import Path
from train import __main__

replace = Path.replace
saves = []

def dying(self, target):
    saves.append(Path(target).name == "last.pt")
    if sum(saves) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)

Path.replace = dying
__main__.main(sys.argv[1:])
"""


def test_transcripts_that_cannot_be_spelt_are_refused_normalised_or_allowed(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loud = folder / "loud.jsonl"
    lines = map(json.loads, (folder / "train.jsonl").read_text().splitlines())
    loud.write_text("\n".join(json.dumps({**line, "text": line["text"].upper()}) for line in lines))
    settings = f'data.train=["{loud}"]', "updates=1"
    assert __main__.main(command(folder, tmp_path / "run", *settings)) == 3
    said = capsys.readouterr().err
    assert "loud.jsonl: line 1: the tokenizer cannot spell 12 of 12 transcripts" in said
    assert "--set data.text=lowercase" in said and "--set data.unknown=allow" in said
    assert not (tmp_path / "run").exists()
    config = load_config(folder / "run.toml", [*settings, "data.text=lowercase"])
    material = material_of(config, beginning.start_of(config, None))
    plain = prepared(folder, tmp_path / "plain").material.batches.clips
    assert material.batches.clips.tokens == plain.tokens
    config = load_config(folder / "run.toml", [*settings, "data.unknown=allow"])
    capsys.readouterr()
    material = material_of(config, beginning.start_of(config, None))
    assert "cannot spell 12 of 12" in capsys.readouterr().err
    assert all(0 in tokens for tokens in material.batches.clips.tokens)


@pytest.fixture(scope="module")
def finished(folder: Path) -> Path:
    """The folder of a run that nothing interrupted."""
    run = folder / "runs" / "whole"
    assert __main__.main(command(folder, run)) == 0
    return run


def assert_equal_content(got: Any, want: Any, where: str = "") -> None:
    """Compare nested content to the bit, the name of the run aside."""
    assert type(got) is type(want), where
    if isinstance(want, dict):
        assert got.keys() == want.keys(), where
        for key in want.keys() - {"run"}:
            assert_equal_content(got[key], want[key], f"{where}/{key}")
    elif isinstance(want, (list, tuple)):
        assert len(got) == len(want), where
        for n, (a, b) in enumerate(zip(got, want, strict=True)):
            assert_equal_content(a, b, f"{where}/{n}")
    elif isinstance(want, torch.Tensor):
        assert torch.equal(got, want), where
    else:
        assert got == want, where


def assert_equal_runs(got: Path, want: Path) -> None:
    for name in ("last.pt", "best.pt"):
        assert_equal_content(checkpoint.load(got / name), checkpoint.load(want / name), name)
    assert metrics(got) == metrics(want)


def in_a_process(program: list[str], arguments: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        [sys.executable, *program, *arguments], env=environment, capture_output=True, text=True
    )


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_killed_while_it_saves_and_resumed_equals_an_uninterrupted_one(
    folder: Path, finished: Path, tmp_path: Path, precision: str
) -> None:
    setting, whole = f"precision={precision}", finished
    if precision == "bfloat16":
        with torch.autocast("cpu", torch.bfloat16):
            if product_dtype(torch.zeros(1)) != torch.bfloat16:
                pytest.skip("this CPU has no bfloat16 products")
        whole = tmp_path / "whole"
        assert __main__.main(command(folder, whole, setting)) == 0
        weights = [checkpoint.load(of / "last.pt")["averaged"] for of in (whole, finished)]
        assert not torch.equal(*(state["output.weight"] for state in weights))
    run = tmp_path / "killed"
    killed = in_a_process(["-c", KILLED], command(folder, run, setting))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert checkpoint.load(run / "last.pt")["update"] == 14
    assert (run / "last.pt.partial").exists()
    assert [line["update"] for line in metrics(run)] == [9, 10, 18, 20]
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"schema":"rill.metrics/1","upd')  # a line that the kill cut short

    resumed = in_a_process(["-m", "train"], command(folder, run, setting))
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout == f"{run}/best.pt\n"
    assert_equal_runs(run, whole)
    assert not (run / "last.pt.partial").exists()


def test_a_finished_run_holds_what_it_says(folder: Path, finished: Path) -> None:
    lines = metrics(finished)
    assert [line["update"] for line in lines] == [9, 10, 18, 20, UPDATES]
    for line in lines:
        assert line["schema"] == "rill.metrics/1"
        if "wer" in line:
            assert line["wer"]["hard"].keys() == {"all", "tones"}
        else:
            assert line["loss"] > 0 and line["transducer"] > 0 and line["gradient_norm"] > 0
    network = open_model(finished / "best.pt")
    assert network.specification.vocabulary == PIECES
    assert network.tokenizer == tiny_tokenizer()
    assert network.notes["license"] == "CC0-1.0"
    best = min(line["wer"]["hard"]["all"] for line in lines if "wer" in line)
    assert network.notes["wer"]["dev"]["all"] == best
    config = json.loads((finished / "config.json").read_text())
    assert config["updates"] == UPDATES and config["optimiser"]["ema"] == 0.995


def test_a_run_shows_what_it_heard_and_what_it_learned_from(finished: Path) -> None:
    learned, validated = (
        [line for line in metrics(finished) if name in line] for name in ("loss", "wer")
    )
    for line in learned:
        norms = line["gradient_norms"]
        assert {"encoder", "prediction", "joint.output"} <= norms.keys()
        assert sum(norm**2 for norm in norms.values()) ** 0.5 == pytest.approx(
            line["gradient_norm"]
        )
        assert line["rates"] == {"x1": line["rate"], "output": line["rate"]}
        assert (line["skipped_updates"], line["skipped_utterances"]) == (0, 0)
    assert 0.0 < learned[0]["hours"] < learned[1]["hours"]
    assert learned[1]["epoch"] == 2 * learned[0]["epoch"]
    for line in validated:
        assert 0.0 < line["dev"]["transducer"] < line["dev"]["loss"]
        assert sum(line["errors"]["hard"].values()) == pytest.approx(line["wer"]["hard"]["all"])
    best = [line["best"]["hard"] for line in validated]
    assert best == sorted(best, reverse=True)
    written = (finished / "validation" / f"update-{UPDATES:06d}.txt").read_text()
    assert written.startswith(f"update {UPDATES}   hard WER %: all ")
    assert "said   " in written and "heard  " in written
    assert checkpoint.load(finished / "last.pt")["totals"].keys() == {"seconds", "skipped"}


def test_an_update_whose_gradient_is_not_finite_is_skipped_counted_and_shown(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    step, steps = Lamb.step, iter(range(1, 99))

    def broken(self: Lamb, closure: Any = None) -> float:
        if next(steps) == 4:
            self.param_groups[0]["params"][0].grad[0] = torch.nan
        return step(self)

    monkeypatch.setattr(Lamb, "step", broken)
    assert __main__.main(command(folder, tmp_path, "updates=10", "log.to=[]")) == 0
    assert "update 4   skipped, 1 so far: its gradient is not finite" in capsys.readouterr().err
    assert [line["skipped_updates"] for line in metrics(tmp_path) if "loss" in line] == [1]
    assert checkpoint.load(tmp_path / "last.pt")["totals"]["skipped"] == 1
    assert not (tmp_path / "events").exists()


@pytest.mark.parametrize("name", ["mlflow", "wandb", "clearml"])
def test_a_logger_that_is_not_installed_is_missed_before_data_are_read(
    folder: Path,
    tmp_path: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"train.loggers.{name}", raising=False)
    settings = f'log.to=["{name}"]', 'data.train=["none.jsonl"]'
    assert __main__.main(command(folder, tmp_path / "run", *settings)) == 4
    said = capsys.readouterr().err
    assert f"{name} is not installed" in said and f"[{name}]" in said


def test_another_logger_follows_a_run_and_its_resumption(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = Fake("mlflow", tmp_path, monkeypatch)
    run = tmp_path / "run"
    logged = 'log.to=["mlflow"]', "log.histograms_every=7", "log.upload=true"
    assert __main__.main(command(folder, run, "updates=14", *logged)) == 0
    calls = fake.calls()
    kinds = [call[0] for call in calls]
    assert kinds[:2] == ["create_experiment", "create_run"]
    assert kinds[-2:] == ["log_artifact", "set_terminated"]
    assert {call[2] for call in calls if call[0] == "log_artifact"} == {
        str(run / "config.json"), str(run / "best.pt"),
    }  # fmt: skip
    scalars = {
        name: value for call in calls if call[0] == "log_batch" for name, value in call[2].items()
    }
    assert scalars["dev/loss"][0] == 14 and scalars["weights/joint.output.bias/p50"][0] == 14
    # Where metrics go may change on the way without --change.
    assert __main__.main(command(folder, run, "updates=14", 'log.to=["mlflow"]')) == 0
    assert fake.calls()[0] == ["update_run", "abc", "RUNNING"]


def scored(network: Network, folder: Path) -> tuple[float, list[list[tuple[int, int]]]]:
    """The WER of dev, and its tokens as (id, step), as a run counts: what babbles is cut short."""
    dev = read_manifest(folder / "dev.jsonl")
    audio = [read_audio(u.audio) for u in dev]
    tokens = tokens_of_all(Transducer.from_network(network), network.normaliser, audio)
    texts = [network.vocabulary.decode([token for token, _ in row]) for row in tokens]
    return word_error_rate([u.text for u in dev], texts).wer, tokens


def test_the_score_of_the_best_model_is_what_its_stream_gets(folder: Path, finished: Path) -> None:
    network = open_model(finished / "best.pt")
    wer, tokens = scored(network, folder)
    for utterance, row in zip(read_manifest(folder / "dev.jsonl"), tokens, strict=True):
        recogniser = Recogniser(network)
        results = [*recogniser.push(read_audio(utterance.audio)), *recogniser.finish()]
        streamed = [(token.id, token.step) for result in results for token in result.tokens]
        assert row == streamed[: len(row)]
    assert network.notes["wer"]["dev"] == {"all": wer, "tones": wer}


def test_a_finished_run_started_again_changes_nothing(folder: Path, finished: Path) -> None:
    names = ("last.pt", "best.pt", "metrics.jsonl", "config.json")
    before = {name: (finished / name).read_bytes() for name in names}
    assert __main__.main(command(folder, finished)) == 0
    assert {name: (finished / name).read_bytes() for name in names} == before


def test_a_run_made_longer_is_the_long_run(folder: Path, finished: Path, tmp_path: Path) -> None:
    assert __main__.main(command(folder, tmp_path, "updates=14")) == 0
    assert json.loads((tmp_path / "config.json").read_text())["updates"] == 14
    assert __main__.main([*command(folder, tmp_path), "--change"]) == 0
    assert json.loads((tmp_path / "config.json").read_text())["updates"] == UPDATES
    got, want = (checkpoint.load(run / "last.pt") for run in (tmp_path, finished))
    for part in ("objective", "optimiser", "averaged", "update"):
        assert_equal_content(got[part], want[part], part)


def test_an_interrupted_run_says_how_to_go_on_and_does(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    drawn = Batches.batch

    def interrupted(self: Batches, update: int) -> Any:
        if update == 9:
            raise KeyboardInterrupt
        return drawn(self, update)

    monkeypatch.setattr(Batches, "batch", interrupted)
    assert __main__.main(command(folder, tmp_path, "updates=12")) == 130
    assert f"resumes from {tmp_path}/last.pt" in capsys.readouterr().err
    monkeypatch.undo()
    assert checkpoint.load(tmp_path / "last.pt")["update"] == 7
    assert __main__.main(command(folder, tmp_path, "updates=12")) == 0
    assert [line["update"] for line in metrics(tmp_path)] == [9, 10, 12]


def test_another_seed_gives_other_weights(folder: Path, tmp_path: Path) -> None:
    states = []
    for name, setting in (("a", "seed=1"), ("b", "seed=2"), ("c", "seed=2")):
        assert __main__.main(command(folder, tmp_path / name, "updates=1", setting)) == 0
        states.append(checkpoint.load(tmp_path / name / "last.pt")["averaged"])
    assert not torch.equal(states[0]["output.weight"], states[1]["output.weight"])
    assert_equal_content(states[1], states[2])


def test_two_processes_do_not_write_to_one_run(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    with (run / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="another process trains in .*run"):
            prepared(folder, run).train()
    assert [file.name for file in run.iterdir()] == [".lock"]


@pytest.mark.parametrize(
    "setting",
    ["model.hidden=24", "model.post_layers=2", "model.activation=soft", "model.window=320"],
)
def test_resuming_as_another_model_is_refused(
    folder: Path, finished: Path, capsys: pytest.CaptureFixture[str], setting: str
) -> None:
    before = (finished / "last.pt").read_bytes(), (finished / "config.json").read_bytes()
    assert __main__.main([*command(folder, finished, setting), "--change"]) == 2
    message = capsys.readouterr().err
    assert f"{finished / 'last.pt'} was trained with another configuration" in message
    assert f"\n    {setting.partition('=')[0]}: " in message
    assert "--change" not in message and "choose another --output" in message
    assert ((finished / "last.pt").read_bytes(), (finished / "config.json").read_bytes()) == before


def test_resuming_with_another_tokenizer_is_refused(
    folder: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.model"
    other.write_bytes(tiny_tokenizer() + b"\x80\x40\x00")  # an unknown field: the same pieces
    run = [*command(folder, finished, f"data.tokenizer={other}"), "--change"]
    assert __main__.main(run) == 2
    message = capsys.readouterr().err
    assert f"{finished / 'last.pt'} was trained with another tokenizer than {other}" in message
    fresh = command(folder, tmp_path / "run", f"data.tokenizer={other}")
    assert __main__.main([*fresh, "--init-from", str(finished / "best.pt")]) == 2
    assert f"{finished / 'best.pt'} was trained with another tokenizer" in capsys.readouterr().err


def test_resuming_with_another_configuration_shows_it_and_asks_for_change(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert __main__.main(command(folder, tmp_path, "updates=2")) == 0
    before = (tmp_path / "last.pt").read_bytes(), (tmp_path / "config.json").read_bytes()
    capsys.readouterr()
    settings = "updates=3", "optimiser.rate=0.001", "batches.weights={tones=2.0}"
    assert __main__.main(command(folder, tmp_path, *settings)) == 2
    said = capsys.readouterr().err
    assert said == (
        f"error: {tmp_path / 'last.pt'} was trained with another configuration:\n"
        "    batches.weights.tones: nothing -> 2.0\n"
        "    optimiser.rate: 0.008 -> 0.001\n"
        "    updates: 2 -> 3\n"
        "To go on with the new values: --change. To begin another run: choose another --output\n"
    )
    assert ((tmp_path / "last.pt").read_bytes(), (tmp_path / "config.json").read_bytes()) == before
    assert __main__.main([*command(folder, tmp_path, *settings), "--change"]) == 0
    assert "changed: optimiser.rate: 0.008 -> 0.001" in capsys.readouterr().err
    assert checkpoint.load(tmp_path / "last.pt")["config"]["optimiser"]["rate"] == 0.001
    assert __main__.main(command(folder, tmp_path, *settings)) == 0  # it is the run's own by now


def test_a_run_goes_back_to_an_earlier_checkpoint(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = command(folder, tmp_path, "checkpoint_every=1", "updates=5", "validate_every=2")
    assert __main__.main(run) == 0
    ring = tmp_path / "resumable"
    assert sorted(file.name for file in ring.iterdir()) == [
        f"update-{update:06d}.pt" for update in (3, 4, 5)
    ]
    assert os.path.samefile(ring / "update-000005.pt", tmp_path / "last.pt")
    want = checkpoint.load(tmp_path / "last.pt")
    lines, best = metrics(tmp_path), (tmp_path / "best.pt").read_bytes()
    (ring / "update-000005.pt").unlink()

    capsys.readouterr()
    assert __main__.main([*run, "--resume-from", "2"]) == 2
    assert f"no checkpoint of update 2 in {tmp_path}. There are: 3, 4" in capsys.readouterr().err
    assert __main__.main([*run, "--resume-from", str(tmp_path / "best.pt")]) == 3
    assert "has no optimiser to go on with" in capsys.readouterr().err
    for wanted in ("3", str(ring / "update-000004.pt")):
        assert __main__.main([*run, "--resume-from", wanted]) == 0
        assert_equal_content(checkpoint.load(tmp_path / "last.pt"), want)
        assert metrics(tmp_path) == lines
        assert (tmp_path / "best.pt").read_bytes() == best


def test_going_back_is_where_the_same_command_goes_on(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = command(folder, tmp_path, "checkpoint_every=2", "updates=6")
    assert __main__.main(run) == 0

    def interrupted(self: Batches, update: int) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Batches, "batch", interrupted)
    assert __main__.main([*run, "--resume-from", "4"]) == 130
    said = capsys.readouterr().err
    assert f"the same command without --resume-from resumes from {tmp_path / 'last.pt'}" in said
    assert checkpoint.load(tmp_path / "last.pt")["update"] == 4


def test_no_checkpoint_to_go_back_to_stays_where_none_is_wanted(
    folder: Path, tmp_path: Path
) -> None:
    run = command(folder, tmp_path, "checkpoint_every=1", "updates=2", "resumable=0")
    assert __main__.main(run) == 0
    assert not (tmp_path / "resumable").exists()


def test_arguments_that_have_no_effect_on_a_run_that_goes_on_are_refused(
    folder: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = ["--init-from", str(finished / "best.pt")]
    assert __main__.main([*command(folder, finished), *start]) == 2
    assert "has no effect: " in (said := capsys.readouterr().err)
    assert "last.pt began from random weights" in said
    run = [*command(folder, tmp_path, "updates=1"), *start]
    assert __main__.main(run) == 0
    assert __main__.main(run) == 0
    assert __main__.main(run[:-2]) == 0
    assert __main__.main([*run[:-1], str(finished / "last.pt")]) == 2
    assert f"last.pt began from {finished / 'best.pt'}" in capsys.readouterr().err
    for wrong in (["--resume-from", "1"], ["--threads", "0"]):
        with pytest.raises(SystemExit) as caught:
            __main__.main([*run, *wrong])
        assert caught.value.code == 2


def test_a_checkpoint_that_is_cut_short_is_named(
    folder: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "last.pt").write_bytes((finished / "last.pt").read_bytes()[:5000])
    assert __main__.main(command(folder, tmp_path)) == 3
    assert f"{tmp_path / 'last.pt'}: not a readable training checkpoint" in capsys.readouterr().err


def test_a_model_that_looks_ahead_is_refused_before_anything_is_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from train.encoders import lstm

    joined = lstm.join_pairs

    def ahead(h: Any, present: Any) -> Any:
        pairs = joined(h, present)
        return pairs + torch.nn.functional.pad(pairs, (0, 0, 0, 1))[:, 1:]

    monkeypatch.setattr(lstm, "join_pairs", ahead)
    run = prepared(folder, tmp_path / "run")
    with pytest.raises(CausalityError, match="training forward: encoder frame 0"):
        run.train()
    assert run.update == 0
    assert __main__.main(command(folder, tmp_path / "run")) == 1
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_checkpoint(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert __main__.main(command(folder, tmp_path, "updates=7")) == 0
    before = (tmp_path / "last.pt").read_bytes()
    capsys.readouterr()
    run = [*command(folder, tmp_path, "optimiser.rate=1e30"), "--change"]
    assert __main__.main(run) == 1
    message = capsys.readouterr().err
    assert (
        "the loss is nan. Lower optimiser.rate (now 1e+30) and go back: --resume-from 7 --set "
        "optimiser.rate=5e+29 --change. Updates to go back to: 7."
    ) in message
    assert (tmp_path / "last.pt").read_bytes() == before
    assert all(line["update"] <= 7 for line in metrics(tmp_path))
    back = ["--resume-from", "7", "--change"]
    assert __main__.main([*command(folder, tmp_path, "updates=8"), *back]) == 0


def test_weights_that_are_not_finite_are_never_saved(folder: Path, tmp_path: Path) -> None:
    run = prepared(folder, tmp_path)
    run._save()
    before = (tmp_path / "last.pt").read_bytes()
    with torch.no_grad():
        run.learner.model.output.weight[0, 0] = torch.nan
    with pytest.raises(DivergedError, match="update 0: a weight is not finite"):
        run._save()
    assert (tmp_path / "last.pt").read_bytes() == before


def test_a_run_starts_from_a_model_directory(
    folder: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = open_model(finished / "best.pt")
    directory.write(network, tmp_path / "model", {})
    start = ["--init-from", str(tmp_path / "model")]
    assert __main__.main([*command(folder, tmp_path / "run", "updates=1"), *start]) == 2
    assert "cannot be learned any more: set freeze_norms_from = 1" in capsys.readouterr().err
    settings = "updates=1", "freeze_norms_from=1", "optimiser.rate=1e-9", "optimiser.min_rate=1e-9"
    assert __main__.main([*command(folder, tmp_path / "run", *settings), *start]) == 0
    made = open_model(tmp_path / "run" / "best.pt")
    for name, array in network.arrays.items():
        assert made.arrays[name] == pytest.approx(array, abs=1e-5), name
    assert checkpoint.load(tmp_path / "run" / "last.pt")["init_from"] == str(tmp_path / "model")


@pytest.mark.parametrize("decoder", ["ctc", "both"])
def test_a_run_takes_a_transducers_encoder_and_begins_a_ctc_head(
    folder: Path, finished: Path, tmp_path: Path, decoder: str
) -> None:
    start = ["--init-from", str(finished / "best.pt")]
    still = "optimiser.rate=1e-9", "optimiser.min_rate=1e-9", "freeze_norms_from=1"
    settings = "updates=1", f"model.decoder={decoder}", *still
    assert __main__.main([*command(folder, tmp_path / "run", *settings), *start]) == 0
    given, made = open_model(finished / "best.pt"), open_model(tmp_path / "run" / "best.pt")
    assert ("joint.output.weight" in made.arrays) == (decoder == "both")
    for name in given.arrays.keys() & made.arrays.keys():
        assert made.arrays[name] == pytest.approx(given.arrays[name], abs=1e-5), name
    assert np.abs(made.arrays["ctc.weight"]).max() > 0.1


def test_the_chosen_head_says_which_checkpoint_is_the_best(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = {"ctc": iter([0.9, 0.5, 0.7]), "transducer": iter([0.1, 0.2, 0.3])}

    def scored(*given: Any) -> Score:
        found = scoring.scored(*given)
        return dataclasses.replace(found, wer={**found.wer, "all": next(heard[given[4]])})

    monkeypatch.setattr(loop, "scored", scored)
    settings = "updates=3", "validate_every=1", "model.decoder=both", "head=ctc"
    assert __main__.main(command(folder, tmp_path / "run", *settings)) == 0
    lines = metrics(tmp_path / "run")
    assert [line["wer"]["hard"]["all"] for line in lines] == [0.9, 0.5, 0.7]
    assert [line["wer"]["transducer"]["all"] for line in lines] == [0.1, 0.2, 0.3]
    assert [line["best"] for line in lines] == [{"hard": 0.9}, {"hard": 0.5}, {"hard": 0.5}]
    best = checkpoint.load(tmp_path / "run" / "best.pt")
    assert best["notes"]["training"]["updates"] == 2
    assert sorted(path.name for path in (tmp_path / "run").glob("best*")) == ["best.pt"]


def test_a_run_that_keeps_a_ctc_head_starts_from_the_one_that_helped(
    folder: Path, finished: Path, tmp_path: Path
) -> None:
    last = finished / "last.pt"
    settings = "updates=1", "model.decoder=both", "optimiser.rate=1e-9", "optimiser.min_rate=1e-9"
    started = [*command(folder, tmp_path / "run", *settings), "--init-from", str(last)]
    assert __main__.main(started) == 0
    helped, made = (checkpoint.load(path) for path in (last, tmp_path / "run" / "best.pt"))
    for name in ("ctc.weight", "ctc.bias"):
        torch.testing.assert_close(made["averaged"][name], helped["objective"][name])


def test_a_soft_run_keeps_its_best_under_hard_activations_too(folder: Path, tmp_path: Path) -> None:
    soft = command(folder, tmp_path / "soft", "model.activation=soft", "updates=2")
    assert __main__.main(soft) == 0
    assert open_model(tmp_path / "soft" / "best.pt").specification.activation == "soft"
    start = tmp_path / "soft" / "best-hard.pt"
    assert open_model(start).specification.activation == "hard"
    (line,) = metrics(tmp_path / "soft")
    assert line["wer"].keys() == {"soft", "hard"}

    run = prepared(folder, tmp_path / "hard", "updates=1")
    assert not torch.equal(
        run.learner.model.output.weight, checkpoint.load(start)["averaged"]["output.weight"]
    )
    hard = command(folder, tmp_path / "hard", "updates=1", "optimiser.ema=0.999")
    assert __main__.main([*hard, "--init-from", str(start)]) == 0
    tuned = checkpoint.load(tmp_path / "hard" / "last.pt")["averaged"]["output.weight"]
    assert (tuned - checkpoint.load(start)["averaged"]["output.weight"]).abs().max() < 1e-3


def test_starting_from_weights_of_other_sizes_is_refused(
    folder: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = ["--init-from", str(finished / "best.pt")]
    assert __main__.main([*command(folder, tmp_path, "model.hidden=24"), *start]) == 3
    message = capsys.readouterr().err
    assert "the weights to start from do not fit" in message
    assert "pre.0.lstm.weight_hh" in message
    missing = ["--init-from", str(tmp_path / "none.pt")]
    assert __main__.main([*command(folder, tmp_path), *missing]) == 3
    assert "none.pt" in capsys.readouterr().err
    assert not (tmp_path / "last.pt").exists()


@pytest.mark.parametrize(
    ("setting", "code", "message"),
    [
        ("data.tokenizer=none.model", 2, "rill tokenizer"),
        ("data.statistics=none.npz", 2, "rill statistics"),
        ("data.dev=none.jsonl", 3, "none.jsonl"),
        ("data.noise=none", 3, "none"),
        ("data.train=['$RILL_NO_SUCH_FOLDER/train.jsonl']", 2, "RILL_NO_SUCH_FOLDER"),
        ("optimizer.rate=1", 2, "optimizer"),
        ("updates=0", 2, "wants at least 1"),
        ("seed=-1", 2, "seed is -1"),
        ("loss.help_updates=0", 2, "help_updates is 0"),
        ("optimiser.half_life=0", 2, "half_life is 0"),
    ],
)
def test_what_is_missing_or_wrong_is_named(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    setting: str,
    code: int,
    message: str,
) -> None:
    assert __main__.main(command(folder, tmp_path / "run", setting)) == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_rows_without_speech_alone_are_learned_from(folder: Path, tmp_path: Path) -> None:
    assert (
        __main__.main(command(folder, tmp_path, "updates=2", "batches.without_speech=0.999")) == 0
    )
    assert checkpoint.load(tmp_path / "last.pt")["update"] == 2


INTEGERS = ("quantize=int8", "dropout.recurrent=0.0", "updates=16", "optimiser.rate=0.0005")


@pytest.fixture(scope="module")
def quantised(folder: Path, finished: Path) -> Path:
    """The folder of a quantised run from the finished one."""
    run = folder / "runs" / "int8"
    start = ["--init-from", str(finished / "best.pt")]
    assert __main__.main([*command(folder, run, *INTEGERS), *start]) == 0
    return run


def test_a_quantised_run_makes_a_model_of_integers_near_the_one_it_started_from(
    finished: Path, quantised: Path
) -> None:
    network, before = open_model(quantised / "best.pt"), open_model(finished / "best.pt")
    chosen = network.specification.quantisation
    assert chosen is not None
    assert (chosen.input, chosen.weight_bits) == (4, {})
    to_integers(network)
    for name, array in network.arrays.items():
        assert np.abs(array - before.arrays[name]).max() < 0.02, name


def test_a_quantised_model_says_the_same_in_torch_and_in_integers(
    folder: Path, quantised: Path
) -> None:
    network = open_model(quantised / "best.pt")
    for utterance in read_manifest(folder / "dev.jsonl"):
        audio = read_audio(utterance.audio)
        said = []
        for backend in ("torch-integer", "integer"):
            recogniser = Recogniser(network, backend)
            results = [*recogniser.push(audio), *recogniser.finish()]
            said.append([(t.id, t.step) for r in results for t in r.tokens])
        assert said[0] == said[1]


def test_a_quantised_run_resumed_equals_an_uninterrupted_one(
    folder: Path, finished: Path, quantised: Path, tmp_path: Path
) -> None:
    run = [*command(folder, tmp_path / "run", *INTEGERS), "--init-from", str(finished / "best.pt")]
    assert __main__.main([*run, "--set", "updates=9"]) == 0
    run.append("--change")
    # The formats are the run's own: nothing is measured again.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("train.run.starting_model.CALIBRATION_BATCHES", 0)
        assert __main__.main(run) == 0
    for state in ("averaged", "optimiser"):
        assert_equal_content(
            checkpoint.load(tmp_path / "run" / "last.pt")[state],
            checkpoint.load(quantised / "last.pt")[state],
        )


def test_a_quantised_run_takes_any_model_to_start_from(
    folder: Path, finished: Path, quantised: Path, tmp_path: Path
) -> None:
    network = open_model(finished / "best.pt")
    directory.write(network, tmp_path / "model", {})
    start = ["--init-from", str(tmp_path / "model")]
    assert __main__.main([*command(folder, tmp_path / "run", *INTEGERS), *start]) == 0
    for name in ("last.pt", "best.pt"):
        assert_equal_content(
            checkpoint.load(tmp_path / "run" / name)["averaged"],
            checkpoint.load(quantised / name)["averaged"],
        )


def test_four_bits_are_a_setting(folder: Path, finished: Path, tmp_path: Path) -> None:
    start = ["--init-from", str(finished / "best.pt")]
    settings = (*INTEGERS, "quantize=w4a8", "updates=2")
    assert __main__.main([*command(folder, tmp_path, *settings), *start]) == 0
    chosen = open_model(tmp_path / "best.pt").specification.quantisation
    assert chosen is not None
    assert chosen.weight_bits == {
        name: 4 for name in ("encoder.pre.0", "encoder.post.0", "prediction.lstm.0")
    }


@pytest.mark.parametrize("quantize", ["int8", "bfp16"])
def test_a_run_that_rounds_weights_wants_a_model_to_start_from(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], quantize: str
) -> None:
    settings = (*INTEGERS, f"quantize={quantize}")
    assert __main__.main(command(folder, tmp_path / "run", *settings)) == 2
    said = capsys.readouterr().err
    assert f"quantize = {quantize} fine-tunes: name a model with --init-from" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("activation", ["hard", "soft"])
def test_a_run_in_block_floating_point_makes_a_model_in_it(
    folder: Path, finished: Path, tmp_path: Path, activation: str
) -> None:
    start = ["--init-from", str(finished / "best.pt")]
    settings = (*INTEGERS, "quantize=bfp16", f"model.activation={activation}")
    run = tmp_path / "run"
    whole = command(folder, run, *settings)
    assert __main__.main([*whole, *start, "--set", "updates=9"]) == 0
    assert __main__.main([*whole, "--change"]) == 0  # what it goes on from is its own
    network, before = open_model(run / "best.pt"), open_model(finished / "best.pt")
    specification = network.specification
    assert (specification.number_format, specification.activation) == ("bfp16", activation)
    for name, array in network.arrays.items():
        assert np.abs(array - before.arrays[name]).max() < 0.02, name
    assert any((array != before.arrays[name]).any() for name, array in network.arrays.items())
    report = validate(
        network, read_manifest(folder / "dev.jsonl"), reset_stats=True, reference=training_tokens
    )
    assert report.differences == []
    scores = [line["wer"][activation]["all"] for line in metrics(run) if "wer" in line]
    assert scored(network, folder)[0] == min(scores)


@pytest.mark.parametrize("was", ["finished", "quantised"])
def test_a_run_goes_on_in_the_formats_it_began_with(
    folder: Path,
    finished: Path,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
    was: str,
) -> None:
    run = request.getfixturevalue(was)
    other = "w4a8" if was == "quantised" else "int8"
    start = ["--init-from", str(finished / "best.pt")]
    settings = (*INTEGERS, f"quantize={other}")
    start = start if was == "quantised" else []
    assert __main__.main([*command(folder, run, *settings), *start, "--change"]) == 2
    said = capsys.readouterr().err
    assert "quantize: " in said and "choose another --output" in said


def test_a_run_that_keeps_has_a_checkpoint_of_every_validation(
    folder: Path, finished: Path, tmp_path: Path
) -> None:
    run = tmp_path / "kept"
    assert __main__.main(command(folder, run, "updates=19", "keep=true")) == 0
    kept = sorted(path.name for path in run.glob("update-*"))
    assert kept == ["update-000009.pt", "update-000018.pt", "update-000019.pt"]
    assert not list(finished.glob("update-*"))
    states = [checkpoint.load(run / name) for name in kept]
    assert [state["notes"]["training"]["updates"] for state in states] == [9, 18, 19]
    scores = [state["notes"]["wer"]["dev"] for state in states]
    assert scores == [line["wer"]["hard"] for line in metrics(run) if "wer" in line]
    last = checkpoint.load(run / "last.pt")
    assert_equal_content(states[-1]["averaged"], last["averaged"])
    assert not torch.equal(
        states[0]["averaged"]["output.weight"], last["averaged"]["output.weight"]
    )
    assert "optimiser" not in states[-1]
