"""The model directory: what is served. `model.json` and the files it lists, nothing executable.

    model.json            specification, files with size and SHA-256, notes (provenance, WER); its own
                          `sha256` is that of the file with this value emptied
    weights.safetensors   the arrays of `stream.model.network`, by name
    tokenizer.model       SentencePiece
    ngram.binary          KenLM's n-gram model for beam search, where the model carries one
    encoder.onnx, prediction.onnx, joint.onnx    graphs whose weights are those of the file above
    encoder.int8.onnx, prediction.int8.onnx, joint.int8.onnx, weights.int8.safetensors
                          the same in int8; present only if the export measured an acceptable loss.
                          Layers kept in float have their weights in the first file
    encoder.integer.onnx, prediction.integer.onnx, joint.integer.onnx, weights.integer.safetensors
                          the same in the integers of a model that has a quantisation
    ctc.onnx              the graph of a CTC head; a model that decodes with CTC alone has no prediction
                          network and no joint

Relocatable. Every byte is verified on load: a flipped one is named by its file. Files that the index
does not list, such as a model card, are never opened. Written to a temporary folder that is renamed
when whole. The graphs come in as bytes: `export.build` builds them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import safetensors
import safetensors.numpy

from stream.files.atomic import folder_beside, locked, replace_file
from stream.model.network import Network, NgramFile
from stream.model.specification import ModelError, Specification, decode_family

FORMAT = "rill-model/1"
INDEX = "model.json"
WEIGHTS = "weights.safetensors"
TOKENIZER = "tokenizer.model"
NGRAM = "ngram.binary"
GRAPHS = ("encoder.onnx", "prediction.onnx", "joint.onnx")
CTC_GRAPH = "ctc.onnx"
INT8_GRAPHS = ("encoder.int8.onnx", "prediction.int8.onnx", "joint.int8.onnx")
INT8_WEIGHTS = "weights.int8.safetensors"
INT8 = {*INT8_GRAPHS, INT8_WEIGHTS}
INTEGER_GRAPHS = ("encoder.integer.onnx", "prediction.integer.onnx", "joint.integer.onnx")
INTEGER_WEIGHTS = "weights.integer.safetensors"
INTEGER = {*INTEGER_GRAPHS, INTEGER_WEIGHTS}
# Keys of the index, in the order of the fields of `NgramFile` behind its binary.
FUSION = ("ngram_weight", "ngram_word_bonus", "ngram_unknown_penalty", "ngram_internal_weight")
NAMES = {WEIGHTS, TOKENIZER, NGRAM, CTC_GRAPH, *GRAPHS, *INT8, *INTEGER}


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    size: int
    sha256: str


class _Index(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    format: str
    sha256: str
    specification: Specification
    files: dict[str, _File]
    notes: dict[str, Any]
    ngram_weight: float | None = None
    ngram_word_bonus: float = 0.0
    ngram_unknown_penalty: float = 0.0
    ngram_internal_weight: float = 0.0


def graph_names(
    specification: Specification, names: tuple[str, str, str] = GRAPHS
) -> tuple[str, ...]:
    """Return the names of the graphs that a model has.

    Args:
        names: `GRAPHS`, `INT8_GRAPHS` or `INTEGER_GRAPHS`; a CTC head is float32 beside any of them.
    """
    heads = specification.heads
    transducer = names if "transducer" in heads else names[:1]
    return (*transducer, CTC_GRAPH) if "ctc" in heads else transducer


def recognises(path: Path) -> bool:
    """Return whether the path is a folder with a `model.json`."""
    return path.is_dir() and (path / INDEX).is_file()


def read(path: Path) -> Network:
    """Read and verify a model directory.

    Raises:
        ModelError: the index is not understood, a file is missing, not listed, or its content is not
            what the index says.
    """
    index = _read_index(path)
    for name, file in sorted(index.files.items()):
        _verify(path / name, file)
    for name in sorted(NAMES - set(index.files)):
        if (path / name).exists():  # nobody vouches for it, and a backend would run it
            raise ModelError(f"{name} is not listed in {INDEX}; remove it", path)
    try:
        arrays = safetensors.numpy.load_file(path / WEIGHTS)
    except (safetensors.SafetensorError, OSError) as error:
        raise ModelError(f"{WEIGHTS} is not a safetensors file: {error}", path) from error
    ngram = None
    if NGRAM in index.files:
        ngram = NgramFile((path / NGRAM).read_bytes(), *(getattr(index, key) for key in FUSION))
    tokenizer, notes = (path / TOKENIZER).read_bytes(), dict(index.notes)
    return Network(index.specification, arrays, tokenizer, notes, path, ngram)


def serialise(network: Network) -> bytes:
    """Return the content of `weights.safetensors`; graphs point into it by offset."""
    return safetensors.numpy.save(
        {name: np.ascontiguousarray(array) for name, array in network.arrays.items()}
    )


def write(network: Network, path: Path, graphs: Mapping[str, bytes]) -> None:
    """Write a model directory, in one piece or not at all; see `writing`."""
    with writing(network, path, graphs):
        pass


@contextmanager
def writing(network: Network, path: Path, graphs: Mapping[str, bytes]) -> Iterator[Path]:
    """Write a model directory under a temporary name, and rename it when the block is left.

    In the block the folder is whole and can be tried out. If the block raises, nothing is left, and
    what stood at `path` before stands there still.

    Args:
        network: the model; its notes go into the index.
        path: a new or empty folder, or an older model directory, which is replaced; files in that
            one which are no part of the model, such as a model card, stay.
        graphs: bytes of the ONNX graphs by their names, `graph_names`; all of them, or none for a
            model that only the NumPy backends run. Beside them all of the int8 ones and `INT8_WEIGHTS`, or
            none, and so with the integer ones.
    Yields:
        the temporary folder, beside `path`.
    Raises:
        ModelError: the path is something else than a model directory.
        ValueError: some graphs are missing or unknown.
    """
    wanted = graph_names(network.specification)
    rounded = {*graph_names(network.specification, INT8_GRAPHS), INT8_WEIGHTS}
    beside: tuple[set[str], ...] = (set(), rounded, INTEGER, rounded | INTEGER)
    if graphs and set(graphs) not in [{*wanted, *more} for more in beside]:
        raise ValueError(
            f"graphs are {sorted(graphs)}, want {sorted(wanted)}, those and {sorted(rounded)} or "
            f"{sorted(INTEGER)} or both, or none"
        )
    occupied = path.exists() and (not path.is_dir() or any(path.iterdir()))
    if occupied and not recognises(path):
        raise ModelError("exists and is not a model directory; choose another place", path)
    path = path.resolve()
    with folder_beside(path) as temporary:
        whole = temporary / path.name
        if occupied:
            ours = {INDEX, *NAMES}
            shutil.copytree(
                path, whole, symlinks=True, ignore=lambda at, _: ours if Path(at) == path else ()
            )
        else:
            whole.mkdir()
        content = {WEIGHTS: serialise(network), TOKENIZER: network.tokenizer, **graphs}
        if network.ngram is not None:
            content[NGRAM] = network.ngram.binary
        files = {name: _store(whole / name, content[name]) for name in sorted(content)}
        index = _Index(FORMAT, "", network.specification, files, dict(network.notes))
        if network.ngram is not None:
            index = msgspec.structs.replace(index, **_fusion(network.ngram))
        _write_index(whole, index)
        yield whole
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(whole, path, temporary / "retired")


def note(path: Path, change: Callable[[Mapping[str, Any]], dict[str, Any]]) -> None:
    """Change the notes of a model directory, and nothing else; one process at a time.

    Args:
        change: returns the notes as they should be, of those that are there.
    Raises:
        ModelError: its index is not understood.
    """
    with locked(path):
        index = _read_index(path)
        _write_index(path, msgspec.structs.replace(index, sha256="", notes=change(index.notes)))


def carry(
    path: Path, ngram: NgramFile, change: Callable[[Mapping[str, Any]], dict[str, Any]]
) -> None:
    """Give a model directory another n-gram model, or other weights of it, and change its notes.

    Whoever reads it while its n-gram model is replaced may find that one damaged, and has to read it again.

    Raises:
        ModelError: its index is not understood.
    """
    with locked(path):
        index = _read_index(path)
        file = _File(len(ngram.binary), hashlib.sha256(ngram.binary).hexdigest())
        if index.files.get(NGRAM) != file:
            replace_file(path / NGRAM, ngram.binary)
        files = dict(sorted({**index.files, NGRAM: file}.items()))
        notes = change(index.notes)
        _write_index(
            path,
            msgspec.structs.replace(index, sha256="", files=files, notes=notes, **_fusion(ngram)),
        )


def _fusion(ngram: NgramFile) -> dict[str, float | None]:
    values = (ngram.weight, ngram.word_bonus, ngram.unknown_penalty, ngram.internal_weight)
    return dict(zip(FUSION, values, strict=True))


def _replace(whole: Path, path: Path, retired: Path) -> None:
    """Rename `whole` to `path`; an older folder there is moved away, and back if that fails.

    Between the two renames there is nothing at `path`: a reader finds the old model, none, or the new
    one.
    """
    if not path.exists():
        os.rename(whole, path)
        return
    os.rename(path, retired)
    try:
        os.rename(whole, path)
    except BaseException:
        os.rename(retired, path)
        raise


def _store(file: Path, content: bytes) -> _File:
    file.write_bytes(content)
    return _File(len(content), hashlib.sha256(content).hexdigest())


def _write_index(path: Path, index: _Index) -> None:
    replace_file(path / INDEX, _seal(msgspec.json.format(msgspec.json.encode(index)) + b"\n"))


def _seal(content: bytes) -> bytes:
    """Fill the index' own hash, which is the first `"sha256": ""` in it, in."""
    digest = hashlib.sha256(content).hexdigest()
    return content.replace(b'"sha256": ""', f'"sha256": "{digest}"'.encode(), 1)


def _read_index(path: Path) -> _Index:
    content = (path / INDEX).read_bytes()
    try:
        version = msgspec.json.decode(content, type=dict[str, Any]).get("format")
        if version != FORMAT:
            raise ModelError(f"{INDEX} has format {version!r}, this Rill reads {FORMAT!r}", path)
        index = msgspec.json.decode(content, type=_Index, dec_hook=decode_family)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ModelError(f"{INDEX} is not understood: {error}", path) from error
    if _seal(content.replace(index.sha256.encode(), b"", 1)) != content:
        raise ModelError(f"{INDEX} is damaged: it is not the text of its SHA-256", path)
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
