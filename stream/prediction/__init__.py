"""Prediction network families: one per file, listed in `FAMILIES`, as encoder families are.

The interface is in `stream.prediction.family`; a model names its family in `Specification.prediction`.
"""

from __future__ import annotations

from typing import Any

from stream.prediction.family import Prediction
from stream.prediction.lstm import PredictionLSTM
from stream.prediction.stateless import Stateless

__all__ = ["FAMILIES", "Prediction"]

# By the tag in a model's specification; a model that names none has an LSTM.
FAMILIES: dict[str, Any] = {"lstm": PredictionLSTM, "stateless": Stateless}
