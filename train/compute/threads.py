"""Threads of torch on the CPU."""

from __future__ import annotations

import torch

from stream.engine.resources import usable_cores


def set_threads(count: int | None, beside: int = 0) -> None:
    """Compute with so many threads; None: with one for each core that is left, and no more than torch would take.

    Threads wait for each other in every product, so that one without a core of its own stops all. Of a container that is
    limited to two cores torch sees all of its machine's.

    Args:
        beside: processes that compute beside, such as those that draw batches. However many they are, half of the cores
            count as left: most of many wait.
    """
    if count is None:
        cores = usable_cores()
        count = max(1, min(torch.get_num_threads(), max(cores - beside, cores // 2)))
    torch.set_num_threads(count)
