"""Kinds of error that end a command; `stream.process` gives each its exit status.

An error that is none of these is a fault of ours and ends in a traceback.
"""

from __future__ import annotations


class DifferenceError(Exception):
    """A check ran and found that something is not what it should be equal to."""


class ArgumentError(ValueError):
    """An argument, a flag of a command line or a key of a configuration that is wrong."""


class InputError(ValueError):
    """Something that was named and cannot be used: a file, a model, a server."""
