"""A recipe of two tiny configurations: made in one command, stopped, started again, and changed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from server.rill.__main__ import main as rill
from stream.model.network import open_model
from tests.places import REPOSITORY
from train import checkpoint
from train.config.file import resolve_model
from train.recipe import __main__
from train.recipe.knobs import VARIABLES, Knobs
from train.recipe.steps import Record, read_recipe, steps_of

RECIPE = """
stages = ["{folder}/soft.toml", "{folder}/hard.toml"]
before = ["rill statistics --config {folder}/soft.toml"]
after = [
    "rill export onnx --ckpt {{checkpoint}} --output {{model}} --no-int8 --manifest $TONES/dev.jsonl",
    "rill validate --model {{model}} --manifest $TONES/dev.jsonl --backend numpy --record",
    "rill export card {{model}} --text {{recipe}}/about.md",
]
"""


@pytest.fixture
def recipe(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe for the tones."""
    made = tmp_path / "tones"
    made.mkdir()
    monkeypatch.setenv("TONES", str(folder))
    for variable in VARIABLES.values():  # the command sets some of them
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)
    run = folder / "run.toml"
    for name, activation in (("soft", "soft"), ("hard", "hard")):
        settings = f'extends = "{run}"\nupdates = 2\nvalidate_every = 2\n'
        (made / f"{name}.toml").write_text(f'{settings}[model]\nactivation = "{activation}"\n')
    (made / "recipe.toml").write_text(RECIPE.format(folder=made))
    (made / "about.md").write_text("Hears tones.\n")
    return made


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The commands that are run, in this process."""
    torch.set_num_threads(1)  # many wait for each other on a busy machine
    words_of: list[str] = []

    def run(command: list[str], **_: object) -> CompletedProcess[str]:
        assert command[1:3] == ["-m", "server.rill"]
        words = command[3:]
        words_of.append(" ".join(words[:2]) if words[0] == "export" else words[0])
        return CompletedProcess(command, rill(words))

    monkeypatch.setattr(__main__.subprocess, "run", run)
    yield words_of


NAMES = ["statistics", "soft", "hard", "export-onnx", "validate", "export-card"]
ALL = ["statistics", "train", "train", "export onnx", "validate", "export card"]


@pytest.mark.slow
def test_a_recipe_makes_a_model_once_and_then_what_changed_with_all_behind_it(
    recipe: Path,
    ran: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "out"
    command = [str(recipe), "--output", str(output)]
    assert __main__.main(command) == 0
    assert ran == ALL
    model = output / "model" / "tones"
    notes = open_model(model).notes
    assert [stage["run"] for stage in notes["training"]["before"]] == ["soft"]
    assert notes["training"]["run"] == "hard" and len(notes["evaluations"]) == 1
    assert (model / "README.md").read_text().startswith("# tones\n\nHears tones.\n")
    # The hard run starts from what was best under hard activations.
    began = checkpoint.load(output / "hard" / "last.pt")["init_from"]
    assert began == str(output / "soft" / "best-hard.pt")

    ran.clear()
    capsys.readouterr()
    assert __main__.main(command) == 0 and ran == []
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(ALL) + 1 and not any("to do" in line for line in lines)
    assert [line.split()[1] for line in lines[:-1]] == NAMES

    (recipe / "about.md").write_text("Hears three tones.\n")
    assert __main__.main(command) == 0
    assert ran == ["export card"]

    # What is missing is made again; what comes after it waits for the next time where one fails.
    ran.clear()
    shutil.rmtree(model)
    run = __main__.subprocess.run

    def stops(command: list[str], **_: object) -> Any:
        return CompletedProcess(command, 1) if "validate" in command else run(command)

    monkeypatch.setattr(__main__.subprocess, "run", stops)
    assert __main__.main(command) == 1
    assert ran == ["export onnx"]
    monkeypatch.setattr(__main__.subprocess, "run", run)
    ran.clear()
    assert __main__.main(command) == 0
    assert ran == ["validate", "export card"]

    # One step alone, done or not, and up to one; what comes behind has to be run again.
    ran.clear()
    assert __main__.main([*command, "--only", "validate"]) == 0
    assert ran == ["validate"]
    assert __main__.main([*command, "--until", "5"]) == 0 and ran == ["validate"]
    assert __main__.main([*command, "--from", "export-card"]) == 0
    assert ran == ["validate", "export card"]


def test_a_run_that_began_with_something_else_is_refused(
    recipe: Path, ran: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    command = [str(recipe), "--output", str(output)]
    steps = steps_of(recipe, read_recipe(recipe), output)
    soft = steps[1]
    assert soft.config is not None
    Record(output).begin(soft, ())  # it was stopped
    (output / "soft").mkdir()
    config = recipe / "soft.toml"
    config.write_text(config.read_text().replace("updates = 2", "updates = 3", 1))
    assert __main__.main(command) == 2
    assert f"{output}/soft was trained with another configuration" in capsys.readouterr().err
    assert ran == ["statistics"]


def test_steps_are_listed_and_nothing_is_run(
    recipe: Path, ran: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert __main__.main([str(recipe), "--output", str(tmp_path / "out"), "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("  1  statistics          to do  rill statistics --config")
    assert [line.split()[1] for line in lines[:-1]] == NAMES
    assert (
        all("  to do  rill " in line for line in lines[:-1]) and "0 s  of what is done" in lines[-1]
    )
    assert "$TONES/dev.jsonl" in lines[3] and not (tmp_path / "out").exists() and ran == []


@pytest.mark.parametrize("name", ["en-commands", "fr"])
def test_the_recipes_here_name_files_that_are_there_from_any_folder(
    name: str, ran: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RILL_DATA", "")
    monkeypatch.setenv("RILL_OUTPUT", "out")
    folder = REPOSITORY / "recipes" / name
    monkeypatch.setenv("RILL_RECIPE", str(folder))
    steps = steps_of(folder, read_recipe(folder), Path("out"))
    named = [word for step in steps for word in step.words if "recipes/" in word]
    assert [word for word in named if not Path(word).exists()] == [] and named
    starts = [step.config.init for step in steps if step.config is not None]
    models = [start.model for start in starts if start is not None and start.model is not None]
    assert all(resolve_model(model).is_dir() for model in models)


def test_folders_may_have_a_space_in_their_names(recipe: Path, tmp_path: Path) -> None:
    recipe = recipe.rename(tmp_path / "my tones")
    text = (recipe / "recipe.toml").read_text()
    text = text.replace(str(tmp_path / "tones"), "{recipe}").replace("{{", "{")
    (recipe / "recipe.toml").write_text(text)
    output = tmp_path / "my models"
    steps = steps_of(recipe, read_recipe(recipe), output)
    assert str(output / "hard" / "best.pt") in steps[3].words
    assert steps[2].words[-3:] == [
        str(output / "hard"), "--init-from", str(output / "soft" / "best-hard.pt")
    ]  # fmt: skip
    assert steps[3].outputs == (output / "model" / "my tones",)
    assert steps[2].config is not None and str(recipe / "hard.toml") in steps[2].words


def test_the_first_stage_starts_from_another_model_or_from_scratch(
    recipe: Path, ran: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [str(recipe), "--output", str(tmp_path / "out"), "--list", "--init-from"]
    assert __main__.main([*command, "en-commands"]) == 0
    soft, hard = capsys.readouterr().out.splitlines()[1:3]
    assert soft.endswith("--set init.model=en-commands") and "--set" not in hard

    config = recipe / "soft.toml"
    config.write_text(config.read_text() + '[init]\nmodel = "other.pt"\n')
    assert __main__.main([*command, "none"]) == 0
    soft = capsys.readouterr().out.splitlines()[1]
    assert soft.endswith("--set init=null --set freeze_norms_from=null")
    knobs = Knobs(init_from="none")
    assert steps_of(recipe, read_recipe(recipe), tmp_path, knobs)[1].config.init is None


def test_a_stage_is_trained_again_if_the_model_that_it_starts_from_has_changed(
    recipe: Path, tmp_path: Path
) -> None:
    (tmp_path / "parent").mkdir()
    notes = tmp_path / "parent" / "model.json"
    notes.write_text("{}")
    knobs = Knobs(init_from=str(tmp_path / "parent"))
    step = steps_of(recipe, read_recipe(recipe), tmp_path / "out", knobs)[1]
    key = step.key()
    notes.write_text('{"other": 1}')
    assert step.key() != key


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stages = []", "stages has no configuration"),
        ('stages = ["rill show"]', "stages has no configuration"),
        ('stages = ["a.toml"]\nafter = ["rm -r /"]', "a step is a command of rill"),
        ('stage = ["a.toml"]', "stage"),
        ('stages = ["a/b.toml", "c/b.toml"]', "two stages have the same name"),
        ('stages = ["none.toml"]', "none.toml"),
    ],
)
def test_a_recipe_that_is_wrong_says_what(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert __main__.main([str(tmp_path), "--output", str(tmp_path / "out")]) == 2
    assert "has no recipe.toml" in capsys.readouterr().err
    (tmp_path / "recipe.toml").write_text(text)
    assert __main__.main([str(tmp_path), "--output", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err


def test_a_step_that_fails_ends_the_recipe_with_its_status(
    recipe: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = (recipe / "recipe.toml").read_text()
    first = f'before = ["rill statistics --config {recipe}/none.toml"]\n'
    lines = [line for line in text.splitlines() if not line.startswith("before")]
    (recipe / "recipe.toml").write_text(first + "\n".join(lines))
    assert __main__.main([str(recipe), "--output", str(tmp_path / "out")]) == 2
    assert "step 1, statistics, ended with exit status 2: rill statistics" in capfd.readouterr().err
    state = json.loads((tmp_path / "out" / "steps.json").read_text())
    assert [each["seconds"] for each in state.values()] == [None]


def test_keys_are_set_for_all_stages_or_for_one_on_the_command_line_and_by_variables(
    recipe: Path,
    ran: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("RILL_OPTIMISER__RATE", "0.002")
    monkeypatch.setenv("RILL_SEED", "5")
    monkeypatch.setenv("RILL_PORT", "3030")  # of a server
    monkeypatch.setenv("RILL_OUTPUT", str(tmp_path / "out"))
    command = [str(recipe), "--list", "--set", "seed=7", "--set", "hard:updates=3"]
    assert __main__.main([*command, "--english-compatible", "--set", "data.text=fr+numbers"]) == 0
    _, soft, hard, *_ = capsys.readouterr().out.splitlines()
    keys = "--set optimiser.rate=0.002 --set seed=5 --set seed=7"
    folded = "--set data.text=fr+numbers --set data.text=fr+numbers+ascii"
    assert soft.endswith(f"{tmp_path}/out/soft {keys} {folded}")
    assert hard.endswith(f"best-hard.pt {keys} --set updates=3 {folded}")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--set", "soft:update=3"], "unknown key update (did you mean updates?)"),
        (["--set", "sof:updates=3"], "--set sof:updates=3: no stage 'sof', only soft, hard"),
        (
            ["--until", "validat"],
            "no step 'validat'; there are statistics, soft, hard, export-onnx",
        ),
        (["--from", "hard"], "cannot begin with hard: soft has not written"),
        (["--from", "statistics", "--until", "none"], "no step 'none'"),
        (["--english-compatible"], "data.text is 'as-is': want one of de, en"),
    ],
)
def test_what_a_recipe_has_not_is_named(
    flags: list[str],
    message: str,
    recipe: Path,
    ran: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert __main__.main([str(recipe), "--output", str(tmp_path / "out"), *flags]) == 2
    assert message in capsys.readouterr().err and ran == []


def test_commands_name_folders_the_language_and_its_rules(
    recipe: Path, ran: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (recipe / "recipe.toml").write_text(
        'stages = ["{recipe}/soft.toml"]\n'
        'before = ["rill tokenizer --manifest $RILL_DATA/a.jsonl --normalise {text} --output {output}/t"]\n'
        'after = ["rill data check x/{language}", "rill data check", "rill data split ./a b=0.9 c=.1"]\n'
    )
    flags = ["--set", "data.language=el", "--set", "data.text=lower", "--data", "corpora", "--list"]
    assert __main__.main([str(recipe), "--output", "out", *flags]) == 0
    tokenizer, soft, *checks, _ = capsys.readouterr().out.splitlines()
    assert tokenizer.endswith("$RILL_DATA/a.jsonl --normalise lower --output out/t")
    assert f"--config {recipe}/soft.toml --output out/soft " in soft
    assert [line.split()[1] for line in checks] == ["data-check", "data-check-2", "data-split"]
    assert steps_of(recipe, read_recipe(recipe), Path("out"))[-1].outputs == (Path("b"), Path("c"))
    assert "x/el" in checks[0] and os.environ["RILL_DATA"] == "corpora"


def test_a_command_between_stages_has_the_best_checkpoint_of_the_stage_before(
    recipe: Path, tmp_path: Path
) -> None:
    lines = (recipe / "recipe.toml").read_text().splitlines()
    align = "rill data align $TONES/train.jsonl {output}/words.jsonl --model {checkpoint}"
    stages = f'stages = ["{recipe}/soft.toml", "{align}", "{recipe}/hard.toml"]'
    (recipe / "recipe.toml").write_text("\n".join([stages, *lines[2:]]))
    output = tmp_path / "output"
    steps = steps_of(recipe, read_recipe(recipe), output)
    names = [step.name for step in steps]
    assert names == [*NAMES[:2], "data-align", *NAMES[2:]]
    step = steps[2]
    assert step.inputs[-1] == output / "soft" / "best-hard.pt" and step.config is None
    assert step.outputs == (output / "words.jsonl",)
    assert steps[3].line.endswith(f"--init-from {output / 'soft' / 'best-hard.pt'}")


@pytest.mark.parametrize(
    "command",
    [
        "data align $TONES/dev.jsonl {to}",
        "data convert $TONES/dev.jsonl {to}",
        "lm tune model --manifest $TONES/dev.jsonl --json {to}",
    ],
)
def test_what_a_command_writes_is_not_what_it_depends_on(
    recipe: Path, tmp_path: Path, command: str
) -> None:
    line = f"rill {command.format(to=tmp_path / 'to.jsonl')}"
    text = (recipe / "recipe.toml").read_text()
    (recipe / "recipe.toml").write_text(text.replace("before = [", f'before = ["{line}",'))
    step = steps_of(recipe, read_recipe(recipe), tmp_path / "out")[0]
    key = step.key()
    assert step.outputs == (tmp_path / "to.jsonl",)
    (tmp_path / "to.jsonl").write_text("{}")
    assert step.key() == key


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--from", "soft", "--until", "1"], "--until 1 comes before --from soft"),
        (["--only", "soft", "--until", "1"], "--only goes without --from and --until"),
        ([], "--output is missing"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(
    flags: list[str],
    message: str,
    recipe: Path,
    ran: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = ["--output", str(tmp_path / "out")] if flags else []
    with pytest.raises(SystemExit) as ended:
        __main__.main([str(recipe), *output, *flags])
    assert ended.value.code == 2 and message in capsys.readouterr().err
    assert ran == []
