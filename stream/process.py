"""Run a main as a process of the shell: how a command ends, whichever command it is.

1. What main returns is the exit status: 0 done, 1 a check found a difference.
2. An error of the table `STATUS` is one line on stderr, `error: ...`, and the status that the table
   gives it. Any other error is a fault of ours and ends in a traceback.
3. Ctrl-C is 130.
4. A reader that has gone (`... | head -1`) is 141, what a shell shows of a program that SIGPIPE ends:
   nobody is left to read the rest, or to be told. Files that are being written are cleaned up, which
   the signal itself would not do.
5. A character that stdout's encoding lacks (a Japanese name on a Western console) is written as
   \\u6771: a result is never lost to its last step.
6. A process that another one started for itself ends with it, even if that is killed (`end_with_parent`).
"""

from __future__ import annotations

import ctypes
import functools
import io
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn, ParamSpec

from stream.errors import ArgumentError, DifferenceError, InputError
from stream.extras import MissingExtraError, explain_missing_extras

P = ParamSpec("P")
PR_SET_PDEATHSIG = 1  # linux/prctl.h

# Exit statuses by kind of error; the first row that fits counts.
STATUS: dict[type[Exception], int] = {
    DifferenceError: 1,
    ArgumentError: 2,
    InputError: 3,
    OSError: 3,
    FloatingPointError: 3,  # a model whose outputs are not finite
    MissingExtraError: 4,
}


def _print_error(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)


def reports_errors(
    report: Callable[[str], None] = _print_error,
) -> Callable[[Callable[P, int]], Callable[P, int]]:
    """Decorate a main, so that it reports its errors and returns their status (rules 2 and 3).

    Args:
        report: takes the message; it writes the line of rule 2 where it is not given.
    """

    def decorate(main: Callable[P, int]) -> Callable[P, int]:
        @functools.wraps(main)
        def reporting(*args: P.args, **kwargs: P.kwargs) -> int:
            try:
                with explain_missing_extras():
                    return main(*args, **kwargs)
            except KeyboardInterrupt:
                return 128 + signal.SIGINT
            except BrokenPipeError:
                raise
            except tuple(STATUS) as error:
                report(str(error))
                return next(status for kind, status in STATUS.items() if isinstance(error, kind))

        return reporting

    return decorate


def run_main(main: Callable[[], int]) -> NoReturn:
    """Call a main and leave the process with its exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # None where there is no console
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr has it
    try:
        try:
            status = reports_errors()(main)()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        status = 128 + signal.SIGPIPE
        # What is still buffered would fail again when the interpreter closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(status)


def end_with_parent() -> None:
    """Let the kernel kill this process when the thread that started it has ended (rule 6). Linux only.

    To be called by the process itself, or between fork and exec (`preexec_fn`).
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
