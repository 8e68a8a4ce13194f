"""Search: which values of some parameters to try next, by what earlier trials found.

Optuna's Tree-structured Parzen Estimator where it is installed, else a search of our own:

1. The first half of the trials spread evenly, by the additive recurrence of the generalised golden ratio (Roberts, 2018).
2. Each of the others is drawn around the best so far, by a normal distribution that narrows from a quarter of the range
   to a fiftieth.

Both are seeded: the same trials with the same results propose the same values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np

Values: TypeAlias = dict[str, float]
WIDEST, NARROWEST = 1 / 4, 1 / 50  # of the range, rule 2


@dataclass(frozen=True)
class Range:
    """The values of a parameter.

    Attributes:
        low, high: bounds, both included; the same where it is not searched.
        choices: the only values there are; empty: all between the bounds.
    """

    low: float
    high: float
    choices: tuple[int, ...] = ()

    def at(self, share: float) -> float:
        """Return the value at a share of the range, 0 to 1."""
        if self.choices:
            return self.choices[min(int(share * len(self.choices)), len(self.choices) - 1)]
        return self.low + share * (self.high - self.low)


class Search(Protocol):
    """Proposes values, one trial after the other."""

    name: str

    def ask(self) -> Values:
        """Return the values of the next trial."""
        ...

    def tell(self, loss: float) -> None:
        """Say what the trial that was asked for last has found; less is better."""
        ...


class Seeded:
    """The search of our own.

    Args:
        ranges: of the parameters, by name.
        trials: how many there will be.
    """

    name = "seeded search"

    def __init__(self, ranges: Mapping[str, Range], trials: int, seed: int) -> None:
        self._ranges, self._trials = ranges, trials
        self._random = np.random.default_rng(seed)
        self._first = self._random.random(len(ranges))
        # The root of x^(d + 1) = x + 1, and its negative powers.
        root = 2.0
        for _ in range(64):
            root = (1.0 + root) ** (1.0 / (len(ranges) + 1))
        self._strides = root ** -np.arange(1.0, len(ranges) + 1)
        self._told: list[tuple[float, np.ndarray[Any, Any]]] = []
        self._asked = self._first

    def ask(self) -> Values:
        done, spread = len(self._told), math.ceil(self._trials / 2)
        if done < spread:
            self._asked = (self._first + done * self._strides) % 1.0
        else:
            _, best = min(self._told, key=lambda told: told[0])
            left = (done - spread) / max(self._trials - spread - 1, 1)
            width = WIDEST * (NARROWEST / WIDEST) ** left
            self._asked = np.clip(best + width * self._random.standard_normal(len(best)), 0.0, 1.0)
        return {
            name: of.at(float(share))
            for (name, of), share in zip(self._ranges.items(), self._asked, strict=True)
        }

    def tell(self, loss: float) -> None:
        self._told.append((loss, self._asked))


class Optuna:
    """Optuna's search.

    Raises:
        ModuleNotFoundError: it is not installed.
    """

    def __init__(self, ranges: Mapping[str, Range], seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=seed)
        self._study: Any = optuna.create_study(sampler=sampler, direction="minimize")
        self._ranges = ranges
        self._trial: Any = None
        self.name = f"optuna {optuna.__version__}"

    def ask(self) -> Values:
        self._trial = self._study.ask()
        return {name: self._suggested(name, of) for name, of in self._ranges.items()}

    def _suggested(self, name: str, of: Range) -> float:
        if of.choices:
            return float(self._trial.suggest_categorical(name, list(of.choices)))
        return float(self._trial.suggest_float(name, of.low, of.high))

    def tell(self, loss: float) -> None:
        self._study.tell(self._trial, loss)


def search(kind: str, ranges: Mapping[str, Range], trials: int, seed: int) -> Search:
    """Return a search.

    Args:
        kind: "optuna", "seeded", or "auto": Optuna where it is installed.
    Raises:
        ModuleNotFoundError: Optuna is asked for and not installed.
    """
    if kind == "seeded":
        return Seeded(ranges, trials, seed)
    try:
        return Optuna(ranges, seed)
    except ModuleNotFoundError as error:
        if kind == "optuna" or error.name != "optuna":
            raise
        return Seeded(ranges, trials, seed)


KINDS: Sequence[str] = ("auto", "optuna", "seeded")
