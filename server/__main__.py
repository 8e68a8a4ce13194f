"""python -m server: serve models over websockets and HTTP, on one port, until a signal.

The address is printed on stdout once a stream would be taken; logs are on stderr. SIGTERM and
SIGINT stop accepting, let the open streams finish and exit with 0; a second one exits at once with
130. The flags are `server.options`.
"""

from __future__ import annotations

import os

# BLAS pools would fight the engine's thread for the cores (and are read when NumPy is imported).
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import argparse
import asyncio
import gc
import logging
import signal
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import uvloop

from server import options
from server.app import AddressError, Application
from server.logs import start_logging
from server.models import Loaded, Model, Models
from server.options import OptionError, Options
from server.request import PATH
from stream.bundled import model_path
from stream.engine import load_engine
from stream.network import ModelError, open_model

logger = logging.getLogger("server")


def build_parser(environment: Mapping[str, str] | None = None) -> argparse.ArgumentParser:
    """Return the parser; see `server.options`."""
    return options.build_parser(environment or {})


def main(argv: list[str] | None = None) -> int:
    """Run the server; returns the exit status."""
    parser = build_parser(os.environ)
    arguments = parser.parse_args(argv)
    try:
        chosen = options.read(arguments, os.environ)
    except OptionError as error:
        parser.error(str(error))
    start_logging(chosen.log_format)
    try:
        settings = chosen.settings()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(chosen, settings))
    except AddressError as error:
        logger.error("%s", error)
        return 2
    except (ModelError, OSError) as error:
        logger.error("%s", error)
        return 4 if isinstance(error.__cause__, ModuleNotFoundError) else 3
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    return 0


