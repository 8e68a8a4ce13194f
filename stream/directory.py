"""The model directory: what is served. `model.json` and the files it lists, nothing executable.

    model.json            specification, files with size and SHA-256, notes (provenance, WER)
    weights.safetensors   the arrays of `stream.network`, by name
    tokenizer.model       SentencePiece
    encoder.onnx, prediction.onnx, joint.onnx    graphs whose weights are those of the file above

Relocatable. Every byte is verified on load: a flipped one is named by its file. Written to a
temporary folder that is renamed when whole. The graphs come in as bytes: building them is
`export.graphs`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import safetensors
import safetensors.numpy

from stream.network import ModelError, Network, Specification

__all__ = ["FORMAT", "GRAPHS", "read", "recognises", "write"]

FORMAT = "rill-model/1"
INDEX = "model.json"
WEIGHTS = "weights.safetensors"
TOKENIZER = "tokenizer.model"
GRAPHS = ("encoder.onnx", "prediction.onnx", "joint.onnx")
NAMES = {WEIGHTS, TOKENIZER, *GRAPHS}


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    size: int
    sha256: str


class _Index(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    specification: Specification
    files: dict[str, _File]
    notes: dict[str, Any]


def recognises(path: Path) -> bool:
    """Return whether the path is a folder with a `model.json`."""
    return path.is_dir() and (path / INDEX).is_file()


def read(path: Path) -> Network:
    """Read and verify a model directory.

    Raises:
        ModelError: the index is not understood, a file is missing, or its content is not what the
            index says.
    """
    index = _read_index(path)
    for name, file in index.files.items():
        _verify(path / name, file)
    try:
        arrays = safetensors.numpy.load_file(path / WEIGHTS)
    except (safetensors.SafetensorError, OSError) as error:
        raise ModelError(f"{WEIGHTS} is not a safetensors file: {error}", path) from error
    notes = dict(index.notes)
    return Network(index.specification, arrays, (path / TOKENIZER).read_bytes(), notes, path)


def write(network: Network, path: Path, graphs: Mapping[str, bytes]) -> None:
    """Write a model directory, in one piece or not at all.

    Args:
        network: the model; its notes go into the index.
        path: a new folder, or an older model directory, which is replaced.
        graphs: bytes of the ONNX graphs by the names of `GRAPHS`; all of them, or none for a model
            that only the NumPy backend runs.
    Raises:
        ModelError: the path is something else than a model directory.
    """
    if set(graphs) - set(GRAPHS):
        raise ValueError(f"unknown graphs {sorted(set(graphs) - set(GRAPHS))}")
    if path.exists() and not recognises(path):
        raise ModelError("exists and is not a model directory; choose another place", path)
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        arrays = {name: np.ascontiguousarray(a) for name, a in network.arrays.items()}
        safetensors.numpy.save_file(arrays, whole / WEIGHTS)
        (whole / TOKENIZER).write_bytes(network.tokenizer)
        for name, content in graphs.items():
            (whole / name).write_bytes(content)
        files = {file.name: _describe(file) for file in sorted(whole.iterdir())}
        index = _Index(FORMAT, network.specification, files, dict(network.notes))
        (whole / INDEX).write_bytes(msgspec.json.format(msgspec.json.encode(index)) + b"\n")
        whole.chmod(0o755)
        if path.exists():
            retired = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
            os.rename(path, retired / path.name)
            os.rename(whole, path)
            shutil.rmtree(retired)
        else:
            os.rename(whole, path)
    finally:
        shutil.rmtree(whole, ignore_errors=True)


def _read_index(path: Path) -> _Index:
    content = (path / INDEX).read_bytes()
    try:
        version = msgspec.json.decode(content, type=dict[str, Any]).get("format")
        if version != FORMAT:
            raise ModelError(f"{INDEX} has format {version!r}, this Rill reads {FORMAT!r}", path)
        index = msgspec.json.decode(content, type=_Index)
    except msgspec.DecodeError as error:
        raise ModelError(f"{INDEX} is not understood: {error}", path) from error
    if unknown := set(index.files) - NAMES:
        raise ModelError(f"{INDEX} lists {sorted(unknown)}, which no model has", path)
    if missing := {WEIGHTS, TOKENIZER} - set(index.files):
        raise ModelError(f"{INDEX} does not list {sorted(missing)}", path)
    return index


def _verify(file: Path, expected: _File) -> None:
    if not file.is_file():
        raise ModelError(f"{file.name} is missing; copy the whole folder again", file.parent)
    found = _describe(file)
    if found != expected:
        raise ModelError(
            f"{file.name} is damaged: {found.size} bytes of SHA-256 {found.sha256[:16]}…, the index "
            f"says {expected.size} of {expected.sha256[:16]}…. Copy it again.",
            file.parent,
        )


def _describe(file: Path) -> _File:
    with file.open("rb") as content:
        return _File(file.stat().st_size, hashlib.file_digest(content, "sha256").hexdigest())
