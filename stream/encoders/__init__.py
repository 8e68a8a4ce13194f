"""Encoder families: one a file, listed in `FAMILIES`; no other file knows one by its name.

`stream.encoders.family` is their interface; a model names its family in `Specification.encoder`.
"""

from __future__ import annotations

from typing import Any

from stream.encoders.family import Encoder
from stream.encoders.lstm import LSTM

__all__ = ["FAMILIES", "Encoder"]

# By the tag in a model's specification; a model that names none has an LSTM.
FAMILIES: dict[str, Any] = {"lstm": LSTM}
