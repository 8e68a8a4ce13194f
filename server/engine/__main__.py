"""python -m server.engine: the process that steps one model, started by the server for itself.

Its arguments are an inherited socket and `EngineOptions` as JSON; the messages on the socket are defined
in `server.engine.ipc`. It ends when the server closes its end, or dies; it ignores signals.
"""

from __future__ import annotations

import os

from stream.process import end_with_parent, run_main

# BLAS pools would fight the event loop for the cores (and are read when NumPy is imported).
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import argparse
import faulthandler
import logging
import signal
import socket
from functools import partial

import msgspec

from server.engine.ipc import EngineOptions
from server.engine.memory import keep_memory, settle
from server.engine.worker import Loaded, work
from server.logs import start_logging
from server.stderr import use_descriptor
from stream.bundled import is_bundled, model_path
from stream.decoding.options import decoding_of
from stream.engine.engine import load_engine
from stream.engine.selftest import load_available, self_test
from stream.errors import ArgumentError
from stream.front_end.log_mel import SAMPLE_RATE
from stream.model.network import find_model, open_model

logger = logging.getLogger("server")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m server.engine",
        description="Step the engine of one model. Started by python -m server, not by hand.",
        epilog="Example: python -m server",
        allow_abbrev=False,
    )
    parser.add_argument("link", type=int, help="file descriptor of a socket to the server")
    parser.add_argument("options", help="what to load, as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Serve the link until it ends; returns the exit status."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    try:
        options = msgspec.json.decode(arguments.options, type=EngineOptions)
        link = socket.socket(fileno=arguments.link)
    except (msgspec.DecodeError, OSError) as error:
        parser.error(f"{error}; this process is started by python -m server")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # sent to all processes; the server drains first
    end_with_parent()  # working, it notices the end of its link; hung, it would stay forever
    faulthandler.enable()  # on descriptor 2, which the server reads
    use_descriptor(options.log_descriptor)
    start_logging(options.log_format, options.log_level)
    work(link, partial(_load_and_settle, options))
    return 0


def _load_and_settle(options: EngineOptions) -> Loaded:
    """Load, then set up memory for the steady state."""
    loaded = load(options)
    settle()
    keep_memory()
    return loaded


def load(options: EngineOptions) -> Loaded:
    """Load a model and an engine around it.

    Raises:
        ModelError: the model cannot be read, or no backend can compute it.
        ArgumentError: it has no such head, or is not trained with chunks of that length.
        OSError: there is no such file.
    """
    path = model_path() if options.path is None else find_model(options.path)
    logger.info("loading %s", path)
    network = open_model(path)
    try:
        if options.chunk_ms is not None:
            network = network.with_chunk(options.chunk_ms)
        decoding = decoding_of(network, options.decoder)
        head = network.specification.head(decoding.head)
    except ArgumentError as error:
        raise ArgumentError(f"{path}: {error}") from error
    encoder = network.specification.encoder
    slots, backend, threads = options.slots, options.backend, options.threads
    if slots is None:
        plan = self_test(network, backend, decoding, options.front_end)
        logger.info("self-test: %s", plan)
        slots, backend, threads = max(1, plan.slots // options.models), plan.backend, plan.threads
    elif backend is None:
        *_, backend = load_available(network)
    engine = load_engine(network, slots, backend, threads, decoding, options.front_end)
    vocabulary = network.vocabulary
    about = {
        "language": network.notes.get("language", "en"),
        "encoder": type(encoder).__name__,
        "weights": network.weights,
        "vocabulary": len(vocabulary),
        "backend": backend,
        "threads": threads,
        "front_end": options.front_end,
        "head": head,
        "decoder": options.decoder.decoder,
        "endpoint_silence": options.decoder.endpoint_silence,
        "endpoint_length": options.decoder.endpoint_length,
        "ngram": decoding.ngram is not None,
        "sample_rate": SAMPLE_RATE,
        "chunk_samples": engine.chunk_samples,
        "chunk_ms": encoder.chunk_length,
        "chunks_ms": list(encoder.chunk_lengths),
        "channel_bytes": engine.channel_bytes,
        "bundled": is_bundled(path),
        "notes": network.notes,
    }
    return Loaded(engine, slots, vocabulary.alphabet, about)


if __name__ == "__main__":
    run_main(main)
