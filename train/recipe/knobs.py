"""Knobs of a recipe: what is set besides its files, on the command line or by variables of the environment.

Any key of the stages' configurations can be set: `updates=500` in all stages, `soft:updates=500` in one. The variable of
a key is RILL_ and its name in capitals, with two underscores for a dot: RILL_UPDATES, RILL_OPTIMISER__RATE. The command
line wins over variables. Flags of `rill recipe` have variables, too: RILL_DATA, RILL_UNTIL.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from train.config.keys import alternatives
from train.config.run import Config, ConfigError
from train.text.levels import LANGUAGES, options_of

PREFIX = "RILL_"
VARIABLES = {  # of the flags of `rill recipe`
    name: PREFIX + name.upper()
    for name in (
        "recipe",
        "data",
        "output",
        "from",
        "until",
        "only",
        "init_from",
        "english_compatible",
    )
}


@dataclass(frozen=True)
class Knobs:
    """What is set besides the files of a recipe.

    Attributes:
        overrides: KEY=VALUE or STAGE:KEY=VALUE, later ones over earlier ones.
        english_compatible: whether transcripts are folded to the alphabet of English.
        init_from: the model that the first stage takes its parts from, in place of the one that its
            configuration names; "none": it starts from scratch.
    """

    overrides: Sequence[str] = ()
    english_compatible: bool = False
    init_from: str | None = None

    def of(self, stage: str) -> list[str]:
        """Return the overrides of a stage, KEY=VALUE."""
        return [
            override
            for name, override in map(_parted, self.overrides)
            if name is None or name == stage
        ]

    def check(self, stages: Iterable[str]) -> None:
        """Refuse overrides of a stage that there is not.

        Raises:
            ConfigError: as it says.
        """
        there = list(stages)
        for override in self.overrides:
            name, _ = _parted(override)
            if name is not None and name not in there:
                raise ConfigError(f"--set {override}: no stage {name!r}, only {', '.join(there)}")


def start_from(init_from: str) -> tuple[str, ...]:
    """Return the overrides of a first stage for `Knobs.init_from`."""
    if (
        init_from == "none"
    ):  # a run from scratch learns the normalisation that a folded model has not
        return "init=null", "freeze_norms_from=null"
    return (f"init.model={init_from}",)


def _parted(override: str) -> tuple[str | None, str]:
    """Return the stage that an override names, or None, and KEY=VALUE."""
    key, equals, value = override.partition("=")
    stage, colon, key_of_stage = key.partition(":")
    return (stage, key_of_stage + equals + value) if colon else (None, override)


def of_environment(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield what variables set, KEY=VALUE, in the order of their names.

    Variables that begin with RILL_ and are of something else, such as a server's, are passed over: a name without two
    underscores has to be that of a key with a value of its own, as RILL_SEED is.
    """
    single = {
        field.name
        for field in msgspec.structs.fields(Config)
        if not any(_is_table(kind) for kind in alternatives(field.type))
    }
    for variable in sorted(environment):
        name = variable.removeprefix(PREFIX).lower()
        if variable.startswith(PREFIX) and ("__" in name or name in single):
            yield f"{name.replace('__', '.')}={environment[variable]}"


def _is_table(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct) or "dict" in str(kind)


def english_compatible(rules: str) -> str:
    """Return text rules with the option that folds letters to the alphabet of English.

    Raises:
        ConfigError: the rules are not those of a language.
    """
    name, options = options_of(rules)
    if name not in LANGUAGES:
        raise ConfigError(
            f"--english-compatible folds the letters of a language, and data.text is {rules!r}: want one of "
            f"{', '.join(LANGUAGES)}"
        )
    return rules if "ascii" in options else f"{rules}+ascii"
