"""The error that every exporter raises when its output is wrong."""

from __future__ import annotations

from stream.errors import DifferenceError


class ExportError(DifferenceError):
    """An artefact that is not the model, or computes something else than the model."""
