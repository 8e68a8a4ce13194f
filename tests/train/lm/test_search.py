"""The search: it keeps to its ranges, repeats itself, and closes in on the best."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from train.lm.search import Optuna, Range, Search, Seeded, Values, search

RANGES = {"alpha": Range(0.0, 2.0), "beta": Range(-1.0, 1.0), "width": Range(4, 8, (4, 8))}

OPTUNA = '''
"""As much of Optuna's interface as is asked for: trials that are proposed at random."""
import random

__version__ = "0.0"


class logging:
    WARNING = 30

    @staticmethod
    def set_verbosity(level):
        assert level == 30


class samplers:
    class TPESampler:
        def __init__(self, seed):
            self.random = random.Random(seed)


class Trial:
    def __init__(self, random):
        self.random = random

    def suggest_float(self, name, low, high):
        return self.random.uniform(low, high)

    def suggest_categorical(self, name, choices):
        return self.random.choice(choices)


class Study:
    def __init__(self, sampler):
        self.random, self.told = sampler.random, []

    def ask(self):
        return Trial(self.random)

    def tell(self, trial, value):
        self.told.append(value)


def create_study(*, sampler, direction):
    assert direction == "minimize"
    return Study(sampler)
'''


def loss(values: Values) -> float:
    return (values["alpha"] - 1.3) ** 2 + (values["beta"] + 0.4) ** 2 + (values["width"] == 4)


def tried(proposals: Search, trials: int) -> list[Values]:
    found = []
    for _ in range(trials):
        found.append(proposals.ask())
        proposals.tell(loss(found[-1]))
    return found


def test_trials_are_within_their_ranges_and_the_same_for_a_seed() -> None:
    found = tried(Seeded(RANGES, 30, 1), 30)
    for name, of in RANGES.items():
        values = [trial[name] for trial in found]
        assert of.low <= min(values) < max(values) <= of.high
    assert {trial["width"] for trial in found} == {4, 8}
    assert found == tried(Seeded(RANGES, 30, 1), 30)
    assert found != tried(Seeded(RANGES, 30, 2), 30)


def test_the_first_half_is_spread_and_the_second_closes_in() -> None:
    found = tried(Seeded(RANGES, 40, 0), 40)
    first, second = found[:20], found[20:]
    counts, _ = np.histogram([trial["alpha"] for trial in first], 5, (0.0, 2.0))
    assert counts.min() >= 3
    assert min(map(loss, second)) < min(map(loss, first)) / 3
    assert (
        np.mean([loss(trial) for trial in second]) < np.mean([loss(trial) for trial in first]) / 2
    )


def test_a_search_of_one_trial_is_one() -> None:
    assert len(tried(Seeded({**RANGES, "beta": Range(0.0, 1.0)}, 1, 0), 1)) == 1


def test_optuna_is_asked_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "optuna.py").write_text(OPTUNA)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "optuna", raising=False)
    proposals = search("auto", RANGES, 5, 0)
    assert isinstance(proposals, Optuna) and proposals.name == "optuna 0.0"
    for trial in tried(proposals, 5):
        assert 0.0 <= trial["alpha"] <= 2.0
        assert trial["width"] in (4, 8)
    assert len(proposals._study.told) == 5
    monkeypatch.delitem(__import__("sys").modules, "optuna")


def test_without_optuna_the_search_is_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)  # as if it were not installed
    assert isinstance(search("auto", RANGES, 5, 0), Seeded)
    with pytest.raises(ModuleNotFoundError):
        search("optuna", RANGES, 5, 0)
    assert isinstance(search("seeded", RANGES, 5, 0), Seeded)
