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

from hwckpt.ngram import read_ngram
from hwckpt.reader import recognises
from server import options
from server.app import AddressError, Application, Settings
from server.decoder_options import DecoderOptions
from server.logs import start_logging
from server.models import Loaded, Model, Models
from server.options import OptionError, Options
from server.request import PATH
from stream.bundled import model_path
from stream.engine import CHUNK, Decoding, load_engine
from stream.features import SAMPLE_RATE
from stream.network import ModelError, Network, open_model
from stream.selftest import available_backends, self_test

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


async def _serve(chosen: Options, settings: Settings) -> None:
    stop = _stop_at_signals()
    models = Models(
        *(Model(name, partial(_load, path, chosen)) for name, path in chosen.models.items())
    )
    application = Application(models, chosen.limits, settings)
    async with application.listening(chosen.host, chosen.port, chosen.wyoming_port) as servers:
        addresses = [server.sockets[0].getsockname()[:2] for server in servers]
        for (_, port), what in zip(addresses, ("websockets and HTTP", "Wyoming"), strict=False):
            logger.info("port %d is open for %s", port, what)
        await models.start()
        gc.collect()
        gc.freeze()  # what was made so far stays: no collection need look at it again
        for name, model in models.items():
            backend = model.loaded.about["backend"]
            logger.info("model %s: %d channels, backend %s", name, model.channels.slots, backend)
        host, port = addresses[0]
        scheme = "wss" if settings.tls else "ws"
        print(f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}{PATH}", flush=True)
        await stop.wait()
        in_use = sum(model.channels.in_use for model in models.values())
        logger.info("no more streams are accepted; %d are finishing", in_use)
    await models.stop()


def _load(path: Path | None, chosen: Options) -> Loaded:
    """Load a model, in the thread of its engine; None is the bundled one."""
    path = path or model_path()
    logger.info("loading %s", path)
    network = open_model(path)
    decoding = _decoding(path, network, chosen.decoder)
    slots, backend, threads = chosen.slots, chosen.backend, 1
    if slots is None:
        plan = self_test(network, backend, decoding)
        logger.info("self-test: %s", plan)
        slots, backend, threads = (
            max(1, plan.slots // len(chosen.models)),
            plan.backend,
            plan.threads,
        )
    elif backend is None:
        backend = available_backends(network)[-1]
    engine = load_engine(network, slots, backend, threads, decoding)
    about = {
        "language": network.notes.get("language", "en"),
        "vocabulary": len(network.vocabulary),
        "backend": backend,
        "decoder": chosen.decoder.decoder,
        "ngram": decoding.ngram is not None,
        "sample_rate": SAMPLE_RATE,
        "chunk_samples": CHUNK,
        "notes": network.notes,
    }
    return Loaded(engine, slots, network.vocabulary.text, network.vocabulary.pieces, about)


def _decoding(path: Path, network: Network, options: DecoderOptions) -> Decoding:
    """Return how a model is decoded: a beam search uses the n-gram model of its checkpoint."""
    pieces = network.vocabulary.pieces
    ngram = None
    if options.decoder == "beam" and path.is_file() and recognises(path):
        ngram = read_ngram(path, pieces, options.skipped(pieces))
    return options.decoding(pieces, ngram)


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
