"""Pickle dictionaries, numbers, strings, bytes and arrays as torch.save does.

The opposite of `hwckpt.torch_file.unpickler`, for protocols 2 to 5, without torch. Arrays are described in the
pickle and kept as `storages`, which the writer puts into records of their own;
arrays that share memory share a storage. Nothing is memoised: a checkpoint repeats little.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwckpt.torch_file.allowed import STORAGES


@dataclass(frozen=True, eq=False)
class StateDict:
    """Arrays by name, to become an OrderedDict with the modules' versions as `_metadata`."""

    arrays: Mapping[str, NDArray[Any]]
    metadata: tuple[str, ...] | None


STORAGE_OF = {np.dtype(e): name for name, e in STORAGES.items() if e != "bfloat16"}


class Pickler:
    """Writes dictionaries, lists, numbers, strings, bytes, arrays; keeps the arrays' storages."""

    def __init__(self, protocol: int) -> None:
        self.protocol = protocol
        self.storages: list[NDArray[Any]] = []
        self._keys: dict[tuple[int, int, str], int] = {}
        self._out = bytearray()

    def dump(self, value: Any) -> bytes:
        self._out = bytearray()
        self._save(value)
        self._out += b"."
        start = b"\x80" + bytes([self.protocol])
        if self.protocol >= 4:
            start += b"\x95" + struct.pack("<Q", len(self._out))
        return start + bytes(self._out)

    def _save(self, value: Any) -> None:
        out = self._out
        if value is None:
            out += b"N"
        elif isinstance(value, bool):
            out += b"\x88" if value else b"\x89"
        elif isinstance(value, int):
            self._save_int(value)
        elif isinstance(value, float):
            out += b"G" + struct.pack(">d", value)
        elif isinstance(value, str):
            self._save_text(value)
        elif isinstance(value, bytes):
            self._save_bytes(value)
        elif isinstance(value, Mapping):
            out += b"}("
            for key, item in value.items():
                self._save(key)
                self._save(item)
            out += b"u"
        elif isinstance(value, (list, tuple)):
            out += b"](" if isinstance(value, list) else b"("
            for item in value:
                self._save(item)
            out += b"e" if isinstance(value, list) else b"t"
        elif isinstance(value, np.ndarray):
            self._save_tensor(value)
        elif isinstance(value, StateDict):
            self._save_state_dict(value)
        else:
            raise ValueError(f"a {type(value).__name__} has no place in a checkpoint")

    def _save_int(self, value: int) -> None:
        if 0 <= value < 1 << 8:
            self._out += b"K" + bytes([value])
        elif -(1 << 31) <= value < 1 << 31:
            self._out += b"J" + struct.pack("<i", value)
        else:
            size = value.bit_length() // 8 + 1
            self._out += b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)

    def _save_text(self, value: str) -> None:
        encoded = value.encode("utf-8", "surrogatepass")
        if self.protocol >= 4 and len(encoded) < 256:
            self._out += b"\x8c" + bytes([len(encoded)]) + encoded
        else:
            self._out += b"X" + struct.pack("<I", len(encoded)) + encoded

    def _save_bytes(self, value: bytes) -> None:
        if self.protocol >= 3:
            self._out += b"B" + struct.pack("<I", len(value)) + value
        else:
            self._save_call("_codecs", "encode", value.decode("latin-1"), "latin1")

    def _save_global(self, module: str, name: str) -> None:
        if self.protocol >= 4:
            self._save_text(module)
            self._save_text(name)
            self._out += b"\x93"
        else:
            self._out += f"c{module}\n{name}\n".encode()

    def _save_call(self, module: str, name: str, *arguments: Any) -> None:
        self._save_global(module, name)
        self._save(arguments)
        self._out += b"R"

    def _save_state_dict(self, value: StateDict) -> None:
        self._save_call("collections", "OrderedDict")
        self._save_items(value.arrays)
        if value.metadata is not None:
            self._out += b"}("
            self._save_text("_metadata")
            self._save_call("collections", "OrderedDict")
            self._save_items({module: {"version": 1} for module in value.metadata})
            self._out += b"ub"

    def _save_items(self, items: Mapping[str, Any]) -> None:
        self._out += b"("
        for key, item in items.items():
            self._save(key)
            self._save(item)
        self._out += b"u"

    def _save_tensor(self, array: NDArray[Any]) -> None:
        if array.dtype not in STORAGE_OF:
            raise ValueError(f"an array of {array.dtype} has no place in a checkpoint")
        flat = np.ascontiguousarray(array).reshape(-1)  # of an array in order: a view of it
        memory = (flat.__array_interface__["data"][0], flat.nbytes, flat.dtype.str)
        if memory not in self._keys:
            self._keys[memory] = len(self.storages)
            self.storages.append(flat)
        self._save_global("torch._utils", "_rebuild_tensor_v2")
        self._out += b"(("
        self._save_text("storage")
        self._save_global("torch", STORAGE_OF[array.dtype])
        self._save_text(str(self._keys[memory]))
        self._save_text("cpu")
        self._save_int(array.size)
        self._out += b"tQ"
        self._save_int(0)
        self._save(array.shape)
        self._save(tuple(int(np.prod(array.shape[n + 1 :])) for n in range(array.ndim)))
        self._out += b"\x89"
        self._save_call("collections", "OrderedDict")
        self._out += b"tR"
