"""A device that is not the CPU, for machines without one: tensors that say "meta" and hold their values.

Inside `Elsewhere`, whatever is made on or moved to the device "meta" becomes a `There`, which computes on the
CPU but behaves as a GPU's tensor does: operations with a tensor of the CPU are refused, except for scalars, and
NumPy cannot see it. So a whole update run there finds each tensor that is made on the wrong device.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

__all__ = ["DEVICE", "Elsewhere"]

DEVICE = torch.device("meta")
CPU = torch.device("cpu")


class There(torch.Tensor):
    """A tensor of the device, around one of the CPU."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> There:
        with torch.inference_mode(
            False
        ):  # whose tensors have no version, which views of wrappers want
            made = torch.Tensor._make_wrapper_subclass(
                cls,
                inner.shape,
                strides=inner.stride(),
                storage_offset=inner.storage_offset(),
                dtype=inner.dtype,
                device=DEVICE,
            )
        made.inner = inner
        return made

    def tolist(self) -> Any:
        """Copy to the host; torch does not for its subclasses."""
        return self.inner.tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _dispatched(func, args, kwargs or {})


class Elsewhere(TorchDispatchMode):
    """While it is entered, the device "meta" is `There`."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _dispatched(func, args, kwargs or {})


def _dispatched(func: Any, args: Any, kwargs: Any) -> Any:
    tensors = [x for x in torch.utils._pytree.tree_leaves((args, kwargs)) if _is_tensor(x)]
    there = [x for x in tensors if isinstance(x, There)]
    device = kwargs.get("device")
    moved = func in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
    if there and not moved:
        for tensor in tensors:
            if not isinstance(tensor, There) and tensor.ndim:
                raise RuntimeError(
                    f"{func}: tensors of two devices, the CPU's {tuple(tensor.shape)}"
                )
    if device is not None:
        kwargs = {**kwargs, "device": CPU}
    made = func(*tree_map(_inner, args), **tree_map(_inner, kwargs))
    if device is None:
        wraps = isinstance(args[0], There) if func == torch.ops.aten.copy_.default else bool(there)
    else:
        wraps = torch.device(device) == DEVICE
    if func == torch.ops.aten._local_scalar_dense.default or not wraps:
        return made
    written = {id(x.inner): x for x in there}  # what is written in place stays the same tensor

    def wrapped(x: Any) -> Any:
        return written[id(x)] if id(x) in written else There(x) if _is_tensor(x) else x

    return tree_map(wrapped, made)


def _is_tensor(x: Any) -> bool:
    return isinstance(x, torch.Tensor)


def _inner(x: Any) -> Any:
    return x.inner if isinstance(x, There) else x
