"""The entries of a hardware checkpoint as a value; `hwckpt.reader` and `hwckpt.writer` do the files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwckpt import layout
from hwckpt.torch_file.container import CheckpointError
from stream.stage import Floats


@dataclass(frozen=True)
class Ngram:
    """A KenLM binary and its weight; both None where the file has the entry but no n-gram."""

    binary: bytes | None = None
    scale_factor: float | None = None


@dataclass(frozen=True, eq=False)
class HardwareCheckpoint:
    """A hardware checkpoint's entries, under the format's own names.

    Attributes:
        state_dict: arrays by the file's keys and in its order, repeated ones included.
        epoch, step, best_wer: of the training; best_wer is a fraction, 1000000 if never measured.
        melmeans, melvars: (80,) float32, of log-mel.
        melalpha: weight of a new frame in the running statistics; 0: they stay.
        sentpiece_model: bytes of the SentencePiece model.
        version: None in versions 1.0 and 1.1.
        rnnt_config: the YAML or a part of it; None in versions 1.0 and 1.1.
        ngram: None in files without that entry.
        metadata: module names of the state_dict's `_metadata`; None if it has none.
        unknown: keys of the file that no version has; their values are not kept.
        notes: warnings of whoever made it; not in the file.
        path: where it was read from.
    """

    state_dict: Mapping[str, NDArray[Any]]
    epoch: int
    step: int
    best_wer: float
    melmeans: Floats
    melvars: Floats
    melalpha: float
    sentpiece_model: bytes
    version: str | None = None
    rnnt_config: Mapping[str, Any] | None = None
    ngram: Ngram | None = None
    metadata: tuple[str, ...] | None = None
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    path: Path | None = None

    @property
    def version_numbers(self) -> layout.Version:
        """The version's three numbers; (1, 0, 0) where the file has none."""
        if self.version is None:
            return 1, 0, 0
        try:
            return layout.parse_version(self.version)
        except ValueError as error:
            raise CheckpointError(str(error), self.path) from error

    def differences(self, other: HardwareCheckpoint) -> list[str]:
        """Return the entries that differ from another's, arrays compared bit for bit."""
        found = []
        if list(self.state_dict) != list(other.state_dict):
            found.append("state_dict's keys")
        for key in self.state_dict.keys() & other.state_dict.keys():
            if not equal(self.state_dict[key], other.state_dict[key]):
                found.append(f"state_dict.{key}")
        for key in (field.name for field in layout.FIELDS[1:]):
            if not _same(getattr(self, key), getattr(other, key)):
                found.append(key)
        if self.metadata != other.metadata:
            found.append("metadata")
        return sorted(found)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return equal(a, b)
    return bool(a == b or (a != a and b != b))  # a best_wer may be NaN


def equal(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Return whether two arrays are equal bit for bit, in type and shape."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
