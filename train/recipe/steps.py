"""The steps of a recipe: command lines of `rill`, in an order, and which of them need not be run again.

A recipe is a folder with a recipe.toml:

    before   commands that come first: tokenizer, statistics
    stages   configurations, each trained from the best model of the one before, and commands between them
    after    commands that come last: export, validations, card

In a command, $VARIABLE is one of the environment, of which RILL_RECIPE, RILL_DATA and RILL_OUTPUT are the folders of the
recipe, of --data and of --output, and {NAME} is one of

    {recipe}      the folder of the recipe      {model}        the model directory
    {output}      the folder of all output      {checkpoint}   the best checkpoint of the stage before, or of the last
    {text}        data.text of the last stage   {language}     data.language of it

A step has a name: that of its stage, or the words of the command before what is given to it, with a number where there
are several: tokenizer, export-onnx, validate-2.

1. A step is done if it ended well with the same command, configuration and input files, and what it wrote is there.
2. Once a step is run, so are all that follow it.
3. A run of training that was stopped is resumed. One whose configuration, data or start have changed since is
   refused: what it learned so far is of something else.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from stream.errors import InputError
from stream.files.atomic import replace_json
from stream.files.text import TextError, read_text
from train.config.file import load_config, resolve, resolve_model
from train.config.run import Config, ConfigError
from train.recipe.knobs import Knobs, english_compatible, start_from

FILE = "recipe.toml"
# Options that name what a command writes.
OUTPUTS = ("--output", "--archive", "--plot", "--json", "--predictions")
# INPUT OUTPUT ...
CONVERTING = tuple(["rill", "data", name] for name in ("align", "convert", "synthesise"))
PART = re.compile(r"(.*\S)=(?:0?\.\d+)")  # what `rill data split` writes, and its share
NOTHING = Knobs()
BEST, BEST_HARD = "best.pt", "best-hard.pt"


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A recipe.toml; what its stages and commands may name is said above."""

    stages: tuple[str, ...]
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.configurations:
            raise ValueError("stages has no configuration; it names those to train, in order")
        for line in (*self.before, *self.after):
            if not _is_command(line):
                raise ValueError(f"a step is a command of rill; this is not: {line}")

    @property
    def configurations(self) -> tuple[str, ...]:
        """The stages without the commands between them."""
        return tuple(stage for stage in self.stages if not _is_command(stage))


def _is_command(line: str) -> bool:
    return shlex.split(line)[:1] == ["rill"]


@dataclass(frozen=True)
class Step:
    """A command.

    Attributes:
        name: unique in the recipe.
        line: as it is shown; environment variables stand as they were written.
        inputs: files that it reads, by which it is told whether they have changed.
        outputs: what it writes.
        config: of a run of training, else None.
    """

    name: str
    line: str
    inputs: tuple[Path, ...]
    outputs: tuple[Path, ...]
    config: Config | None = None

    @property
    def words(self) -> list[str]:
        """The command behind `rill`, with environment variables filled in."""
        return [str(resolve(word)) if "$" in word else word for word in shlex.split(self.line)[1:]]

    def key(self) -> str:
        """Return a digest of all that the step depends on, of steps before it their files alone."""
        digest = hashlib.sha256(self.line.encode())
        if self.config is not None:
            digest.update(msgspec.json.encode(self.config))
        for path in self.inputs:
            digest.update(path.read_bytes() if path.is_file() else b"")
        return digest.hexdigest()


def read_recipe(folder: Path) -> Recipe:
    """Read the recipe of a folder.

    Raises:
        ConfigError: there is none, or it is wrong; the message says where.
    """
    path = folder / FILE
    try:
        return msgspec.toml.decode(read_text(path), type=Recipe)
    except FileNotFoundError:
        raise ConfigError(f"{folder}: has no {FILE}") from None
    except (msgspec.DecodeError, TextError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error


def steps_of(folder: Path, recipe: Recipe, output: Path, knobs: Knobs = NOTHING) -> list[Step]:
    """Return the steps of a recipe.

    Args:
        folder: of the recipe, whose name is the model's.
        output: folder of all that it writes.
        knobs: what is set besides its files.
    Raises:
        ConfigError: a configuration is wrong, or a command names what there is not.
    """
    files = [_filled(name, {"recipe": folder}, str) for name in recipe.configurations]
    stages = {Path(file).stem: file for file in files}
    if len(stages) < len(files):
        raise ConfigError(f"{folder / FILE}: two stages have the same name")
    knobs.check(stages)
    overrides = {stage: knobs.of(stage) for stage in stages}
    if knobs.init_from is not None:
        overrides[next(iter(stages))].extend(start_from(knobs.init_from))
    if knobs.english_compatible:
        for stage, file in stages.items():
            text = english_compatible(load_config(file, overrides[stage]).data.text)
            overrides[stage].append(f"data.text={text}")
    configs = {stage: load_config(file, overrides[stage]) for stage, file in stages.items()}
    last = list(stages)[-1]
    places = {
        "model": output / "model" / folder.resolve().name,
        "checkpoint": output / last / BEST,
        "output": output,
        "recipe": folder,
        "text": configs[last].data.text,
        "language": configs[last].data.language,
    }
    training = _training(stages, configs, overrides, output)
    steps = [_command(line, places) for line in recipe.before]
    so_far = dict(places)
    for line in recipe.stages:
        steps.append(_command(line, so_far) if _is_command(line) else next(training))
        if steps[-1].config is not None:
            so_far["checkpoint"] = steps[-1].outputs[0]
    steps.extend(_command(line, places) for line in recipe.after)
    return list(_named(steps))


def _filled(
    line: str, places: Mapping[str, object], quoted: Callable[[str], str] = shlex.quote
) -> str:
    try:
        return line.format(**{name: quoted(str(place)) for name, place in places.items()})
    except (KeyError, IndexError, AttributeError, ValueError) as error:
        raise ConfigError(f"{line!r}: {error}; braces name {', '.join(places)}") from None


def _command(line: str, places: Mapping[str, object]) -> Step:
    line = _filled(line, places)
    words = [resolve(word) for word in shlex.split(line)]
    pairs = list(zip(words, words[1:], strict=False))
    outputs = tuple(word for option, word in pairs if str(option) in OUTPUTS)
    outputs += tuple(words[4:5] if list(map(str, words[:3])) in CONVERTING else ())
    outputs += tuple(Path(part[1]) for word in words if (part := PART.fullmatch(str(word))))
    inputs = tuple(word for word in words if word not in outputs)
    return Step(_name(line), line, inputs, outputs)


def _name(line: str) -> str:
    """Return the words of a command before its arguments: export-onnx."""
    words = itertools.takewhile(
        lambda word: re.fullmatch(r"[a-z][a-z-]*", word), shlex.split(line)[1:]
    )
    return "-".join(words)


def _named(steps: Sequence[Step]) -> Iterator[Step]:
    """Yield the steps with a number behind a name that there was before."""
    seen: Counter[str] = Counter()
    for step in steps:
        seen[step.name] += 1
        number = seen[step.name]
        yield replace(step, name=f"{step.name}-{number}") if number > 1 else step


def _training(
    stages: Mapping[str, str],
    configs: Mapping[str, Config],
    overrides: Mapping[str, Sequence[str]],
    output: Path,
) -> Iterator[Step]:
    start: Path | None = None
    names = list(stages)
    for number, stage in enumerate(names):
        run, config = output / stage, configs[stage]
        line = shlex.join(["rill", "train", "--config", stages[stage], "--output", str(run)])
        files = [config.data.tokenizer, config.data.statistics, config.data.dev_source.location]
        files += [source.location for source in config.data.sources]
        files += [None if config.ngram is None else config.ngram.path]
        files += [config.data.text] if config.data.text.endswith(".py") else []
        inputs = [resolve(file) for file in files if file is not None]
        if start is None and config.init is not None and config.init.model is not None:
            model = resolve_model(config.init.model)
            inputs.append(model / "model.json" if model.is_dir() else model)
        if start is not None:
            line += f" --init-from {shlex.quote(str(start))}"
            inputs.append(start)
        line += "".join(f" --set {shlex.quote(override)}" for override in overrides[stage])
        after = names[number + 1 : number + 2]
        hardens = any(_soft(config) and not _soft(configs[each]) for each in after)
        start = run / (BEST_HARD if hardens else BEST)
        yield Step(stage, line, tuple(inputs), (start,), config)


def _soft(config: Config) -> bool:
    return config.specification(1).activation == "soft"


class State(msgspec.Struct):
    """What became of a step.

    Attributes:
        key: of `Step.key`, when it began.
        seconds: that it took; None: it has not ended.
    """

    key: str
    seconds: float | None = None


class Record:
    """What became of the steps of a recipe: OUTPUT/steps.json.

    Args:
        output: folder of the recipe's output.
    Raises:
        InputError: the file is broken.
    """

    def __init__(self, output: Path) -> None:
        self._path = output / "steps.json"
        self.states: dict[str, State] = {}
        if self._path.is_file():
            try:
                self.states = msgspec.json.decode(self._path.read_bytes(), type=dict[str, State])
            except msgspec.DecodeError as error:
                raise InputError(f"{self._path}: {error}; remove it to run all steps") from error

    def done(self, step: Step) -> bool:
        """Return whether a step need not be run (rule 1)."""
        state = self.states.get(step.line)
        return (
            state is not None
            and state.seconds is not None
            and all(path.exists() for path in step.outputs)
            and state.key == step.key()
        )

    def begin(self, step: Step, later: Iterable[Step]) -> None:
        """Note that a step begins, and that later ones have to be run again.

        Raises:
            ConfigError: it is a run of training that began with something else (rule 3).
        """
        key, before = step.key(), self.states.get(step.line)
        if step.config is not None and before is not None and before.key != key:
            run = step.outputs[0].parent
            if run.exists():
                raise ConfigError(
                    f"{run} was trained with another configuration, other data or from another start. Move it "
                    "away, or choose another --output"
                )
        self.states[step.line] = State(key)
        for each in later:
            if each.line in self.states:
                self.states[each.line].seconds = None
        self._write()

    def end(self, step: Step, seconds: float) -> None:
        """Note that a step ended well."""
        self.states[step.line].seconds = seconds
        self._write()

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        replace_json(self._path, self.states)
