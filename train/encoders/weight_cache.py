"""WeightCache: rounded weights, so that streaming does not round them again for every chunk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class WeightCache:
    """Caches what was made of parameters, while these stay as they are and no gradient is asked for."""

    def __init__(self) -> None:
        self._key: tuple[Any, ...] | None = None
        self._made: Any = None

    def __call__(self, parameters: Sequence[Tensor], more: Any, make: Any) -> Any:
        """Return make(), or what it returned for these parameters and `more` before."""
        if torch.is_grad_enabled():
            return make()
        key = (more, *((p.data_ptr(), p._version) for p in parameters))
        if key != self._key:
            self._key, self._made = key, make()
        return self._made

    def __deepcopy__(self, memo: Any) -> WeightCache:
        return WeightCache()
