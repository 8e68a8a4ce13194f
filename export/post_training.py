"""Integer formats of a network that was not trained in any: post-training quantisation.

The exponents of the two tensors whose range no weight bounds are chosen: that of the encoder's input by
the caller, that of the joint's hidden vector from what recordings give. The weights stay as they are.
Fine-tuning them in these formats is train's business; whether the word error rate holds, the
export's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec

from export.calibration import Calibration
from stream.backends import load_backend
from stream.engine.streams import Progress
from stream.integer.network import quantise
from stream.manifest import Utterance
from stream.model.network import Network
from stream.model.quantisation import Quantisation, joint_exponent
from stream.model.specification import ModelError

__all__ = ["INPUT_EXPONENT", "calibrated"]

INPUT_EXPONENT = 4  # -8 to 7.94: the normalised log-mel of speech stays within 7


def calibrated(
    network: Network,
    utterances: Sequence[Utterance],
    *,
    input_exponent: int = INPUT_EXPONENT,
    weight_bits: Mapping[str, int] | None = None,
    progress: Progress | None = None,
) -> Network:
    """Return a network with the integer formats that suit it on recordings.

    Args:
        network: with hard activations, float32; a quantisation that it has is replaced.
        utterances: the recordings; their texts are not looked at.
        input_exponent: of the encoder's input.
        weight_bits: by layer, 8 or 4; a layer that is not named has 8.
        progress: called with how many recordings are encoded, and how many there are.
    Returns:
        the network, whose integers `stream.integer.network.quantise` has been found to make.
    Raises:
        ModelError: the network cannot be had in integers; the message says why.
        AudioError: a recording cannot be decoded.
        ValueError: there are no recordings.
    """
    backend = load_backend("numpy", network)
    largest = Calibration(network, backend, utterances, progress).joint()
    try:
        quantisation = Quantisation(
            input=input_exponent, joint=joint_exponent(largest), weight_bits=dict(weight_bits or {})
        )
        specification = msgspec.structs.replace(network.specification, quantisation=quantisation)
    except ValueError as error:
        raise ModelError(str(error), network.path) from error
    made = replace(network, specification=specification)
    quantise(made)
    return made
