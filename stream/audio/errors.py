"""Errors: why a recording cannot be used; each names the file and what to do."""

from __future__ import annotations

from pathlib import Path

from stream.errors import InputError


class AudioError(InputError):
    """A recording that cannot be used.

    Attributes:
        path: of the file.
        fault: the message without the path.
    """

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path, self.fault = path, message


class FormatError(AudioError):
    """A file of a format that is not read."""


class CutShortError(AudioError):
    """A recording that ends before it should."""


class TooLongError(AudioError):
    """A recording that is longer than its reader allows."""
