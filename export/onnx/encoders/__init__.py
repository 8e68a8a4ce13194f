"""ONNX graph writers of the encoder families, registered in `FAMILIES`.

lstm         the LSTM encoder
conformer    the Conformer, of chunk, subsampling, attention and mamba
"""

from __future__ import annotations

from export.onnx.encoders.conformer import Conformer
from export.onnx.encoders.lstm import LSTM
from export.onnx.family import Family
from stream.model.specification import Specification

# By the tag in a model's specification (`stream.encoders.FAMILIES`).
FAMILIES: dict[str, Family] = {
    "lstm": LSTM("encoder", "lstm"),
    "conformer": Conformer("encoder", "conformer"),
}


def encoder_of(specification: Specification) -> Family:
    """Return the family of a model's encoder; one that has no row refuses everything."""
    name = specification.encoder.family
    return FAMILIES.get(name) or Family("encoder", name)
