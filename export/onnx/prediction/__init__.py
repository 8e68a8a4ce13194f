"""ONNX graph writers of the prediction network families: one file each, registered in `FAMILIES`."""

from __future__ import annotations

from export.onnx.family import Family
from export.onnx.prediction.lstm import LSTM
from export.onnx.prediction.stateless import Stateless
from stream.model.specification import Specification

# By the tag in a model's specification (`stream.prediction.FAMILIES`).
FAMILIES: dict[str, Family] = {
    "lstm": LSTM("prediction network", "lstm"),
    "stateless": Stateless("prediction network", "stateless"),
}


def prediction_of(specification: Specification) -> Family:
    """Return the family of a model's prediction network; one that has no row refuses everything."""
    name = specification.prediction.family
    return FAMILIES.get(name) or Family("prediction network", name)
