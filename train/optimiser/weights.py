"""The weights that train, by the names of their arrays: what a rate factor or a freeze names.

    encoder            everything of the encoder              joint.output    the output layer
    encoder.pre.0      its first layer                        prediction.embedding
    ctc, bag           heads that only help training, or the model's own CTC head
    front_end          the filters, where they are learned

A key stands for the array of that name, or for all below it; of several keys the longest counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from torch import nn
from torch.optim import Optimizer

from stream.front_end.filterbank import MEL
from train.config.learning import OUTPUT, Optimiser
from train.config.run import ConfigError
from train.optimiser.lamb import Lamb

T = TypeVar("T")

# From the names of parameters to those of arrays, in this order.
RENAMED = (
    (r"^model\.", ""),
    (r"^mel\.weight$", MEL),
    (r"^(encoder|prediction)\.(?=\1-)", ""),  # of families that train through `step`
    (r"(?<=[a-z0-9])-", "."),
    (r"\.lstm\.(?=weight_|bias_)", "."),
    (r"^prediction\.layers\.", "prediction.lstm."),
    (r"^prediction\.embedding\.weight$", "prediction.embedding"),
    (r"^joint_(?=encoder|prediction)", "joint."),
    (r"^output\.", f"{OUTPUT}."),
)


def name_of(parameter: str) -> str:
    """Return the name of the array that a parameter of `Objective` is."""
    for pattern, replacement in RENAMED:
        parameter = re.sub(pattern, replacement, parameter)
    return parameter


def named_weights(objective: nn.Module) -> dict[str, nn.Parameter]:
    """Return the weights of an `Objective` by name."""
    return {name_of(name): parameter for name, parameter in objective.named_parameters()}


def covering(keys: Mapping[str, T], name: str, otherwise: T) -> T:
    """Return what the longest key that stands for an array, or a part of it, says."""
    found = [key for key in keys if f"{name}.".startswith(f"{key}.")]
    return keys[max(found, key=len)] if found else otherwise


def check_keys(where: str, keys: Iterable[str], names: Iterable[str]) -> None:
    """Check that keys stand for weights of the model.

    Raises:
        ConfigError: one stands for none.
    """
    names = list(names)
    for key in keys:
        if not any(f"{name}.".startswith(f"{key}.") for name in names):
            there = sorted({name.rpartition(".")[0] or name for name in names})
            raise ConfigError(
                f"{where}: the model has no {key}. It has {', '.join(there)}, and what these are part of"
            )


def groups(names: Iterable[str], config: Optimiser) -> list[tuple[float, list[str]]]:
    """Divide weights into those of equal rate: (factor of the rate, names), the output layer last."""
    factors = dict(config.factors)
    if config.joint_factor != 1.0:
        factors[OUTPUT] = config.joint_factor
    found: dict[float, list[str]] = {}
    output: list[str] = []
    for name in names:
        if name.startswith(f"{OUTPUT}."):
            output.append(name)
        else:
            found.setdefault(covering(factors, name, 1.0), []).append(name)
    return [*found.items(), (covering(factors, OUTPUT, 1.0), output)]


def optimiser_of(objective: nn.Module, config: Optimiser) -> Lamb:
    """Return the optimiser of the weights of an `Objective`.

    Raises:
        ConfigError: it has a factor for a part that the model has not.
    """
    weights = named_weights(objective)
    check_keys("optimiser.factors", config.factors, weights)
    return Lamb(
        [
            {"params": [weights[name] for name in names], "factor": factor}
            for factor, names in groups(weights, config)
        ],
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        weight_decay=config.weight_decay,
        max_norm=config.clip_norm,
        trust_ratio=config.kind == "lamb",
    )


def restore(
    optimiser: Optimizer,
    saved: Mapping[str, Any],
    before: Sequence[str],
    now: Sequence[str],
) -> None:
    """Give an optimiser the moments that another one had, which may have had other groups.

    Rates, decay and betas stay its own: they are the configuration's.

    Args:
        saved: `state_dict` of the other.
        before, now: the names of the weights, in the order of the groups.
    """
    place = {name: number for number, name in enumerate(now)}
    state = {place[before[number]]: moments for number, moments in saved["state"].items()}
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
