"""The processes that train one model together, each on batches of its own: data parallelism under torchrun.

1. Every rank holds the whole model and the same configuration, and makes the same updates: gradients are
   summed over ranks before they are clipped, so weights, moments and averages stay equal to the bit.
2. Numbers, messages and validation results go over gloo on the CPU; gradients over the backend of their
   device, gloo or nccl.
3. Rank 0 alone writes files and speaks. The others wait for it as long as it takes.
4. The first rank that fails prints its error. The others, whose next collective fails, end silently, and
   torchrun ends whoever still computes.

Without torchrun a process is alone: the same code with nothing to exchange.
"""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from stream.process import STATUS

P = ParamSpec("P")
T = TypeVar("T")
FOREVER = datetime.timedelta(days=365)  # rank 0 may validate or write for hours
BUCKET_BYTES = 64 << 20  # of gradients, that are copied together and summed at once
FAILED = "rill/failed"


class RankError(OSError):
    """Another rank has ended, so that nothing can be exchanged any more."""


@dataclass(frozen=True)
class Ranks:
    """A process among those that train together.

    Attributes:
        rank: of this process, from 0.
        count: of processes.
        local: of this process among those on its machine, which is the number of its GPU.
    """

    rank: int = 0
    count: int = 1
    local: int = 0

    @property
    def leads(self) -> bool:
        """Whether this is the rank that writes and speaks."""
        return self.rank == 0

    def sums(self, *values: float) -> list[float]:
        """Return the sum of each value over the ranks, the same on every rank."""
        if self.count == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64)
        _exchanged(dist.all_reduce, tensor)
        return tensor.tolist()

    def gathered(self, value: T) -> list[T]:
        """Return the value of each rank, in the order of the ranks."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        _exchanged(dist.all_gather_object, values, value)
        return values

    def gathered_tensors(self, tensor: Tensor) -> list[Tensor]:
        """Return the tensor of each rank, all of one shape, in the order of the ranks."""
        if self.count == 1:
            return [tensor]
        tensors = [torch.empty_like(tensor) for _ in range(self.count)]
        _exchanged(dist.all_gather, tensors, tensor)
        return tensors

    def wait(self) -> None:
        """Wait until every rank is here."""
        self.sums(0.0)

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace gradients by their sums over the ranks, each of which has them for the same parameters."""
        if self.count == 1:
            return
        for bucket in _buckets([p.grad for p in parameters if p.grad is not None]):
            flat = torch.cat([gradient.flatten() for gradient in bucket])
            _exchanged(dist.all_reduce, flat)
            parts = flat.split([gradient.numel() for gradient in bucket])
            for gradient, part in zip(bucket, parts, strict=True):
                gradient.copy_(part.view_as(gradient))

    @contextlib.contextmanager
    def leader_first(self) -> Iterator[None]:
        """Let rank 0 go through a block before the others, who find its files then."""
        if not self.leads:
            self.wait()
        yield
        if self.leads:
            self.wait()


ALONE = Ranks()


class Silence:
    """What a rank other than the first has for a thing that writes: any call does nothing."""

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


@contextlib.contextmanager
def joined() -> Iterator[Ranks]:
    """Join the processes that torchrun started; alone where there are none.

    On ranks other than 0 stderr is silent, except for the first rank that fails.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE
        return
    store, rank, count = next(rendezvous("env://", timeout=FOREVER))
    # After a restart the store still has the addresses of those that ended.
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    store = PrefixStore(f"attempt-{attempt}", store)
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=FOREVER)
    ranks = Ranks(rank, count, int(os.environ.get("LOCAL_RANK", rank)))
    try:
        with open(os.devnull, "w") as silence, contextlib.ExitStack() as stack:
            if not ranks.leads:
                stack.enter_context(contextlib.redirect_stderr(silence))
            yield ranks
    except BaseException as error:
        # The group is left to the end of the process: to part from it, all would have to be there.
        if _is_first(store, error):
            raise
        status = (status for kind, status in STATUS.items() if isinstance(error, kind))
        raise SystemExit(next(status, 1)) from None
    dist.destroy_process_group()


def _is_first(store: Any, error: BaseException) -> bool:
    """Return whether no other rank has failed before, and note that one has."""
    if isinstance(error, SystemExit):
        return True
    try:
        return int(store.add(FAILED, 1)) == 1
    except RuntimeError:  # who keeps the store has ended
        return not isinstance(error, RankError)


def _exchanged(exchange: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
    try:
        exchange(*args, **kwargs)
    except RuntimeError as error:
        raise RankError(
            "another process of the run has ended; torchrun says which. The same command resumes from "
            "the last checkpoint"
        ) from error


def _buckets(gradients: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Divide gradients into buckets of one dtype and device."""
    bucket: list[Tensor] = []
    size = 0
    for gradient in gradients:
        of_bucket = bool(bucket) and (gradient.dtype, gradient.device) == (
            bucket[0].dtype,
            bucket[0].device,
        )
        if bucket and (not of_bucket or size >= BUCKET_BYTES):
            yield bucket
            bucket, size = [], 0
        bucket.append(gradient)
        size += gradient.numel() * gradient.element_size()
    if bucket:
        yield bucket
