"""Validation: stream recordings through a model, count errors, and report them."""

from stream.validation.run import (
    Difference,
    Outcome,
    Reference,
    Report,
    default_backend,
    validate,
)

__all__ = ["Difference", "Outcome", "Reference", "Report", "default_backend", "validate"]
