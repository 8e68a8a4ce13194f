"""Run a main as a process of the shell: what ends it quietly, whichever command it is.

1. What main returns is the exit status.
2. Ctrl-C is 130.
3. A reader that has gone (`... | head -1`) is 141, what a shell shows of a program that SIGPIPE ends:
   nobody is left to read the rest, or to be told. Files that are being written are cleaned up, which
   the signal itself would not do.
4. A character that stdout's encoding has not (a Japanese name on a Western console) is written as
   \\u6771: a result is never lost to its last step.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

__all__ = ["run_main"]


def run_main(main: Callable[[], int]) -> NoReturn:
    """Call a main and leave the process with its exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # None where there is no console
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr has it
    try:
        try:
            status = main()
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    except BrokenPipeError:
        status = 128 + signal.SIGPIPE
        # What is still buffered would fail again when the interpreter closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(status)
