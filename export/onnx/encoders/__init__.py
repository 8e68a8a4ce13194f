"""ONNX graph writers of the encoder families: one file each, registered in `FAMILIES`."""

from __future__ import annotations

from export.onnx.encoders.lstm import LSTM
from export.onnx.family import Family
from stream.model.specification import Specification

# By the tag in a model's specification (`stream.encoders.FAMILIES`).
FAMILIES: dict[str, Family] = {"lstm": LSTM("encoder", "lstm")}


def encoder_of(specification: Specification) -> Family:
    """Return the family of a model's encoder; one that has no row refuses everything."""
    name = specification.encoder.family
    return FAMILIES.get(name) or Family("encoder", name)
