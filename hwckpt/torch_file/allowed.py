"""The globals that a checkpoint's pickle may name, and what each of them becomes.

The whole list: `CONSTRUCTORS` and the storage classes of `STORAGES`. None is imported; each entry
is a function of this file from plain values to a plain value, a `Storage` or a `Tensor`. Whatever
is not in the list is refused by name. Adding to it is a decision about security.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# Storage class of torch -> element type; "bfloat16" is no NumPy type and becomes float32.
STORAGES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}


@dataclass(frozen=True)
class Storage:
    """Numbers in the file: the record's key, element type (as in `STORAGES`), element count."""

    key: str
    element: str
    count: int


@dataclass(frozen=True)
class Tensor:
    """A view of a storage; offset and strides in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Global:
    """A name that the pickle asked for and that is in the list."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


def _ordered_dict(*pairs: Any) -> OrderedDict[Any, Any]:
    if pairs:
        raise ValueError("an OrderedDict made with arguments")
    return OrderedDict()


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> Tensor:
    if type(storage) is not Storage or not _counts([offset]):
        raise ValueError("a tensor without storage or offset")
    if not (_counts(shape) and _counts(strides) and len(shape) == len(strides) <= 8):
        raise ValueError("a tensor's shape or strides are not a few counts")
    return Tensor(storage, offset, tuple(shape), tuple(strides))


def _counts(values: Any) -> bool:
    return type(values) in (tuple, list) and all(
        type(value) is int and 0 <= value < 2**48 for value in values
    )


def _parameter(tensor: Any, *rest: Any) -> Tensor:
    if type(tensor) is not Tensor:
        raise ValueError("a parameter without a tensor")
    return tensor


def _size(items: Any = ()) -> tuple[int, ...]:
    if not _counts(items):
        raise ValueError("a torch.Size that is not counts")
    return tuple(items)


def _encode(text: Any, encoding: Any = "utf-8") -> bytes:
    """How protocols below 3 write bytes: a string of the characters 0 to 255."""
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise ValueError(f"_codecs.encode with {encoding!r}; bytes come as latin1")
    return text.encode("latin-1")


def _enumerated(value: Any) -> str:
    if type(value) is not str:
        raise ValueError("UnkHandling is not named by a string")
    return value


CONSTRUCTORS: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): _ordered_dict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch", "Size"): _size,
    ("_codecs", "encode"): _encode,
    ("caiman_asr_train.data.unk_handling", "UnkHandling"): _enumerated,
}


def allowed(module: str, name: str = "") -> Global:
    """Return a global of the list.

    Raises:
        ValueError: it is not in the list.
    """
    if (module, name) in CONSTRUCTORS or (module == "torch" and name in STORAGES):
        return Global(module, name)
    raise ValueError(
        f"refused: the pickle asks for {module}.{name}, which no checkpoint needs; nothing was run"
    )


def call(function: Any, arguments: Any) -> Any:
    """Return what a global becomes with these arguments, a tuple of unpickled values.

    Raises:
        ValueError: it is no global that can be called, or not with these.
    """
    if type(function) is not Global or type(arguments) is not tuple:
        raise ValueError(f"refused: the pickle calls a {type(function).__name__}")
    constructor = CONSTRUCTORS.get((function.module, function.name))
    if constructor is None:
        raise ValueError(f"refused: the pickle calls {function}; nothing was run")
    try:
        return constructor(*arguments)
    except TypeError as error:
        raise ValueError(f"{function} with {len(arguments)} arguments") from error
