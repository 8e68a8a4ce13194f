"""Integer formats of a network that was not trained in any: post-training quantisation.

Two tensors have a range that no weight bounds: the caller chooses the exponent of the encoder's input,
and recordings give that of the joint's hidden vector. The weights stay as they are. Training can
fine-tune them in these formats; the export measures the word error rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec

from export.calibration import Calibration
from stream.backends import load_backend
from stream.engine.streams import Progress
from stream.integer.network import to_integers
from stream.manifest import Utterance
from stream.model.network import Network
from stream.model.quantisation import Quantisation, joint_exponent
from stream.model.specification import ModelError

INPUT_EXPONENT = 4  # -8 to 7.94: the normalised log-mel of speech stays within 7


def calibrated(
    network: Network,
    utterances: Sequence[Utterance],
    *,
    input_exponent: int = INPUT_EXPONENT,
    weight_bits: Mapping[str, int] | None = None,
    progress: Progress | None = None,
) -> Network:
    """Return a network with integer formats chosen on recordings.

    Args:
        network: with hard activations, float32; a quantisation that it has is replaced.
        utterances: the recordings; their texts are not looked at.
        input_exponent: of the encoder's input.
        weight_bits: by layer, 8 or 4; a layer that is not named has 8.
        progress: called with how many recordings are encoded, and how many there are.
    Returns:
        the network; `stream.integer.network.to_integers` accepts it.
    Raises:
        ModelError: the network cannot be computed in integers; the message says why.
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
    to_integers(made)
    return made
