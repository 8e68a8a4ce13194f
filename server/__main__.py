"""python -m server: serve models over websockets and HTTP, on one port, until a signal.

The address is printed on stdout once a stream would be accepted; logs are on stderr, and so is what
libraries print there (`server.stderr`). SIGTERM and SIGINT stop accepting, let the open streams finish
and exit with 0; a second one exits at once with 130. SIGHUP reads tokens and certificates again. An engine
that keeps failing ends the server with 1. The flags are in `server.flags`.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import uvloop

from server.adapters.myrtle_messages import PATH
from server.config import ConfigError, Configuration
from server.engine.ipc import EngineOptions
from server.engine.memory import settle
from server.engine.models import Model, Models
from server.engine.process import in_process
from server.engine.supervisor import LoadError
from server.flags import make_parser
from server.http.app import Application, Settings
from server.logs import start_logging
from server.options import OptionError, Options
from server.stderr import capture_stderr, log_descriptor
from server.systemd import Notifier
from stream.extras import MissingExtraError
from stream.process import reports_errors, run_main

logger = logging.getLogger("server")


def build_parser(environment: Mapping[str, str] | None = None) -> argparse.ArgumentParser:
    """Return the parser; see `server.flags`."""
    return make_parser(environment or {})


@reports_errors(logger.error)
def main(argv: list[str] | None = None) -> int:
    try:
        configuration = Configuration(argv, os.environ)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)  # there is no log yet
        return 2
    except OptionError as error:
        build_parser(os.environ).error(str(error))
    if configuration.arguments.print_config:
        print("\n".join(configuration.describe()))
        return 0
    chosen = configuration.options
    capture_stderr()
    start_logging(chosen.log_format, chosen.log_level)
    try:
        settings = chosen.settings()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            failure = runner.run(_serve(chosen, settings))
    except LoadError as error:
        raise (MissingExtraError(str(error)) if error.missing else error) from None
    except asyncio.CancelledError:  # by the second signal
        raise KeyboardInterrupt from None
    if failure is not None:
        logger.error("%s; the server ends", failure)
    return 0 if failure is None else 1


async def _serve(chosen: Options, settings: Settings) -> str | None:
    """Serve until a signal, or until an engine has failed too often; returns what to say about that."""
    stop = _stop_at_signals()
    notifier = Notifier(os.environ)
    _reload_at_signal(chosen, settings, notifier)
    for warning in chosen.warnings():
        logger.warning("%s", warning)
    models = Models(
        *(
            Model(name, in_process(_engine_options(name, path, chosen)), chosen.supervision)
            for name, path in chosen.models.items()
        ),
        aliases=chosen.aliases,
    )
    application = Application(models, chosen.limits, settings)
    async with application.listening(chosen.host, chosen.port, chosen.wyoming_port) as servers:
        addresses = [server.sockets[0].getsockname()[:2] for server in servers]
        for (_, port), what in zip(addresses, ("websockets and HTTP", "Wyoming"), strict=False):
            logger.info("port %d is open for %s", port, what)
        await models.start()
        settle()
        for name, model in models.items():
            backend = model.about["backend"]
            logger.info("model %s: %d channels, backend %s", name, model.channels.slots, backend)
        host, port = addresses[0]
        scheme = "wss" if settings.tls else "ws"
        watchdog = asyncio.create_task(notifier.feed_watchdog())
        notifier.ready()
        print(f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}{PATH}", flush=True)
        stopped, failed = asyncio.create_task(stop.wait()), asyncio.create_task(models.failure())
        await asyncio.wait([stopped, failed], return_when=asyncio.FIRST_COMPLETED)
        failure = failed.result() if failed.done() else None
        stopped.cancel()
        failed.cancel()
        in_use = sum(model.channels.in_use for model in models.values())
        logger.info("no more streams are accepted; %d are finishing", in_use)
        notifier.stopping(in_use)
    await models.stop()
    watchdog.cancel()
    return failure


def _engine_options(name: str, path: Path | None, chosen: Options) -> EngineOptions:
    """Return what the process of a model's engine is told."""
    return EngineOptions(
        path=None if path is None else str(path),
        backend=chosen.backend,
        chunk_ms=chosen.chunks.get(name),
        front_end=chosen.front_end,
        slots=chosen.slots,
        models=len(chosen.models),
        decoder=chosen.decoder,
        log_format=chosen.log_format,
        log_level=chosen.log_level,
        log_descriptor=log_descriptor(),
    )


def _reload_at_signal(chosen: Options, settings: Settings, notifier: Notifier) -> None:
    """Read the files of tokens and TLS again at SIGHUP.

    In a terminal, SIGHUP is the end of the terminal, and so of the server.
    """
    if sys.stdin is not None and sys.stdin.isatty():
        return

    def on_signal() -> None:
        with notifier.reloading():
            chosen.reload(settings)

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, on_signal)


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
    run_main(main)
