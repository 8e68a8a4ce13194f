"""Training forms of prediction networks, like those of encoders in `train.encoders`."""

from __future__ import annotations

from typing import Any

from stream.model.specification import Specification
from train.config.learning import Dropout
from train.encoders.step_form import StepForm
from train.prediction.lstm import LSTMPrediction

# (specification, dropout) -> a module with the methods of `StepForm`, by the family's name.
FORMS: dict[str, Any] = {"lstm": LSTMPrediction}


def prediction_form(specification: Specification, dropout: Dropout) -> Any:
    """Return the module that trains a specification's prediction network."""
    family = specification.prediction
    own = FORMS.get(family.family)
    if own is None:
        return StepForm(family, family.shapes(specification.vocabulary))
    return own(specification, dropout)
