"""The table of `rill`: the main behind each subcommand, which is imported when it is asked for.

So `rill --help` imports nothing that is slow, and `rill serve` nothing that trains. A subcommand is the
same function as `python -m MODULE`.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, cast


class Command(NamedTuple):
    """A subcommand: its module, and what it does in a line."""

    module: str
    summary: str

    @property
    def runs_as(self) -> str:
        """The same without `rill`: python -m NAME."""
        return f"python -m {self.module.removesuffix('.__main__')}"


class Main(Protocol):
    """What the modules have."""

    main: Callable[[list[str] | None], int]
    build_parser: Callable[..., argparse.ArgumentParser]


# By the words behind `rill`, in the groups of `rill --help`.
COMMANDS: Mapping[str, Mapping[str, Command]] = {
    "Recognise": {
        "transcribe": Command("server.client.transcribe", "recordings to text or captions"),
        "mic": Command("server.client.mic", "the microphone to text, as you speak"),
        "demo": Command("server.demo", "a server, a stream and its latencies, in one go"),
    },
    "Serve": {
        "serve": Command("server.__main__", "streams and uploads in several protocols"),
        "token": Command("server.tokens.__main__", "named tokens with limits, for a server"),
        "load": Command("server.load.__main__", "how many streams a server carries"),
    },
    "Train": {
        "train": Command("train.__main__", "a model from a configuration"),
        "recipe": Command("train.recipe.__main__", "a model from a clone, step by step"),
        "data": Command("train.data.__main__", "check, convert and prepare training data"),
        "tokenizer": Command("train.tokenizer", "a vocabulary from transcripts"),
        "lm": Command("train.lm.__main__", "a language model for beam search, of texts"),
        "statistics": Command("train.mel_stats", "log-mel statistics of a training set"),
        "curves": Command("train.curves", "the curves of runs, as a picture"),
        "sweep": Command("train.sweep", "which checkpoint of a run is best"),
        "average": Command("train.average", "several checkpoints of a run as one"),
        "blank-penalty": Command("train.blank_penalty", "fewer deleted words, without training"),
    },
    "Check": {
        "validate": Command("stream.validate", "word errors of a model on recordings"),
        "compare": Command(
            "export.compare.__main__", "several models or arithmetics, side by side"
        ),
        "verify": Command("export.verify", "that a model or its archive is whole"),
        "show": Command("hwckpt.show", "what is in a model, what made it, how two differ"),
    },
    "Export": {
        "export onnx": Command("export.onnx.__main__", "a model directory for ONNX Runtime"),
        "export hwckpt": Command("export.hwckpt.__main__", "a hardware checkpoint"),
        "export hardware": Command(
            "export.hardware.__main__", "integers, C and vectors for a board"
        ),
        "export sherpa": Command("export.sherpa.__main__", "a model for sherpa-onnx"),
        "export card": Command("export.card.__main__", "the card of a model: its README.md"),
        "export bundle": Command("export.bundle.__main__", "a model directory as one archive"),
        "convert": Command("hwckpt.convert", "a checkpoint to hardware, without torch"),
    },
    "This machine": {
        "doctor": Command("server.rill.doctor", "what runs here, how fast, what is missing"),
        "completion": Command("server.rill.completion", "completion for bash, zsh and fish"),
    },
}


def commands() -> dict[str, Command]:
    """Return the subcommands by the words behind `rill`."""
    return {words: command for group in COMMANDS.values() for words, command in group.items()}


def load(command: Command) -> Main:
    """Import the module of a subcommand."""
    return cast(Main, importlib.import_module(command.module))


def parser_of(command: Command) -> argparse.ArgumentParser:
    """Return the parser of a subcommand; one that takes its defaults from an environment sees none."""
    build_parser = load(command).build_parser
    return build_parser(*([{}] if inspect.signature(build_parser).parameters else []))
