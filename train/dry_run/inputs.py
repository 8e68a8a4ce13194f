"""Everything that a configuration names, opened: all that cannot be used is reported at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec

from stream.errors import ArgumentError, InputError
from stream.vocabulary import Vocabulary
from train.config.file import resolve, resolve_model
from train.config.run import Config, ConfigError
from train.run.training_set import indexes, spelt_utterances, utterances_of


def check_opens(config: Config, resumes: bool = False) -> None:
    """Open every file and data set.

    Args:
        resumes: whether a run goes on: then what it began with is in its checkpoint.
    Raises:
        InputError, ConfigError: some cannot be opened; the message has a line for each.
    """
    _run_all(_openings(config, resumes))


def check_spelt(config: Config, tokenizer: bytes) -> None:
    """Spell the texts of the data sets that are read as a whole; of others some are when a run begins.

    Raises:
        InputError: a data set has texts that cannot be spelt; the message has a part for each.
    """
    data, vocabulary = config.data, Vocabulary(tokenizer)
    sets = [("data.dev", data.dev_source)]
    if data.cache == "memory":
        sets += [("data.train", source) for source in data.sources]
    _run_all((name, partial(spelt_utterances, each, data, vocabulary)) for name, each in sets)


def _openings(config: Config, resumes: bool) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield the names of keys, each with what opens the thing that it names."""
    data = config.data
    paths = {"data.noise": data.noise}
    paths["ngram.path"] = None if config.ngram is None else config.ngram.path
    if not resumes:
        paths |= {"data.tokenizer": data.tokenizer, "data.statistics": data.statistics}
        if config.init is not None and config.init.model is not None:
            yield "init.model", partial(_check_exists, config.init.model, resolve_model)
    for key, path in paths.items():
        if path is not None:
            yield key, partial(_check_exists, path)
    for source in data.sources:
        if data.cache == "memory":
            yield "data.train", partial(utterances_of, source)
        else:
            yield "data.train", partial(indexes, msgspec.structs.replace(data, train=(source,)))
    yield "data.dev", partial(utterances_of, data.dev_source)


def _check_exists(name: str, place: Callable[[str], Path] = resolve) -> None:
    if not place(name).exists():
        raise ConfigError(f"no {place(name)}")


def _run_all(checks: Iterator[tuple[str, Callable[[], object]]]) -> None:
    faults: list[tuple[str, ValueError | OSError]] = []
    for key, check in checks:
        try:
            check()
        except (InputError, ArgumentError, OSError) as error:
            faults.append((key, error))
    if not faults:
        return
    lines = [f"{key}: {error}" for key, error in faults]
    # A wrong path is a wrong configuration; what is in a file that is there is a bad input.
    kind = ConfigError if all(isinstance(e, ConfigError) for _, e in faults) else InputError
    raise kind(
        lines[0] if len(lines) == 1 else "\n    ".join(["what the configuration names:", *lines])
    )
