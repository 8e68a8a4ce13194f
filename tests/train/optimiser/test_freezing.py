"""Frozen parts neither learn nor measure, until they do."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from tests.tiny import tiny_network
from train.config.learning import Loss
from train.config.run import ConfigError
from train.encoders.input_norm import InputNorm
from train.loss.objective import Objective
from train.model import Transducer
from train.optimiser.freezing import Freezing
from train.optimiser.weights import named_weights


@pytest.fixture
def own() -> Objective:
    return Objective(Transducer(tiny_network().specification, normalised=True), Loss())


def learning(own: Objective) -> set[str]:
    return {name.split(".")[0] for name, w in named_weights(own).items() if w.requires_grad}


def norms(own: Objective) -> dict[str, bool]:
    return {n: m.frozen for n, m in own.model.named_modules() if isinstance(m, InputNorm)}


def test_a_part_is_frozen_to_the_end_or_until_an_update(own: Objective) -> None:
    freezing = Freezing(own, {"encoder": 10, "prediction": None}, None)
    freezing.apply(9)
    assert learning(own) == {"joint", "ctc", "bag"}
    assert norms(own) == {"encoder.post.0.norm": True, "encoder.output_norm": True}
    freezing.apply(10)
    assert learning(own) == {"encoder", "joint", "ctc", "bag"}
    assert norms(own) == {"encoder.post.0.norm": False, "encoder.output_norm": False}


def test_what_learns_later_may_be_released_and_what_never_learns_stays_frozen(
    own: Objective,
) -> None:
    freezing = Freezing(own, {"encoder": 10, "prediction": None}, None)
    freezing.release()
    freezing.apply(1)
    assert learning(own) == {"encoder", "joint", "ctc", "bag"}
    assert norms(own) == {"encoder.post.0.norm": False, "encoder.output_norm": False}


def test_a_part_of_a_frozen_part_may_be_left_to_learn(own: Objective) -> None:
    Freezing(own, {"encoder": None, "encoder.post": 1}, None).apply(1)
    weights = named_weights(own)
    assert not weights["encoder.pre.0.weight_ih"].requires_grad
    assert weights["encoder.post.0.weight_ih"].requires_grad
    assert norms(own) == {"encoder.post.0.norm": False, "encoder.output_norm": True}


def test_all_normalisations_keep_their_statistics_from_an_update_on(own: Objective) -> None:
    freezing = Freezing(own, {}, 20)
    freezing.apply(19)
    assert not any(norms(own).values())
    freezing.apply(20)
    assert all(norms(own).values())
    assert learning(own) == {"encoder", "prediction", "joint", "ctc", "bag"}


def test_a_run_in_which_nothing_learns_is_refused(own: Objective) -> None:
    parts = dict.fromkeys(("encoder", "prediction", "joint", "ctc", "bag"))
    with pytest.raises(ConfigError, match="no weight of the model is left to learn"):
        Freezing(own, parts, None)
    with pytest.raises(ConfigError, match="optimiser.freeze: the model has no decoder"):
        Freezing(own, {"decoder": None}, None)
