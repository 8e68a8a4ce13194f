"""Weights by name: groups of equal rate, and moments that outlive a change of groups."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from stream.model.specification import read_specification
from tests.tiny import tiny_network
from train.config.learning import Loss, Optimiser
from train.config.run import ConfigError
from train.loss.objective import Objective
from train.model import Transducer
from train.optimiser.lamb import Lamb
from train.optimiser.weights import check_keys, covering, groups, named_weights, restore


def objective(**keys: Any) -> Objective:
    return Objective(Transducer(tiny_network(**keys).specification, normalised=True), Loss())


def test_weights_have_the_names_of_their_arrays_and_of_the_helping_heads() -> None:
    own = objective()
    names = set(named_weights(own))
    helps = {f"{head}.{kind}" for head in ("ctc", "bag") for kind in ("weight", "bias")}
    assert names == set(own.model.arrays()) | helps
    assert named_weights(own)["joint.output.bias"] is own.model.output.bias


def test_families_without_a_form_of_their_own_have_such_names_too() -> None:
    sizes = {"vocabulary": 20, "hidden": 16, "pre_layers": 1, "post_layers": 1, "joint": 16}
    specification = read_specification({**sizes, "prediction": {"family": "stateless"}})
    model = Transducer(specification, normalised=False)
    assert set(named_weights(Objective(model, Loss()))) >= set(model.arrays())


def test_the_longest_key_counts_and_none_is_the_half_of_a_word() -> None:
    keys = {"encoder": 1, "encoder.pre": 2, "encoder.pre.1": 3}
    assert covering(keys, "encoder.pre.0.weight_ih", 0) == 2
    assert covering(keys, "encoder.pre.1.bias_hh", 0) == 3
    assert covering(keys, "encoder.pre.10.bias_hh", 0) == 2
    assert covering(keys, "encoder.post.0.weight_ih", 0) == 1
    assert covering(keys, "joint.encoder.weight", 0) == 0


def test_a_key_of_no_part_is_refused_with_the_parts_there_are() -> None:
    names = named_weights(objective())
    check_keys("optimiser.freeze", ["encoder", "joint", "prediction.embedding"], names)
    with pytest.raises(
        ConfigError, match=r"optimiser.freeze: the model has no encode. It has bag,"
    ):
        check_keys("optimiser.freeze", ["encode"], names)


def test_the_output_layer_is_a_group_of_its_own_at_the_end() -> None:
    names = list(named_weights(objective()))
    (plain, rest), (factor, output) = groups(names, Optimiser(joint_factor=0.343))
    assert (plain, factor) == (1.0, 0.343)
    assert output == ["joint.output.weight", "joint.output.bias"]
    assert rest == [name for name in names if name not in output]


def test_weights_of_one_factor_are_one_group() -> None:
    names = list(named_weights(objective()))
    factors = {"encoder": 0.1, "encoder.post": 0.5, "prediction": 0.1, "joint": 2.0}
    found = groups(names, Optimiser(factors=factors))
    assert [factor for factor, _ in found] == [0.1, 0.5, 2.0, 1.0, 2.0]
    by_name = {name: factor for factor, some in found for name in some}
    assert by_name["encoder.pre.0.bias_ih"] == by_name["prediction.embedding"] == 0.1
    assert by_name["encoder.post.0.bias_ih"] == 0.5
    assert by_name["joint.output.bias"] == by_name["joint.encoder.bias"] == 2.0
    assert by_name["bag.bias"] == 1.0
    assert sorted(by_name) == sorted(names)


def test_moments_are_those_of_their_weights_in_whatever_groups_these_were() -> None:
    own = objective()
    weights = named_weights(own)

    def optimiser(config: Optimiser) -> tuple[Lamb, list[str]]:
        divided = groups(weights, config)
        made = Lamb([{"params": [weights[name] for name in some]} for _, some in divided], lr=0.5)
        return made, [name for _, some in divided for name in some]

    first, before = optimiser(Optimiser())
    for number, name in enumerate(sorted(weights)):
        if name != "bag.bias":  # which was frozen
            weights[name].grad = torch.full_like(weights[name], float(number))
    first.step()
    second, now = optimiser(Optimiser(factors={"encoder": 0.1, "joint": 0.2}))
    assert now != before
    for group in second.param_groups:
        group["weight_decay"] = 0.25
    restore(second, first.state_dict(), before, now)
    for name, weight in weights.items():
        assert (weight in second.state) == (name != "bag.bias")
        if name != "bag.bias":
            assert torch.equal(second.state[weight]["exp_avg"], first.state[weight]["exp_avg"])
    assert [group["weight_decay"] for group in second.param_groups] == [0.25] * len(
        second.param_groups
    )
