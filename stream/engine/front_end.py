"""Which front end a recogniser runs: the model's float stages, or the same in fixed point.

Both are a `FrontEnd` and a normaliser, and whoever runs them need not know which: the fixed ones'
last output is an integer times 2^-exponent, exact in float32, that an integer backend quantises to
itself. So from 16-bit samples to tokens nothing but integers is computed.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from stream.front_end.log_mel import FrontEnd
from stream.integer.front_end import FixedFrontEnd
from stream.integer.normaliser import FixedNormaliser
from stream.model.network import Network
from stream.model.specification import ModelError
from stream.stage import Stage

FrontEndKind: TypeAlias = Literal["float", "fixed"]
FRONT_ENDS: tuple[FrontEndKind, ...] = ("float", "fixed")
INPUT_EXPONENT = 4  # of a model that is not for integers: int8 of -8 to 7.94


def front_end_stages(network: Network, kind: FrontEndKind) -> tuple[FrontEnd, Stage]:
    """Return the front end and the normaliser of a network.

    Raises:
        ModelError: the model's floor, statistics or alpha do not fit the fixed formats, or its mel is
            learned, or of magnitudes, or it has no statistics.
        ValueError: there is no such kind.
    """
    specification = network.specification
    if kind == "float":
        return network.front_end, network.normaliser
    if kind != "fixed":
        raise ValueError(f"front end: there is no kind {kind!r}, only {', '.join(FRONT_ENDS)}")
    specification.require_common_features("the fixed-point front end")
    quantisation = specification.quantisation
    try:
        front_end = FixedFrontEnd(
            specification.window,
            specification.floor,
            specification.initial_padding,
            specification.final_padding,
            specification.gain_control,
        )
        normaliser = FixedNormaliser(
            network.arrays["normaliser.mean"],
            network.arrays["normaliser.variance"],
            specification.alpha,
            quantisation.input if quantisation else INPUT_EXPONENT,
            specification.gate,
        )
    except ValueError as error:
        raise ModelError(str(error), network.path) from error
    return front_end, normaliser
