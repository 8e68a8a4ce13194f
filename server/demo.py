"""python -m server.demo: everything once, unattended: server, websocket, live text, figures.

Starts `python -m server` on the bundled models as a process of its own, streams a bundled recording to each
of them in real time, and prints what came, how fast, and what to try next. The last line on stdout is the
transcript of the first model. The server is stopped in any case.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit
from urllib.request import ProxyHandler, build_opener

from server.adapters.myrtle_messages import QUERY
from server.client.stream import StreamOutcome, stream_audio
from server.client.terminal import LiveText
from stream.audio import read_chunks
from stream.bundled import present, recordings
from stream.errors import InputError
from stream.manifest import Utterance
from stream.process import reports_errors, run_main

FIRST = "en-commands-conformer"  # on the page, too: it has fewer words wrong than the default model
STOP_SECONDS = 10.0


def build_parser() -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog="rill demo",
        description="Start the server on the bundled models and stream a bundled recording to each of them.",
        epilog="Example: rill demo",
        allow_abbrev=False,
    )


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    build_parser().parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the server is stopped then, too
    os.environ.setdefault("RILL_MODEL", ",".join(shown()))
    recording = recordings()[0]
    outcomes: dict[str, StreamOutcome] = {}
    with running_server("--slots", "4") as url:
        print(f"The server listens on {url}")
        models = served_models(url)
        for model in models:
            name, chunk = model["name"], f"chunks of {model['chunk_ms']} ms"
            kind = (
                f"{model['encoder']} encoder, {model['weights'] / 1e6:.1f} million weights, {chunk}"
            )
            print(
                f"\nStreaming {recording.audio.name} in real time to {name} ({kind}):\n", flush=True
            )
            address = f"{url}?{QUERY}&model={quote(name)}"
            outcomes[f"{name}, {chunk}"] = asyncio.run(_stream(address, recording))
    _report(outcomes, knowledge(models[0].get("notes", {})))
    return 0


def shown() -> list[str]:
    """Return the names of the bundled models that are here, in the order in which they are shown."""
    return sorted(present(), key=lambda name: name != FIRST)


class ServerError(InputError):
    """The server did not start; the message holds its log."""


@contextmanager
def running_server(*flags: str) -> Iterator[str]:
    """Run `python -m server` on a free port and yield the URL of its streams.

    Args:
        flags: further ones of its command line.
    Raises:
        ServerError: it ended before it was ready.
    """
    with tempfile.TemporaryFile("w+") as log:
        safe_path = ["-P"] if sys.flags.safe_path else []  # run what we are, not the folder's
        command = [sys.executable, *safe_path, "-m", "server", "--port", "0", *flags]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process:
            try:
                assert process.stdout is not None
                url = process.stdout.readline().strip()  # printed when the model is loaded
                if not url:
                    status = process.wait(STOP_SECONDS)
                    log.seek(0)
                    raise ServerError(f"the server ended with {status}:\n{log.read().strip()}")
                yield url
            finally:
                process.terminate()
                try:
                    process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()


async def _stream(url: str, recording: Utterance) -> StreamOutcome:
    chunks = read_chunks(recording.audio)
    if not sys.stdout.isatty():
        return await stream_audio(
            url, chunks, lambda final, tail: print(f"  {final + tail}", flush=True)
        )
    live = LiveText(sys.stdout)
    try:
        return await stream_audio(url, chunks, live.show)
    finally:
        live.end()


def install_size() -> int:
    """Return the bytes of all files of this environment's packages."""
    folders = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    files = (file for folder in folders for file in Path(folder).rglob("*"))
    return sum(file.lstat().st_size for file in files if not file.is_dir())


def knowledge(notes: Mapping[str, Any]) -> str:
    """Return a paragraph on what a model can hear, and what to say to it; "" where its notes have neither."""
    knows, example = notes.get("knows"), notes.get("example")
    said = f"The model knows {knows}." if knows else ""
    said = f'{said} Try "{example}".'.lstrip() if example else said
    return f"{said}\n\n" if said else ""


def served_models(url: str) -> list[Mapping[str, Any]]:
    """Ask a server for the descriptions of its models, the default first."""
    direct = build_opener(
        ProxyHandler({})
    )  # the proxy of the environment cannot reach this machine
    with direct.open(f"http://{urlsplit(url).netloc}/model") as answer:
        models: list[Mapping[str, Any]] = json.load(answer)["models"]
    return models


def _report(outcomes: Mapping[str, StreamOutcome], knows: str) -> None:
    latencies = "\n".join(
        f"  {name}: CL50 {1000 * outcome.latency(50):.1f} ms, CL99 {1000 * outcome.latency(99):.1f} ms"
        for name, outcome in outcomes.items()
    )
    bundled = " ".join(f"--model {name}" for name in shown())
    choice = (
        "The Conformer has fewer words wrong; the LSTM answers sooner, and a core serves more of its channels.\n"
        if len(outcomes) > 1
        else ""
    )
    print(
        f"""
Compute latency, from the end of a chunk to its answer:
{latencies}
{choice}Size of the install: {install_size() / 1e6:.0f} MB

{knows}Transcribe a recording of your own, and see what else there is:
  {Path(sys.executable).with_name("rill")} transcribe talk.m4a
  {Path(sys.executable).with_name("rill")} --help

Talk to it in a browser, on the server's page:
  {Path(sys.executable).with_name("rill")} serve {bundled}

Or in this terminal (needs a microphone, the extra `mic` and Debian's libportaudio2):
  {Path(sys.executable)} -m pip install sounddevice
  {Path(sys.executable).with_name("rill")} mic

The recording says:
{next(iter(outcomes.values())).transcript}"""
    )


if __name__ == "__main__":
    run_main(main)
