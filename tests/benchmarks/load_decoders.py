"""`python -m tests.benchmarks.load_decoders`: what a beam and a language model cost a server, in one run.

    rill lm build --manifest train.jsonl --tokenizer models/en-commands/tokenizer.model --order 3 --output ngram.binary
    python -m tests.benchmarks.load_decoders --ngram ngram.binary --json decoders.json
    python -m tests.benchmarks.load_decoders --ngram ngram.binary --streams 40 --rounds 3 --no-search

A server for each decoder: greedy, a beam, and a beam with the language model.

1. All servers run at once, and take turns with `--streams` streams, `--rounds` times: what else the machine does is the
   same for all of them. Their CPU a stream and second is that of the median of the ratios to greedy's turn beside it.
2. Then one server at a time: the most streams whose 99th percentile of compute latency is within 60 ms (`rill load
   --find-rts`). It wants a machine with nothing else to do.

Needs the extra `load`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from server.demo import running_server
from stream.bundled import model_path, recordings

CL99_MS = 60
Report = dict[str, Any]


def decoders(arguments: Any) -> dict[str, list[str]]:
    """Return the flags of a server by the name of its decoder."""
    beam = ["--decoder", "beam", "--beam-width", str(arguments.beam_width)]
    ngram = ["--ngram", str(arguments.ngram), "--ngram-weight", str(arguments.ngram_weight)]
    width = arguments.beam_width
    return {"greedy": [], f"beam {width}": beam, f"beam {width} and n-gram": beam + ngram}


def flags(arguments: Any, decoder: Sequence[str]) -> list[str]:
    """Return the flags of a server."""
    model = ["--model", str(arguments.model), "--backend", arguments.backend]
    return [*model, "--slots", str(arguments.slots), *decoder]


def load(url: str, arguments: Any, *more: str) -> Report:
    """Return the load client's report of a server."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "load.json"
        command = [sys.executable, "-m", "server.load", "--url", url, "--json", str(file), *more]
        command += ["--duration", str(arguments.duration), "--perpetual"]
        command += ["--stream-seconds", str(arguments.stream_seconds)]
        command += [str(recording.audio) for recording in recordings()]
        if subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode not in (0, 1):
            raise SystemExit("the load client failed")
        report: Report = json.loads(file.read_text())
    return report


def in_turn(arguments: Any) -> dict[str, Report]:
    """Return CPU and latency of each decoder at the same number of streams (rule 1)."""
    turns: dict[str, list[Report]] = {}
    with ExitStack() as stack:
        urls = {
            name: stack.enter_context(running_server(*flags(arguments, decoder)))
            for name, decoder in decoders(arguments).items()
        }
        for _ in range(arguments.rounds):
            for name, url in urls.items():
                report = load(url, arguments, "--concurrent", str(arguments.streams))
                turns.setdefault(name, []).append(report)
    found = {}
    for name, reports in turns.items():
        pairs = zip(reports, turns["greedy"], strict=True)
        found[name] = {
            "cpu_ms": [1000 * each["server_cpu"] / arguments.streams for each in reports],
            "cl99_ms": [each["cl99_ms"] for each in reports],
            "lost_words": sum(each["lost_words"] for each in reports),
            "ratio": statistics.median(a["server_cpu"] / b["server_cpu"] for a, b in pairs),
        }
        cpu = ", ".join(f"{each:.2f}" for each in found[name]["cpu_ms"])
        print(
            f"{arguments.streams} streams, {name}: {cpu} ms of CPU a stream and second, "
            f"{found[name]['ratio']:.2f} times greedy's; CL99 "
            f"{', '.join(f'{each:.0f}' for each in found[name]['cl99_ms'])} ms",
            flush=True,
        )
    return found


def searched(arguments: Any) -> dict[str, Report]:
    """Return the report at the most streams of each decoder (rule 2)."""
    found: dict[str, Report] = {}
    search = ["--find-rts", "--cl99-ms", str(CL99_MS), "--concurrent", str(arguments.streams)]
    for name, decoder in decoders(arguments).items():
        with running_server(*flags(arguments, decoder)) as url:
            found[name] = load(url, arguments, *search)
        share = found[name]["rts"] / max(found["greedy"]["rts"], 1)
        print(
            f"{name}: {found[name]['rts']} streams at a CL99 of {found[name]['cl99_ms']:.0f} ms, "
            f"{share:.2f} of greedy's",
            flush=True,
        )
    return found


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.load_decoders",
        description="Load servers of one model with a greedy decoder, a beam, and a beam with a language model.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--model", type=Path, default=model_path(), metavar="DIR", help="default: the bundled one")
    add("--ngram", type=Path, required=True, metavar="FILE", help="ARPA file or KenLM binary")
    add("--ngram-weight", type=float, default=0.3, metavar="W", help="alpha (default: 0.3)")
    add("--beam-width", type=int, default=4, metavar="N", help="hypotheses (default: 4)")
    add("--backend", default="int8", help="of all servers (default: int8)")
    add("--slots", type=int, default=1500, metavar="N", help="of each server (default: 1500)")
    add("--streams", type=int, default=200, metavar="N", help="of a turn (default: 200)")
    add("--rounds", type=int, default=3, metavar="N", help="turns of each server (default: 3)")
    add("--duration", type=float, default=8.0, metavar="S", help="of a turn (default: 8)")
    add("--stream-seconds", type=float, default=20.0, metavar="S", help="of a stream (default: 20)")
    add("--no-search", action="store_true", help="leave rule 2 out")
    add("--json", type=Path, metavar="F", help="write what was measured")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the turns and the search."""
    arguments = build_parser().parse_args(argv)
    found = {"in_turn": in_turn(arguments)}
    if not arguments.no_search:
        found["searched"] = searched(arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
