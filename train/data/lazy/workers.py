"""Batches drawn ahead by processes, in their order.

Worker w of W makes the batches w, w + W, w + 2 W ..., each sent through a pipe of its own when the one
before it has been taken, so there are at most two batches per worker in memory. A batch is a function of
its number, so the number of workers changes only how long updates wait for data.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import traceback
from collections.abc import Callable, Generator
from multiprocessing.connection import Connection

from stream.errors import ArgumentError, InputError
from train.data.rows import Batch

WAIT_SECONDS = 5.0  # for a worker to end


class WorkerError(OSError):
    """A worker that was ended, or failed for a reason that is no fault of the data."""


def drawn_by_processes(
    draw: Callable[[int], Batch], start: int, end: int, workers: int
) -> Generator[Batch]:
    """Yield the batches of updates start to end.

    Args:
        draw: draws the batch of a number; it is copied to each process.
        workers: number of processes, 1 or more.
    Raises:
        InputError: a batch cannot be drawn; in its place.
        WorkerError: a worker was killed.
    """
    workers = max(1, min(workers, end - start))
    # Not forked: torch's threads and open files stay with the process that has them.
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe(duplex=False) for _ in range(workers)]
    processes = [
        context.Process(
            target=_work,
            args=(draw, range(start + number, end, workers), sender),
            name=f"data-{number}",
            daemon=True,
        )
        for number, (_, sender) in enumerate(pipes)
    ]
    try:
        for process, (_, sender) in zip(processes, pipes, strict=True):
            process.start()
            sender.close()  # here; so that its end there is the only one
        for update in range(start, end):
            number = (update - start) % workers
            try:
                item = pipes[number][0].recv()
            except EOFError:
                processes[number].join(WAIT_SECONDS)
                raise WorkerError(
                    f"worker {number} ended with exit code {processes[number].exitcode} before update "
                    f"{update + 1}; -9 is the kernel out of memory, most times: fewer data.workers"
                ) from None
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        for receiver, _ in pipes:
            receiver.close()  # who sends next ends
        for process in processes:
            if process.pid is not None:
                process.terminate()
                process.join(WAIT_SECONDS)


def _work(draw: Callable[[int], Batch], updates: range, sender: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to answer
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # nobody wants the rest
        for update in updates:
            try:
                item: Batch | Exception = draw(update)
            except (InputError, OSError) as error:
                item = InputError(str(error))  # as a value that can be sent
            except ArgumentError as error:
                item = ArgumentError(str(error))
            except Exception:
                item = WorkerError(f"update {update + 1}:\n{traceback.format_exc()}")
            sender.send(item)
            if isinstance(item, Exception):
                return
