"""`python -m tests.benchmarks.sherpa_peer`: the server and the engine against sherpa-onnx, in one run.

    python -m export.random --shape base --tokens-per-second 4 --output base
    python -m tests.benchmarks.sherpa_peer --model base --json peer.json
    python -m tests.benchmarks.sherpa_peer --model base --arithmetic float32

With float32 both run the graphs of `python -m export.sherpa`, or of the model directory. With int8 the
same weights serve both: `python -m export.sherpa --int8` puts Rill's own graphs, with static
scales and fused products, behind sherpa-onnx' inputs, and they say the same. The usual form, LSTM
operators after `quantize_dynamic`, cannot: the operator has no hard tanh, and its dynamic scales let
streams of a batch change each other's text. Its encoder is as fast in sherpa-onnx, its joiner, with one
scale for all classes, a fifth faster: 70 streams a core against 65 where both emit blanks only, 64
together (2026-11-21, one core of an AMD EPYC). sherpa-onnx is given what else helps it:

1. The websocket server runs with each `--sherpa-batch`, two threads of work, no endpointing, and a tail
   of 0.1 s for its 0.8 s; the best counts. The load client finds the most streams with a 99th
   percentile of compute latency of 60 ms, of both servers with the same streams and seconds. What
   sherpa-onnx' front end looks ahead is not counted. Rill's runs as its self-test tells it to.
2. In process, one thread each: sherpa-onnx' `decode_streams` and the engine's `tick` with N streams,
   each in CPU seconds per chunk, which neighbours on the machine disturb little. Copying audio in is
   part of both. The best N of each counts.

Needs the packages sherpa-onnx and sherpa-onnx-bin, and the extra `load`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from export.sherpa.directory import export
from stream.audio import read_audio
from stream.backends.integer_products import products_are_exact
from stream.bundled import recordings
from stream.encoders.lstm import LSTM
from stream.engine.engine import load_engine
from stream.front_end.log_mel import SAMPLE_RATE
from stream.model.network import open_model

CHUNK = LSTM.chunk_samples

BACKENDS = {"int8": "int8", "float32": "onnx"}
SERVER = "sherpa-onnx-online-websocket-server"
CL99_MS = 60
TAIL_SECONDS = 0.1
START_SECONDS = 60.0
WARM_UP = 3  # chunks
STARTS = 17  # chunks within which streams begin, so that tokens do not come all at once
PORT = 16006
LISTENING = "0A"  # in /proc/net/tcp


def files_of(directory: Path) -> dict[str, str]:
    """Return the files of a model for sherpa-onnx, by the names of its options."""
    files = {name: str(directory / f"{name}.onnx") for name in ("encoder", "decoder", "joiner")}
    return files | {"tokens": str(directory / "tokens.txt")}


@contextmanager
def running(command: Sequence[str], ready: Callable[[], bool], log: Path) -> Iterator[None]:
    """Run a server until the block is left, which begins when it is ready."""
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            deadline = time.monotonic() + START_SECONDS
            while not ready():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{command[0]} does not serve: {log.read_text()[-2000:]}")
                time.sleep(0.2)
            yield
        finally:
            process.terminate()


def listening(port: int) -> bool:
    """Return whether somebody listens at a port, without disturbing them."""
    tables = (Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6"))
    rows = [line.split() for table in tables for line in table.splitlines()[1:]]
    return any(row[3] == LISTENING and int(row[1].rpartition(":")[2], 16) == port for row in rows)


def serving(port: int) -> bool:
    """Return whether Rill's server at a port takes streams."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz") as reply:
            return bool(reply.status == 200)
    except OSError:  # not there yet, or 503 while the model is being loaded
        return False


def find_rts(protocol: str, url: str, first: int, arguments: Any, json_file: Path) -> Any:
    """Return the load client's report of a server."""
    command = [sys.executable, "-m", "server.load", "--protocol", protocol, "--url", url]
    command += ["--find-rts", "--cl99-ms", str(CL99_MS), "--concurrent", str(first)]
    command += ["--duration", str(arguments.duration), "--json", str(json_file)]
    if arguments.stream_seconds:
        command += ["--stream-seconds", str(arguments.stream_seconds)]
    command += [str(recording.audio) for recording in recordings()]
    if subprocess.run(command, check=False).returncode not in (0, 1):
        raise SystemExit("the load client failed")
    return json.loads(json_file.read_text())


def serve_sherpa(files: dict[str, str], batch: int, arguments: Any, work: Path) -> Any:
    """Return the report of sherpa-onnx' websocket server."""
    program = Path(sys.executable).parent / SERVER
    command = [str(program if program.is_file() else shutil.which(SERVER) or SERVER)]
    command += [f"--{name}={path}" for name, path in files.items()]
    command += [f"--port={PORT}", f"--max-batch-size={batch}", "--num-work-threads=2"]
    command += ["--enable-endpoint=false", f"--end-tail-padding={TAIL_SECONDS}"]
    command += [f"--loop-interval-ms={arguments.loop_ms}", f"--log-file={work / 'sherpa.txt'}"]
    with running(command, lambda: listening(PORT), work / "sherpa.log"):
        url = f"ws://127.0.0.1:{PORT}"
        return find_rts("sherpa", url, arguments.first_sherpa, arguments, work / "sherpa.json")


def serve_rill(arguments: Any, work: Path) -> Any:
    """Return the report of Rill's server."""
    command = [sys.executable, "-m", "server", "--model", str(arguments.model)]
    command += ["--backend", BACKENDS[arguments.arithmetic], "--port", str(PORT + 1)]
    with running(command, lambda: serving(PORT + 1), work / "rill.log"):
        url = f"ws://127.0.0.1:{PORT + 1}"
        return find_rts("myrtle", url, arguments.first, arguments, work / "rill.json")


Push = Callable[[int, Any], None]


def throughput(channels: int, chunks: int, push: Push, step: Callable[[], int]) -> float:
    """Return the streams that would fill a core.

    Args:
        push: gives a channel a chunk of samples.
        step: computes what is there; returns for how many chunks.
    """
    audio = np.concatenate([read_audio(recording.audio) for recording in recordings()])
    rng = np.random.default_rng(0)
    places = rng.integers(0, len(audio) - (chunks + STARTS + WARM_UP) * CHUNK, channels)
    begins = rng.integers(0, STARTS, channels)
    cpu, done = 0.0, 0
    for chunk in range(STARTS + WARM_UP + chunks):
        began = time.process_time()
        for channel in np.flatnonzero(begins <= chunk):
            at = places[channel] + (chunk - begins[channel]) * CHUNK
            push(channel, audio[at : at + CHUNK])
        count = step()
        if chunk >= STARTS + WARM_UP:
            cpu += time.process_time() - began
            done += count
    return done * CHUNK / SAMPLE_RATE / cpu


def sherpa_in_process(files: dict[str, str], channels: int, chunks: int) -> float:
    """Return the streams a core of sherpa-onnx' Python API."""
    import sherpa_onnx

    recogniser = sherpa_onnx.OnlineRecognizer.from_transducer(**files, num_threads=1)
    streams = [recogniser.create_stream() for _ in range(channels)]

    def push(channel: int, samples: Any) -> None:
        streams[channel].accept_waveform(SAMPLE_RATE, samples)

    def step() -> int:
        if ready := [stream for stream in streams if recogniser.is_ready(stream)]:
            recogniser.decode_streams(ready)
        return len(ready)

    return throughput(channels, chunks, push, step)


def rill_in_process(model: Path, backend: str, channels: int, chunks: int) -> float:
    """Return the streams a core of the engine."""
    engine = load_engine(model, channels, backend)
    slots = [slot for _ in range(channels) if (slot := engine.open()) is not None]
    return throughput(
        channels,
        chunks,
        lambda channel, samples: engine.push(slots[channel], samples),
        lambda: len(engine.tick()),
    )


def in_process(files: dict[str, str], arguments: Any) -> dict[str, Any]:
    """Return the streams a core of both, by the streams that are decoded together."""
    found: dict[str, Any] = {"sherpa": {}, "rill": {}}
    for name, counts in (("sherpa", arguments.sherpa_channels), ("rill", arguments.channels)):
        for channels in counts:
            if name == "sherpa":
                value = sherpa_in_process(files, channels, arguments.chunks)
            else:
                backend = BACKENDS[arguments.arithmetic]
                value = rill_in_process(arguments.model, backend, channels, arguments.chunks)
            found[name][channels] = round(value, 1)
            print(
                f"in process, {name}, {channels} together: {value:.1f} streams a core", flush=True
            )
    found["ratio"] = max(found["rill"].values()) / max(found["sherpa"].values())
    print(f"in process, best against best: {found['ratio']:.2f} times", flush=True)
    return found


def servers(files: dict[str, str], arguments: Any, work: Path) -> dict[str, Any]:
    """Return the reports of both servers."""
    found: dict[str, Any] = {"sherpa": {}}
    for batch in arguments.sherpa_batch:
        print(f"sherpa-onnx' websocket server, batches of {batch}", flush=True)
        found["sherpa"][batch] = serve_sherpa(files, batch, arguments, work)
    print("Rill's server", flush=True)
    found["rill"] = serve_rill(arguments, work)
    best = max(report["rts"] for report in found["sherpa"].values())
    found["ratio"] = found["rill"]["rts"] / max(best, 1)
    each = ", ".join(f"{report['rts']} ({n})" for n, report in found["sherpa"].items())
    print(
        f"servers, streams in real time: sherpa-onnx {each}, Rill {found['rill']['rts']}: "
        f"{found['ratio']:.2f} times",
        flush=True,
    )
    return found


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.sherpa_peer",
        description="Compare the server and the engine with sherpa-onnx on the same weights.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--model", type=Path, required=True, metavar="DIR", help="a model directory")
    add("--arithmetic", choices=BACKENDS, default="int8", help="of both (default: int8)")
    add("--only", choices=("servers", "in-process"), help="one half (default: both)")
    add("--duration", type=float, default=2.5, metavar="S", help="of a measurement (default: 2.5)")
    add("--stream-seconds", type=float, metavar="S", help="joins recordings to streams of about S")
    add("--first", type=int, default=128, metavar="N", help="streams to begin with (default: 128)")
    add("--first-sherpa", type=int, default=32, metavar="N", help="of sherpa-onnx (default: 32)")
    add("--sherpa-batch", type=int, nargs="+", default=[5, 32], metavar="N", help="see rule 1")
    add("--loop-ms", type=int, default=10, metavar="MS", help="sherpa-onnx' poll (default: 10)")
    add("--sherpa-channels", type=int, nargs="+", default=[5, 64], metavar="N", help="see rule 2")
    add("--channels", type=int, nargs="+", default=[128, 256], metavar="N", help="see rule 2")
    add("--chunks", type=int, default=34, metavar="N", help="chunks that count (default: 34)")
    add("--json", type=Path, metavar="F", help="write what was measured")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run both comparisons."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers that were started end too
    arguments = build_parser().parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        export(
            open_model(arguments.model),
            work / "sherpa",
            int8=arguments.arithmetic == "int8",
            signed_weights=products_are_exact(),
        )
        files = files_of(work / "sherpa")
        found: dict[str, Any] = {}
        if arguments.only != "servers":
            found["in_process"] = in_process(files, arguments)
        if arguments.only != "in-process":
            found["servers"] = servers(files, arguments, work)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
