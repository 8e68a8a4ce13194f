"""Validation: stream recordings through a model, count errors, and report them."""

from stream.validation.report import Difference, Outcome, Report
from stream.validation.run import Reference, validate

__all__ = ["Difference", "Outcome", "Reference", "Report", "validate"]
