"""Training forms of encoders: modules with the parameters of a family, and its values and gradients.

A family has one of its own in `FORMS` where that is faster or trains better; any other family trains
through its own `step`, under autograd (`train.encoders.step_form`).
"""

from __future__ import annotations

from typing import Any

from stream.model.specification import Specification
from train.config.learning import Dropout
from train.encoders.conformer import ConformerEncoder
from train.encoders.lstm import LSTMEncoder
from train.encoders.step_form import StepForm

# (specification, normalised, dropout) -> a module with the methods of `StepForm`, by the family's name.
FORMS: dict[str, Any] = {"lstm": LSTMEncoder, "conformer": ConformerEncoder}


def encoder_form(specification: Specification, *, normalised: bool, dropout: Dropout) -> Any:
    """Return the module that trains a specification's encoder.

    Args:
        specification: of the model.
        normalised: whether layers that can be normalised while training are.
        dropout: the probabilities while training.
    """
    own = FORMS.get(specification.encoder.family)
    if own is None:
        return StepForm(specification.encoder, specification.encoder.shapes())
    return own(specification, normalised=normalised, dropout=dropout)
