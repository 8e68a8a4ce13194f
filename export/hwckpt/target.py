"""Which hardware format a model is written in, and what it becomes there.

The format is the generation whose arithmetic is the model's: 1.4 for hard activations and EWMA, 1.14 for
soft ones and global statistics. Another is refused unless it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import msgspec

from hwckpt.layout import FINAL_PADDING, Format
from hwckpt.writer import inexpressible
from stream.errors import ArgumentError
from stream.model.network import Network
from stream.model.specification import Specification

ALPHA = 0.001  # of a model converted to 1.4, unless --melalpha says otherwise
# A card has none of these: it hears every frame, at the level it comes.
NO_ROOMS: dict[str, Any] = {
    "gain_control": None,
    "gate": None,
    "mute_chunks": 0,
    "sound_chunks": 0,
}


class Refusal(ArgumentError):
    """An export that would change the model's arithmetic without having been asked to."""


@dataclass(frozen=True)
class Target:
    """What to write.

    Attributes:
        format: the generation.
        network: the model as the card computes it.
        converted: whether that is another arithmetic than the model's.
    """

    format: Format
    network: Network
    converted: bool


def choose(
    network: Network, format: Format | None, *, convert: bool = False, alpha: float | None = None
) -> Target:
    """Choose the format, and change the model to what it becomes in it.

    Args:
        format: None: the one whose arithmetic is the model's.
        convert: whether the arithmetic may change.
        alpha: weight of a new frame in the running statistics; None: the model's, or 0.001 where a
            model with global statistics is converted to 1.4.
    Raises:
        Refusal: the format has another arithmetic and convert is false, there is no such alpha, or the
            model has a CTC head.
        ModelError: the model has networks of another family than the LSTM, or frames that no card has.
    """
    specification = network.specification
    specification.require_lstm("a hardware checkpoint")
    specification.require_common_features("a hardware checkpoint")
    if "ctc" in specification.heads:
        raise Refusal(f"decoder is {specification.decoder}; hardware checkpoints have no ctc")
    native = specification.generation
    if native is not None and inexpressible(specification, native):
        native = None
    chosen = format or native
    if chosen is None:
        raise Refusal(
            f"{_arithmetic(specification)}: neither generation computes this. 1.4 is hard with "
            "EWMA, 1.14 soft with global statistics. Name a --format, with --convert --manifest M"
        )
    if chosen != native and not convert:
        raise Refusal(
            f"{_arithmetic(specification)}; generation {chosen} computes something else. "
            + (
                f"Leave out --format: it is {native}, or"
                if native
                else "To convert it all the same,"
            )
            + " add --convert --manifest M, which prints the word error rate under both"
        )
    if alpha is not None and (not 0.0 <= alpha < 1.0 or (chosen == "1.14" and alpha != 0.0)):
        wanted = "0 (global statistics)" if chosen == "1.14" else "at least 0 and below 1"
        raise Refusal(f"--melalpha is {alpha}; generation {chosen} wants {wanted}")
    # The format has no word for them; the weights of a quantised model are floats like any.
    changes: dict[str, Any] = {"word_delay": None, "quantisation": None, **NO_ROOMS}
    if chosen != native:
        changes |= {
            "activation": "hard" if chosen == "1.4" else "soft",
            "initial_padding": chosen == "1.14",
            "final_padding": FINAL_PADDING if chosen == "1.14" else 0,
            "symbol_counter": "running" if chosen == "1.14" else msgspec.UNSET,
            "alpha": (specification.alpha or ALPHA) if chosen == "1.4" else 0.0,
        }
        if chosen == "1.14":
            changes["number_format"] = "float32"
    if alpha is not None:
        changes["alpha"] = alpha
    changed = msgspec.structs.replace(specification, **changes)
    ngram = network.ngram if chosen == "1.14" else None
    changed_network = replace(network, specification=changed, ngram=ngram)
    return Target(chosen, changed_network, chosen != native)


def _arithmetic(specification: Specification) -> str:
    statistics = (
        f"EWMA, alpha {specification.alpha}" if specification.alpha else "global statistics"
    )
    padding = "with" if specification.initial_padding else "without"
    return (
        f"the model has {specification.activation} activations, {statistics}, {padding} padding, "
        f"{specification.number_format}"
    )
