"""Hardware bundles: an integer model as flat arrays, and vectors of what it computes. The format, and its reader.

docs/hardware-bundle.md describes it byte by byte. `export.hardware` writes one, boards read it, and
`hwckpt.conformance.board` compares with it what a board computed. Rules by number: docs/integer.md and
docs/integer-front-end.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.errors import InputError

FORMAT = "rill-hardware/1"
MANIFEST = "manifest.json"
ARRAYS, VECTORS = "arrays", "vectors"  # folders
BINARY, HEX = ".bin", ".hex"
Type = Literal["i8", "u8", "i16", "u16", "i32", "u32", "i64"]
Kind = Literal["stream", "gain", "normaliser", "lstm", "projection", "joint"]
DTYPES: Mapping[Type, np.dtype[Any]] = {
    name: np.dtype(f"<{name[0]}{int(name[1:]) // 8}")
    for name in ("i8", "u8", "i16", "u16", "i32", "u32", "i64")
}


class BundleError(InputError):
    """A hardware bundle, or a board's arrays, that are not what they should be."""


class ArrayEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An array: NAME.bin, little-endian, rows in order; and NAME.hex, a row a line, the same values in hexadecimal.

    Attributes:
        exponent: f, where a value q stands for q 2^-f; None: it is no such number.
        meaning: what it is, and the rule that makes it.
    """

    name: str
    type: Type
    shape: tuple[int, ...]
    exponent: int | None = None
    meaning: str = ""

    @property
    def size(self) -> int:
        """Bytes of the binary file."""
        return int(np.prod(self.shape, dtype=np.int64)) * DTYPES[self.type].itemsize


class LayerEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A layer; its arrays are NAME.weight_ih, .weight_hh, .bias of an LSTM's, else NAME.weight, .bias.

    Attributes:
        kind: "lstm" (rule 3), "projection" (rule 5) or "joint" (rule 7).
        inputs, outputs: of an LSTM layer the units.
        bits: of a weight.
        shift_x, shift_h, shift: left of the products, right of the accumulator; a linear layer has no shift_h.
        exponent: of the result.
        bound: what no partial sum of any row exceeds (rule 9).
    """

    name: str
    kind: Kind
    inputs: int
    outputs: int
    bits: int
    shift_x: int
    shift_h: int = 0
    shift: int
    exponent: int
    bound: int


class CaseEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Vectors of one stream, or of a stage or layer from given states: a folder of arrays.

    Attributes:
        name: of the folder in vectors/.
        kind: "stream": samples to tokens; "gain", "normaliser": single frames of gain control, or of the normaliser
            with its gate; else single steps of `layer`.
        given: names of the arrays that go in; the others come out, in the order in which they are computed.
        text: what a stream says.
        events: of single steps: how many of them reach each tie and bound of the rules.
        unreachable: ties and bounds that are not among them, and why.
    """

    name: str
    kind: Kind
    layer: str = ""
    given: tuple[str, ...]
    arrays: tuple[ArrayEntry, ...]
    text: str = ""
    events: dict[str, int] = {}
    unreachable: dict[str, str] = {}


class CostEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a part takes.

    Attributes:
        part: name of the layer or stage.
        memory: bytes of its constants: weights, biases, tables.
        state: bytes that a stream keeps.
        macs: multiply-accumulates of one evaluation.
        each: when it is evaluated.
    """

    part: str
    memory: int
    state: int
    macs: int
    each: str


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Size in bytes and SHA-256 of a file."""

    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """manifest.json.

    Attributes:
        integer_version: of docs/integer.md.
        model: SHA-256 of the integers: of the names and bytes of `arrays`, in order.
        notes: name, licence and language of the model, where it has them.
        constants: sizes, flags, thresholds; in the C header with RILL_ before them, in capitals.
        layers, arrays: of the model, in the order of computation.
        tokens: the text of each class, "" for blank; bytes that are no UTF-8 as \\xNN.
        costs: what each part takes.
        cases: the vectors.
        files: all others of the folder.
    """

    format: str
    integer_version: int
    model: str
    notes: dict[str, Any]
    constants: dict[str, int]
    layers: tuple[LayerEntry, ...]
    arrays: tuple[ArrayEntry, ...]
    tokens: tuple[str, ...]
    costs: tuple[CostEntry, ...]
    cases: tuple[CaseEntry, ...]
    files: dict[str, FileEntry]


class Bundle:
    """A bundle that was opened: its manifest, and its arrays on demand.

    Raises:
        BundleError: the folder is not a bundle, or of a version that this reader does not know.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / MANIFEST
        try:
            content = path.read_bytes()
        except OSError as error:
            raise BundleError(
                f"{folder}: not a hardware bundle: no {MANIFEST}; write one: "
                "python -m export.hardware --ckpt MODEL --output DIR"
            ) from error
        try:
            self.manifest = msgspec.json.decode(content, type=Manifest)
        except msgspec.DecodeError as error:
            raise BundleError(f"{path}: {error}") from error
        if self.manifest.format != FORMAT:
            raise BundleError(f"{path}: format is {self.manifest.format!r}, this reads {FORMAT!r}")

    def array(self, name: str) -> NDArray[Any]:
        """Return an array of the model."""
        entry = next((each for each in self.manifest.arrays if each.name == name), None)
        if entry is None:
            raise BundleError(f"{self.folder / MANIFEST}: no array {name!r}")
        return read_array(self.folder / ARRAYS, entry)

    def vectors(self, case: CaseEntry) -> dict[str, NDArray[Any]]:
        """Return all arrays of a case."""
        folder = self.folder / VECTORS / case.name
        return {entry.name: read_array(folder, entry) for entry in case.arrays}

    def layer(self, name: str) -> LayerEntry:
        """Return a layer by its name."""
        return next(layer for layer in self.manifest.layers if layer.name == name)

    def check(self) -> None:
        """Compare all files with the manifest.

        Raises:
            BundleError: a file is missing or differs; it is named.
        """
        for name, entry in self.manifest.files.items():
            path = self.folder / name
            try:
                content = path.read_bytes()
            except OSError as error:
                raise BundleError(f"{path}: cannot be read: {error.strerror}") from error
            if file_entry(content) != entry:
                raise BundleError(
                    f"{path}: {len(content)} bytes are not those of the manifest; copy it again"
                )


def file_entry(content: bytes) -> FileEntry:
    """Return size and SHA-256 of a file's content."""
    return FileEntry(len(content), hashlib.sha256(content).hexdigest())


def read_array(folder: Path, entry: ArrayEntry) -> NDArray[Any]:
    """Read an array whose size the manifest gives.

    Raises:
        BundleError: the file is missing, or not of that size.
    """
    path = folder / f"{entry.name}{BINARY}"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) != entry.size:
        raise BundleError(
            f"{path}: {len(content)} bytes; {entry.type} of shape {entry.shape} are {entry.size}"
        )
    return np.frombuffer(content, DTYPES[entry.type]).reshape(entry.shape)


def to_binary(values: NDArray[Any], kind: Type) -> bytes:
    """Return the content of NAME.bin.

    Raises:
        ValueError: a value does not fit the type.
    """
    narrow = np.ascontiguousarray(values).astype(DTYPES[kind])
    if not np.array_equal(narrow, values):
        raise ValueError(f"a value of {np.min(values)} to {np.max(values)} does not fit {kind}")
    return narrow.tobytes()


def to_hex(values: NDArray[Any], kind: Type) -> bytes:
    """Return the content of NAME.hex, for $readmemh: two's complement, a row a line."""
    digits = DTYPES[kind].itemsize
    # Most significant byte first, as hexadecimal digits are written.
    swapped = np.ascontiguousarray(values).astype(DTYPES[kind].newbyteorder(">"))
    rows = swapped.reshape(-1, swapped.shape[-1]) if swapped.size else ()
    return b"".join(row.tobytes().hex(" ", digits).encode() + b"\n" for row in rows)
