"""Output of libraries on stderr, as lines of the log.

Decoders and runtimes written in C print to stderr without Python's logging, between lines that a
machine reads as JSON. Rules:

1. File descriptor 2 is a pipe. What is written to it is logged as warnings, one per line; the log
   itself goes to the original descriptor 2, `log_descriptor`.
2. Processes of engines inherit both. The last output of a dying one (an abort, a fatal signal) is read
   here after its end.
3. A client's recording can make a decoder print for each frame: beyond `LINES` lines in `SECONDS`,
   lines are only counted.
4. A fatal signal of this process, whose reader thread dies with it, is written to the log directly.
"""

from __future__ import annotations

import atexit
import faulthandler
import logging
import os
import sys
import threading
import time
from typing import BinaryIO

logger = logging.getLogger(__name__)
STDERR = 2
LINES, SECONDS = 100, 10.0
LONGEST = 2000  # bytes of a line
END_SECONDS = 1.0  # for the last lines, at exit

_log = STDERR


def log_descriptor() -> int:
    """Return the file descriptor that log lines are written to."""
    return _log


def use_descriptor(descriptor: int) -> None:
    """Write log lines, and Python's own stderr, to a descriptor."""
    global _log
    if descriptor != STDERR:
        _log = descriptor
        sys.stderr = open(descriptor, "w", buffering=1, errors="backslashreplace")  # noqa: SIM115


def capture_stderr() -> None:
    """Make descriptor 2 a pipe that is read into the log, until the process ends."""
    use_descriptor(os.dup(STDERR))
    reader, writer = os.pipe()
    os.dup2(writer, STDERR)
    os.close(writer)
    faulthandler.enable(sys.stderr)
    thread = threading.Thread(
        target=_read, args=(os.fdopen(reader, "rb"),), name="stderr", daemon=True
    )
    thread.start()

    def finish() -> None:
        os.dup2(_log, STDERR)  # closes the pipe, unless other processes have it
        thread.join(END_SECONDS)

    atexit.register(finish)


def _read(pipe: BinaryIO) -> None:
    """Log the lines of a pipe until it ends."""
    since, lines = time.monotonic(), 0
    with pipe:
        while line := pipe.readline(LONGEST):
            if time.monotonic() - since > SECONDS:
                _report_rest(lines)
                since, lines = time.monotonic(), 0
            lines += 1
            text = line.decode(errors="backslashreplace").strip()
            if text and lines <= LINES:
                logger.warning("%s", text)
        _report_rest(lines)


def _report_rest(lines: int) -> None:
    if lines > LINES:
        logger.warning("and %d more lines on stderr", lines - LINES)
