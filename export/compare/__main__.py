"""`python -m export.compare`: artefacts of a model on the same recordings, side by side.

Prints a table and writes one page of HTML. The first artefact is the reference. Parsing, running and
printing; the figures are `export.compare.findings`, the page is `export.compare.page`.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from export.compare.artefacts import Model, is_server, open_artefact, run_model, run_server
from export.compare.clips import Clip, clip
from export.compare.findings import Comparison, Result, compare
from export.compare.page import render
from server.client.stream import stream_audio
from server.processes import machine
from stream.backends import BACKENDS
from stream.files.atomic import replace_file, replace_json
from stream.manifest import Utterance, read_manifest, spaced
from stream.process import reports_errors, run_main
from stream.progress import show_line
from stream.stage import Floats

CLIPS = 20  # 12 s each at most: some 10 MB of page
SHOWN = 5  # disagreements, on the terminal


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rill compare",
        description="Run artefacts over the same recordings; show how they differ, in a table and on "
        "a page that plays the recordings they disagree about. The first is the reference.",
        epilog="example: rill compare runs/hard/best.pt models/mine:onnx "
        "models/mine:int8 ws://127.0.0.1:3030 --manifest dev.jsonl --output report.html",
        allow_abbrev=False,
    )
    parser.add_argument(
        "artefacts",
        nargs="+",
        metavar="ARTEFACT",
        help="checkpoint or model directory, PATH or PATH:BACKEND (default: onnx for a directory, "
        f"else numpy; of {', '.join(BACKENDS)}), or the URL of a server, ws://HOST:PORT",
    )
    parser.add_argument("--manifest", required=True, metavar="JSONL", help="recordings")
    parser.add_argument(
        "--limit", type=int, metavar="N", help="take N of them, evenly spaced (default: all)"
    )
    parser.add_argument("--output", metavar="HTML", help="page to write (default: none)")
    parser.add_argument("--json", metavar="F", help="write all figures as JSON")
    parser.add_argument(
        "--clips",
        type=int,
        default=CLIPS,
        metavar="N",
        help="disagreements that the page can play, of 12 s and 0.5 MB at most each "
        f"(default: {CLIPS})",
    )
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    arguments = parser.parse_args(argv)
    for path in filter(None, (arguments.output, arguments.json)):
        if not Path(path).parent.is_dir():  # before minutes of computing, not after them
            parser.error(f"{path} cannot be written: there is no folder {Path(path).parent}")
    if arguments.limit is not None and arguments.limit < 1:
        parser.error(f"--limit is {arguments.limit}; want 1 or more")
    if arguments.clips < 0:
        parser.error(f"--clips is {arguments.clips}; want 0 or more")
    utterances = spaced(read_manifest(arguments.manifest), arguments.limit)
    comparison = compare(
        _results(arguments.artefacts, utterances),
        utterances,
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        machine=machine(),
        manifest=arguments.manifest,
        progress=_progress("stages"),
    )
    clips = _clips(comparison, utterances, arguments.clips) if arguments.output else {}
    _print(comparison)
    if arguments.json:
        replace_json(Path(arguments.json), comparison)
    if arguments.output:
        replace_file(Path(arguments.output), render(comparison, clips).encode())
        print(f"written: {arguments.output}", file=sys.stderr)
    return 0


def _results(artefacts: Sequence[str], utterances: Sequence[Utterance]) -> list[Result]:
    """Open all artefacts, and then run each: a mistake in the last is found before minutes of computing."""
    models = {name: open_artefact(name) for name in artefacts if not is_server(name)}
    labels = _labels(artefacts, models)
    results: dict[int, Result] = {}
    for n, name in sorted(enumerate(artefacts), key=lambda each: not is_server(each[1])):
        progress = functools.partial(_progress("streamed"), labels[n])
        model = models.get(name)
        if model is None:
            run = run_server(_transcriber(name), utterances, progress)
            results[n] = Result(labels[n], name, "server", run, None)
        else:
            run = run_model(model, utterances, progress)
            results[n] = Result(labels[n], name, _describe(model), run, model)
    return [results[n] for n in range(len(artefacts))]


def _transcriber(url: str) -> Callable[[Floats], str]:
    def transcribe(samples: Floats) -> str:
        return asyncio.run(stream_audio(url, [samples], realtime=False)).transcript

    return transcribe


def _labels(artefacts: Sequence[str], models: dict[str, Model]) -> list[str]:
    """Return short names: the backend where all are one model, else file and backend."""
    paths = {model.network.path for model in models.values()}
    names = []
    for artefact in artefacts:
        model = models.get(artefact)
        if model is None:
            names.append(urlsplit(artefact).netloc)
        elif len(paths) == 1:
            names.append(model.backend)
        else:
            path = Path(artefact.removesuffix(f":{model.backend}"))
            names.append(f"{path.resolve().name}:{model.backend}")
    if len(set(names)) < len({*artefacts}):  # best.pt of two runs
        names = list(artefacts)
    return [
        f"{name} ({names[:n].count(name) + 1})" if names[:n].count(name) else name
        for n, name in enumerate(names)
    ]


def _describe(model: Model) -> str:
    spec = model.network.specification
    weights = sum(array.size for array in model.network.arrays.values()) / 1e6
    number_format = "" if spec.number_format == "float32" else f", {spec.number_format}"
    return f"{spec.activation} activations, {weights:.2f} M weights{number_format}; {model.backend}"


def _clips(comparison: Comparison, utterances: Sequence[Utterance], count: int) -> dict[str, Clip]:
    of = {utterance.id: utterance for utterance in utterances}
    return {
        each.id: clip(
            of[each.id].read(),
            min((t.seconds for t in each.transcripts if t.seconds is not None), default=0.0),
        )
        for each in comparison.disagreements[:count]
    }


def _print(comparison: Comparison) -> None:
    entries = comparison.artefacts
    width = max(len(entry.label) for entry in entries)
    print(
        f"{'':{width}}      WER   sub  del  ins     speed   words  tokens  recordings   flips"
        "   largest difference"
    )
    for entry in entries:
        wer = "-" if entry.wer is None else f"{100 * entry.wer:.2f} %"
        line = (
            f"{entry.label:{width}}  {wer:>7}  {entry.substitutions:4d} {entry.deletions:4d} "
            f"{entry.insertions:4d}  {entry.speed:6.1f} x  "
        )
        if entry is entries[0]:
            print(f"{line}  reference")
            continue
        stages = ", ".join(f"{name} {d.largest:.1e}" for name, d in entry.stages.items())
        tokens, flips = ("-" if n is None else n for n in (entry.different_tokens, entry.flips))
        print(
            f"{line}{entry.changed_words:6d}  {tokens:>6}  {entry.different:10d}  {flips:>6}   "
            f"{stages or '-'}"
        )
    for each in comparison.disagreements[:SHOWN]:
        print(f"{each.id}\n    {'said':{width}}  {each.text}")
        for entry, transcript in zip(entries, each.transcripts, strict=True):
            at = (
                ""
                if transcript.frame is None
                else (f"   (diverges at frame {transcript.frame}, {transcript.seconds:.2f} s)")
            )
            print(f"    {entry.label:{width}}  {transcript.text}{at}")
    more = len(comparison.disagreements) - SHOWN
    print(
        f"{len(comparison.disagreements)} of {comparison.recordings} recordings are disputed"
        + (f", {more} more than shown" if more > 0 else "")
    )


def _progress(what: str) -> Callable[[str, int, int], None]:
    """Return what shows progress: a line that is written over on a terminal, elsewhere one in 10 s."""
    terminal, printed = sys.stderr.isatty(), [time.monotonic()]

    def show(label: str, done: int, total: int) -> None:
        line = f"{label}: {done} of {total} {what}"
        show_line(line, last=done == total)
        if not terminal and (done == total or time.monotonic() - printed[0] > 10.0):
            printed[0] = time.monotonic()
            print(line, file=sys.stderr, flush=True)

    return show


if __name__ == "__main__":
    run_main(main)
