"""Training checkpoints: everything that a run needs to resume bit for bit, in one file.

A zip of `torch.save` whose top dictionary carries the key "rill_checkpoint" (the version); read with
`weights_only=True`, so nothing is executed. Written to a temporary name and renamed: a checkpoint is
never half written. `read` folds the averaged weights into a `Network`.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from stream.files.atomic import replacing
from stream.model.network import Network, NgramFile
from stream.model.specification import ModelError, Specification, read_specification
from stream.stage import Floats

if TYPE_CHECKING:  # recognising a checkpoint needs no torch, and a board has none
    from train.model import Transducer

KEY = "rill_checkpoint"
VERSION = 1


def recognises(path: Path) -> bool:
    """Return whether the file is a training checkpoint of ours, by its content."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as container:
            names = [name for name in container.namelist() if name.endswith("/data.pkl")]
            return len(names) == 1 and KEY.encode() in container.read(names[0])
    except (zipfile.BadZipFile, zlib.error, RuntimeError, OSError):  # RuntimeError: encrypted
        return False


def save(content: dict[str, Any], path: Path) -> None:
    """Write a checkpoint: tensors, numbers, strings and bytes in nested dictionaries and lists."""
    import torch

    with replacing(path) as partial, partial.open("wb") as file:
        torch.save({KEY: VERSION, **content}, file)


def load(path: Path) -> dict[str, Any]:
    """Read what `save` wrote.

    Raises:
        ModelError: the file is truncated, no checkpoint of ours, or of another version.
    """
    import torch

    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load has no common type of its own for a broken file
        raise ModelError(f"not a readable training checkpoint: {error}", path) from error
    if not isinstance(content, dict) or KEY not in content:
        raise ModelError("is not a training checkpoint", path)
    if content[KEY] != VERSION:
        raise ModelError(
            f"is a checkpoint of version {content[KEY]}, this Rill reads {VERSION}", path
        )
    return content


def specification_of(content: dict[str, Any], path: Path) -> Specification:
    """Return the specification of a loaded checkpoint.

    Raises:
        ModelError: there is none, or it is wrong.
    """
    try:
        return read_specification(content["specification"])
    except (KeyError, msgspec.ValidationError) as error:
        raise ModelError(f"a part of the checkpoint is missing or wrong: {error}", path) from error


def read(path: Path) -> Network:
    """Return the averaged weights of a checkpoint as a `Network`, the normalisation folded in.

    Raises:
        ModelError: the file is not a checkpoint, or one of its parts is missing.
    """
    from train.model import Transducer

    content = load(path)
    try:
        specification = specification_of(content, path)
        module = Transducer(specification, normalised=not specification.rounded)
        module.load_state_dict(content["averaged"])
        return network_of(
            module,
            statistics_in(content),
            content["tokenizer"],
            dict(content["notes"]),
            path,
            ngram_in(content),
        )
    except ModelError:
        raise
    except (KeyError, TypeError, ValueError, RuntimeError, msgspec.ValidationError) as error:
        raise ModelError(f"a part of the checkpoint is missing or wrong: {error}", path) from error


def ngram_in(content: Mapping[str, Any]) -> NgramFile | None:
    """Return the n-gram model that a loaded checkpoint carries, or None."""
    ngram = content.get("ngram")
    return None if ngram is None else NgramFile(**ngram)


def statistics_in(content: Mapping[str, Any]) -> dict[str, Floats]:
    """Return the arrays of the normaliser of a loaded checkpoint, none for a model without statistics."""
    names = () if "normaliser" in content["specification"] else ("mean", "variance")
    return {f"normaliser.{name}": np.array(content[name], np.float32) for name in names}


def network_of(
    module: Transducer,
    statistics: Mapping[str, Floats],
    tokenizer: bytes,
    notes: dict[str, Any],
    path: Path | None = None,
    ngram: NgramFile | None = None,
) -> Network:
    """Fold a module into a `Network`.

    Args:
        statistics: the arrays of its normaliser.
    """
    arrays = {**statistics, **module.arrays()}
    return Network(module.specification, arrays, tokenizer, notes, path, ngram)
