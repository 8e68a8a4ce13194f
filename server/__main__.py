"""python -m server: serve a model over Myrtle's websocket API, on one port, until a signal.

The address is printed on stdout once a stream would be taken; logs are on stderr. SIGTERM and
SIGINT stop accepting, let the open streams finish and exit with 0; a second one exits at once with
130.
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
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import uvloop

from server.app import AddressError, Application
from server.channels import Channels
from server.limits import Limits
from server.request import PATH
from stream.backends import BACKENDS
from stream.bundled import model_path
from stream.engine import load_engine
from stream.network import ModelError, open_model
from stream.selftest import available_backends, self_test

AUTO = "auto"
logger = logging.getLogger("server")


def build_parser(environment: Mapping[str, str] | None = None) -> argparse.ArgumentParser:
    """Return the parser.

    Args:
        environment: where a variable RILL_<FLAG> is the default of its flag; None: nowhere.
    """
    variables = environment or {}
    parser = argparse.ArgumentParser(
        prog="python -m server",
        description="Serve a model over Myrtle's websocket API, with /healthz and /readyz.",
        epilog="Example: python -m server --model models/en-commands --slots 64. Each flag may be "
        "given as a variable of the environment too: --port as RILL_PORT, and so on.",
        allow_abbrev=False,
    )

    def add(flag: str, default: str | None, text: str, kind: Callable[[str], object] = str) -> None:
        parser.add_argument(
            f"--{flag}",
            default=variables.get(f"RILL_{flag.upper()}", default),
            type=kind,
            metavar=flag.upper(),
            help=f"{text} (default: {default or 'the bundled model'})",
        )

    add("model", None, "what to serve: a model directory or a checkpoint", Path)
    add("host", "127.0.0.1", "address to listen on; 0.0.0.0 is every one of this machine")
    add("port", "3030", "TCP port; 0 takes any free one", int)
    add("slots", AUTO, "streams at a time, more get HTTP 503; auto: what a self-test finds", _slots)
    add(
        "backend",
        AUTO,
        f"what computes the model: {', '.join(sorted(BACKENDS))}; auto: the fastest",
    )
    return parser


def _slots(text: str) -> int | None:
    try:
        return None if text == AUTO else int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor {AUTO}") from error


def main(argv: list[str] | None = None) -> int:
    """Run the server; returns the exit status."""
    parser = build_parser(os.environ)
    arguments = parser.parse_args(argv)
    if not 0 <= arguments.port <= 65535:
        parser.error(f"--port is {arguments.port}; want 0 to 65535")
    if arguments.slots is not None and arguments.slots < 1:
        parser.error(f"--slots is {arguments.slots}; want 1 or more")
    if arguments.backend not in (AUTO, *BACKENDS):
        parser.error(f"--backend is {arguments.backend!r}; there are {', '.join(sorted(BACKENDS))}")
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    # A peer that breaks the handshake is no error of ours; what handlers raise, server.app logs.
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(arguments))
    except AddressError as error:
        logger.error("%s", error)
        return 2
    except (ModelError, OSError) as error:
        logger.error("%s", error)
        return 4 if isinstance(error.__cause__, ModuleNotFoundError) else 3
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    return 0


async def _serve(arguments: argparse.Namespace) -> None:
    stop = _stop_at_signals()
    model = arguments.model or model_path()
    network, threads = open_model(model), 1
    slots, backend = arguments.slots, arguments.backend
    if slots is None:
        plan = self_test(network, None if backend == AUTO else backend)
        logger.info("self-test: %s", plan)
        slots, backend, threads = plan.slots, plan.backend, plan.threads
    elif backend == AUTO:
        backend = available_backends(network)[-1]
    channels = Channels(partial(load_engine, network, slots, backend, threads), slots)
    application = Application(channels, Limits(slots=slots))
    async with application.listening(arguments.host, arguments.port) as server:
        host, port = server.sockets[0].getsockname()[:2]
        logger.info("port %d is open; loading %s", port, model)
        await channels.start()
        gc.collect()
        gc.freeze()  # what was made so far stays: no collection need look at it again
        logger.info("%d channels, backend %s", slots, backend)
        print(f"ws://{f'[{host}]' if ':' in host else host}:{port}{PATH}", flush=True)
        await stop.wait()
        logger.info("no more streams are accepted; %d are finishing", channels.in_use)
    await channels.stop()


def _stop_at_signals() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set; the second of them cancels the current task."""
    stop = asyncio.Event()
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def on_signal() -> None:
        if stop.is_set():
            task.cancel()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    return stop


if __name__ == "__main__":
    raise SystemExit(main())
