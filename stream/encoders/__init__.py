"""Encoder families: one per file, listed in `FAMILIES`, behind one interface.

The interface is in `stream.encoders.family`; a model names its family in `Specification.encoder`. Outside this
folder, `stream` names only the default, the LSTM: `stream.model.specification` for files without a family, and
`stream.engine.engine` for the default length of a frame.
"""

from __future__ import annotations

from typing import Any

from stream.encoders.conformer import Conformer
from stream.encoders.family import Encoder
from stream.encoders.lstm import LSTM

__all__ = ["FAMILIES", "Encoder"]

# By the tag in a model's specification; a model that names none has an LSTM.
FAMILIES: dict[str, Any] = {"lstm": LSTM, "conformer": Conformer}
