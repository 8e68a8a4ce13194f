"""Read the two containers of `torch.save` without torch.

1. Zip, since torch 1.6: records <root>/data.pkl, <root>/data/<key> for each storage,
   <root>/byteorder (absent: little), stored without compression; the root's name varies.
2. Legacy: pickles of a magic number, the version 1001, the writer's system, the object and the list
   of storage keys, then for each key an int64 count and the elements, always little-endian.

Nothing is executed (`hwckpt.torch_file.unpickler`). Storages are read when an array is asked for, checked
against the file's size and, in the zip, its checksum. `hwckpt.reader` knows what a dictionary in such a
file means.
"""

from __future__ import annotations

import io
import math
import mmap
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray

from hwckpt.torch_file.allowed import Storage, Tensor
from hwckpt.torch_file.unpickler import Unpickled, unpickle
from stream.model.specification import ModelError

ZIP = b"PK\x03\x04"
MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_VERSION = 1001
HEAD = 1 << 20  # bytes looked at in a file whose end is missing

# What the zip module raises for broken files, ValueError and its kin aside.
BROKEN = (
    zipfile.BadZipFile,
    ValueError,
    KeyError,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
    struct.error,
)


class CheckpointError(ModelError):
    """A file is not the checkpoint that it should be; `path` is the file."""


def is_torch_file(path: Path) -> bool:
    """Return whether a file is, or begins as, what torch.save writes; reads its beginning only."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(ZIP):
        return b"/data.pkl" in head or _has_pickle(path)
    return MAGIC.to_bytes(10, "little") in head[:32] or str(MAGIC).encode() in head[:32]


def _has_pickle(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as container:
            return any(name.endswith("/data.pkl") for name in container.namelist())
    except BROKEN:
        return False


def pickle_bytes(path: Path) -> bytes:
    """Return a torch file's undecoded pickle; of a broken or legacy one, the first megabyte."""
    try:
        with zipfile.ZipFile(path) as container:
            return container.read(_pickle_name(container))
    except BROKEN:
        with path.open("rb") as file:
            return file.read(HEAD)


def _pickle_name(container: zipfile.ZipFile) -> str:
    names = [name for name in container.namelist() if name.endswith("/data.pkl")]
    if len(names) != 1:
        raise ValueError(f"the zip has {len(names)} records */data.pkl, wants 1")
    return names[0]


class TorchFile:
    """An open file of `torch.save`; use it in a `with` statement.

    Attributes:
        content: the saved object, a `Tensor` for each tensor.
        container: "zip" or "legacy".
        protocol: of the pickle.
        byteorder: "little" or "big", of the storages.
        records: names and sizes in bytes of the zip's records, or of the legacy file's storages.
    Raises:
        CheckpointError: the file is no such file, is broken, or was refused.
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._arrays: dict[tuple[str, str], NDArray[Any]] = {}
        self._read: Callable[[str], bytes]
        self._file = path.open("rb")
        try:
            with self._errors():
                head = self._file.read(32)
                self._file.seek(0)
                if head.startswith(ZIP):
                    self.container: Literal["zip", "legacy"] = "zip"
                    self._open_zip()
                elif head:
                    self.container = "legacy"
                    self._open_legacy()
                else:
                    raise ValueError("the file is empty")
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except CheckpointError:
            raise
        except BROKEN as error:
            raise CheckpointError(f"not a readable torch file: {error}", self.path) from error

    def _take(self, unpickled: Unpickled) -> None:
        self.content = unpickled.value
        self.protocol = unpickled.protocol

    def _open_zip(self) -> None:
        container = zipfile.ZipFile(self._file)
        size = self.path.stat().st_size
        entries = container.infolist()
        for entry in entries:
            if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
                raise ValueError(f"record {entry.filename} is compressed, torch stores records")
        if sum(entry.file_size for entry in entries) > size:
            raise ValueError("the records are larger than the file; they overlap")
        name = _pickle_name(container)
        root = name.removesuffix("data.pkl")
        self.records = {entry.filename.removeprefix(root): entry.file_size for entry in entries}
        order = container.read(f"{root}byteorder") if "byteorder" in self.records else b"little"
        if order not in (b"little", b"big"):
            raise ValueError(f"byteorder is {order[:20]!r}, wants little or big")
        self.byteorder = order.decode()
        self._take(unpickle(io.BytesIO(container.read(name))))
        self._read = lambda key: container.read(f"{root}data/{key}")

    def _open_legacy(self) -> None:
        view = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        stream = cast(IO[bytes], view)
        magic, version = unpickle(stream).value, unpickle(stream).value
        if magic != MAGIC or version != LEGACY_VERSION:
            raise ValueError(f"neither a zip nor a legacy file of version {LEGACY_VERSION}")
        unpickle(
            stream
        )  # type sizes and byte order of the writer; torch writes little-endian anyway
        unpickled = unpickle(stream)
        self._take(unpickled)
        self.byteorder = "little"
        places: dict[str, slice] = {}
        keys = unpickle(stream).value
        for key in keys if isinstance(keys, list) else []:
            count = view.read(8)
            if key not in unpickled.storages or len(count) != 8:
                raise ValueError(f"storage {str(key)[:40]} is unknown or ends too early")
            width = np.dtype(_dtype(unpickled.storages[key].element)).itemsize
            start = view.tell()
            end = start + width * int.from_bytes(count, "little")
            if end > len(view):
                raise ValueError(f"storage {key} ends too early, at byte {len(view)} of {end}")
            places[key] = slice(start, end)
            view.seek(end)
        self.records = {key: place.stop - place.start for key, place in places.items()}
        self._read = lambda key: view[places[key]]

    def array(self, tensor: Tensor) -> NDArray[Any]:
        """Return a tensor's numbers; of bfloat16 as float32. Tensors of one storage share memory.

        Raises:
            CheckpointError: its storage is missing, broken or too small for it.
        """
        with self._errors():
            numbers = self._storage(tensor.storage)
            last = tensor.offset + sum(
                (n - 1) * stride for n, stride in zip(tensor.shape, tensor.strides, strict=True)
            )
            elements = math.prod(tensor.shape)
            if elements and (last >= len(numbers) or elements > len(numbers)):
                raise ValueError(
                    f"a tensor {tensor.shape} needs element {last} of storage "
                    f"{tensor.storage.key}, which has {len(numbers)}"
                )
            return np.lib.stride_tricks.as_strided(
                numbers[tensor.offset :] if elements else numbers[:0],
                tensor.shape,
                [stride * numbers.itemsize if elements else 0 for stride in tensor.strides],
            )

    def _storage(self, storage: Storage) -> NDArray[Any]:
        known = (storage.key, storage.element)
        if known in self._arrays:
            return self._arrays[known]
        try:
            raw = self._read(storage.key)
        except KeyError as error:
            raise ValueError(f"storage {storage.key} is missing") from error
        dtype = np.dtype(_dtype(storage.element))
        if len(raw) != storage.count * dtype.itemsize:
            raise ValueError(
                f"storage {storage.key} has {len(raw)} bytes, "
                f"the pickle says {storage.count} of {storage.element}"
            )
        stored = dtype.newbyteorder(">" if self.byteorder == "big" else "<")
        numbers = np.frombuffer(raw, stored).astype(dtype)
        if storage.element == "bfloat16":
            numbers = (numbers.astype(np.uint32) << 16).view(np.float32)
        self._arrays[known] = numbers
        return numbers


def _dtype(element: str) -> str:
    return "uint16" if element == "bfloat16" else element
