"""The precision of products over all frames: as configured, or chosen by a measurement at the start.

bfloat16 is faster than float32 where the processor multiplies it, and slower where it does not; a few passes
over the run's own batches show which. The choice is written into config.json and the
checkpoints, and a resumed run keeps it.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import torch

from train.compute.ranks import Ranks
from train.data.rows import Batch

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
ROUNDS = 3
GAIN = 1.05  # that a rounded format has to be faster by than float32


def autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Return the context in which forward passes multiply in that precision."""
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, DTYPES[precision])


def candidates(device: torch.device) -> tuple[str, ...]:
    """Return what is worth measuring: float32, and the format of 16 bits that the device has."""
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return "float32", "float16"
    return "float32", "bfloat16"


def measured(
    step: Callable[[Batch, str], object],
    batches: Sequence[Batch],
    device: torch.device,
    ranks: Ranks,
) -> dict[str, float]:
    """Return the seconds that a batch takes by precision: the median of rounds, the mean over ranks.

    Args:
        step: runs forward and backward over a batch in a precision.
        device: that it runs on.
    """
    names = candidates(device)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-1, ROUNDS):  # the first round compiles, and fills caches
        for name in names:
            began = time.perf_counter()
            for batch in batches:
                step(batch, name)
            if device.type != "cpu":
                torch.accelerator.synchronize(device)
            if number >= 0:
                seconds[name].append((time.perf_counter() - began) / len(batches))
    sums = ranks.sums(*(statistics.median(seconds[name]) for name in names))
    return {name: total / ranks.count for name, total in zip(names, sums, strict=True)}


def fastest(seconds: Mapping[str, float]) -> str:
    """Return the precision to train in: float32 unless another one is clearly faster."""
    return min(seconds, key=lambda name: seconds[name] * (1.0 if name == "float32" else GAIN))


def shown(chosen: str, seconds: Mapping[str, float]) -> str:
    """Return the line that says what was chosen, and why."""
    times = ", ".join(f"{name} {1000 * each:.0f} ms" for name, each in seconds.items())
    return f"precision {chosen}: a batch takes {times}"
