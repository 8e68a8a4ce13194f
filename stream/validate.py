"""`python -m stream.validate`: stream a manifest through a model and count errors.

Every utterance runs through the engine in chunks, as a channel would. `--reset-stats` starts each
from the data set's statistics; without it the running statistics carry on in the manifest's order, as
they do on a channel that stays open. `--compare-full` holds the streamed tokens against those of the
training forward over whole utterances, token for token and step for step.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.audio import AudioError, read_audio
from stream.backends import BACKENDS, load_backend
from stream.engine import Engine, Result
from stream.error_rate import word_error_rate
from stream.features import SAMPLE_RATE
from stream.manifest import ManifestError, Utterance, read_manifest
from stream.network import ModelError, Network, open_model

__all__ = ["Difference", "Outcome", "Report", "default_backend", "validate"]

SLOTS = 16  # utterances streamed side by side where they are independent
STEP_SECONDS = 0.06
WORST = 5


@dataclass(frozen=True)
class Outcome:
    """One utterance: its texts, and its tokens' ids."""

    id: str
    reference: str
    hypothesis: str
    tokens: list[int]


@dataclass(frozen=True)
class Difference:
    """Where streaming and the training forward part.

    Attributes:
        id: of the utterance.
        index: of the first token that differs.
        step: encoder frame of the earlier of the two tokens there.
        streamed, trained: (token, step) of each, or None past its last token.
    """

    id: str
    index: int
    step: int
    streamed: tuple[int, int] | None
    trained: tuple[int, int] | None


@dataclass(frozen=True)
class Report:
    """What a validation found; `wer` and `rtf` are fractions, see `stream.error_rate`.

    RTF counts front end, network and decoder, not the decoding of audio files.
    """

    wer: float
    substitutions: int
    deletions: int
    insertions: int
    words: int
    rtf: float
    utterances: list[Outcome]
    differences: list[Difference] = field(default_factory=list)

    @property
    def different(self) -> int:
        """Utterances whose tokens differ from the training forward's."""
        return len(self.differences)


Progress = Callable[[int, int], None]


def default_backend(network: Network) -> str:
    """Return "onnx" for a model directory, whose graphs are what is served, else "numpy"."""
    return "onnx" if network.path is not None and network.path.is_dir() else "numpy"


def validate(
    network: Network,
    utterances: Sequence[Utterance],
    *,
    backend: str | None = None,
    reset_stats: bool = False,
    alpha: float | None = None,
    chunk_ms: float = 60.0,
    compare_full: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Stream utterances and score them.

    Args:
        network: the model.
        utterances: of a manifest.
        backend: its name; None: `default_backend`.
        reset_stats: whether every utterance starts from the data set's statistics.
        alpha: overrides the model's weight of a new frame in the statistics.
        chunk_ms: audio handed in at once; no result depends on it.
        compare_full: whether to hold the tokens against the training forward; wants `reset_stats`.
        progress: called with (utterances done, utterances).
    Raises:
        ValueError: the arguments contradict each other.
        AudioError: a recording cannot be decoded.
    """
    if compare_full and not reset_stats:
        raise ValueError(
            "the training forward starts every utterance from the data set's statistics: "
            "--compare-full wants --reset-stats"
        )
    if chunk_ms * SAMPLE_RATE / 1000 < 1:
        raise ValueError(f"a chunk of {chunk_ms} ms is less than a sample")
    if alpha is not None:
        specification = msgspec.structs.replace(network.specification, alpha=alpha)
        network = Network(
            specification, network.arrays, network.tokenizer, network.notes, network.path
        )
    slots = min(SLOTS if reset_stats else 1, max(len(utterances), 1))
    computed = load_backend(backend or default_backend(network), network)
    stream = _Streams(Engine(network, computed, slots), reset_stats)
    chunk = int(chunk_ms * SAMPLE_RATE / 1000)
    results = stream.run(utterances, chunk, progress)
    outcomes = [
        Outcome(
            u.id,
            u.text,
            "".join(r.text for r in of).strip(),
            [token.id for r in of for token in r.tokens],
        )
        for u, of in zip(utterances, results, strict=True)
    ]
    rate = word_error_rate([o.reference for o in outcomes], [o.hypothesis for o in outcomes])
    differences = _compare(network, utterances, results, progress) if compare_full else []
    return Report(
        rate.wer,
        rate.substitutions,
        rate.deletions,
        rate.insertions,
        rate.words,
        stream.seconds / max(stream.audio_seconds, 1e-9),
        outcomes,
        differences,
    )


class _Streams:
    """Runs utterances through an engine, several at once where they are independent."""

    def __init__(self, engine: Engine, reset_stats: bool) -> None:
        self._engine, self._reset = engine, reset_stats
        self.seconds = 0.0  # of processing
        self.audio_seconds = 0.0

    def run(
        self, utterances: Sequence[Utterance], chunk: int, progress: Progress | None
    ) -> list[list[Result]]:
        """Return the results of each utterance."""
        engine = self._engine
        found: list[list[Result]] = [[] for _ in utterances]
        waiting = iter(range(len(utterances)))
        rest: dict[int, NDArray[np.float32]] = {}  # slot -> audio not yet handed in
        of: dict[int, int] = {}  # slot -> utterance
        done = 0

        def begin(slot: int) -> None:
            number = next(waiting, None)
            if number is None:
                engine.close(slot)
                return
            rest[slot] = read_audio(utterances[number].audio)
            self.audio_seconds += len(rest[slot]) / SAMPLE_RATE
            of[slot] = number

        while (slot := engine.open()) is not None:
            begin(slot)
        while of:
            for slot, audio in list(rest.items()):
                engine.push(slot, audio[:chunk])
                rest[slot] = audio[chunk:]
                if not len(rest[slot]):
                    del rest[slot]
                    engine.finish(slot)
            while engine.pending():
                began = time.perf_counter()
                results = engine.tick()
                self.seconds += time.perf_counter() - began
                for result in results:
                    found[of[result.slot]].append(result)
                    if result.last:
                        done += 1
                        if progress:
                            progress(done, len(utterances))
                        del of[result.slot]
                        engine.restart(result.slot, keep_statistics=not self._reset)
                        begin(result.slot)
        return found


def _compare(
    network: Network,
    utterances: Sequence[Utterance],
    results: Sequence[Sequence[Result]],
    progress: Progress | None,
) -> list[Difference]:
    """Hold streamed tokens against the training forward's, utterance by utterance."""
    from train.evaluation import training_tokens  # this main wires; the core has no torch

    differences = []
    block = 256  # utterances in memory at once
    for begin in range(0, len(utterances), block):
        some = utterances[begin : begin + block]
        trained = training_tokens(network, [read_audio(u.audio) for u in some])
        for utterance, of, want in zip(some, results[begin : begin + block], trained, strict=True):
            got = [(token.id, token.step) for result in of for token in result.tokens]
            if got != want:
                differences.append(_first_difference(utterance.id, got, want))
        if progress:
            progress(min(begin + block, len(utterances)), len(utterances))
    return differences


def _first_difference(
    name: str, got: list[tuple[int, int]], want: list[tuple[int, int]]
) -> Difference:
    index = next(i for i in range(max(len(got), len(want))) if got[i : i + 1] != want[i : i + 1])
    pair = [tokens[index] if index < len(tokens) else None for tokens in (got, want)]
    step = min(token[1] for token in pair if token is not None)
    return Difference(name, index, step, pair[0], pair[1])


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m stream.validate`."""
    parser = argparse.ArgumentParser(
        prog="python -m stream.validate",
        description="Stream a manifest through a model and count errors.",
        epilog="example: python -m stream.validate --model best.pt --manifest dev.jsonl --reset-stats",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--model", metavar="PATH", help="model directory or checkpoint (default: the bundled model)"
    )
    parser.add_argument(
        "--manifest", metavar="JSONL", help="recordings (default: the bundled ones)"
    )
    parser.add_argument(
        "--reset-stats",
        action="store_true",
        help="start every utterance from the data set's statistics (default: carry them on)",
    )
    parser.add_argument("--alpha", type=float, metavar="A", help="override the statistics' alpha")
    parser.add_argument(
        "--chunk-ms", type=float, default=60.0, metavar="N", help="chunk in ms (default: 60)"
    )
    parser.add_argument(
        "--backend",
        choices=sorted(BACKENDS),
        help="what computes (default: onnx for a model directory, else numpy)",
    )
    parser.add_argument(
        "--compare-full",
        action="store_true",
        help="hold every token against the training forward (needs torch)",
    )
    parser.add_argument("--json", metavar="F", help="write the report as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    arguments = build_parser().parse_args(argv)
    try:
        network, utterances = _material(arguments.model, arguments.manifest)
        report = validate(
            network,
            utterances,
            backend=arguments.backend,
            reset_stats=arguments.reset_stats,
            alpha=arguments.alpha,
            chunk_ms=arguments.chunk_ms,
            compare_full=arguments.compare_full,
            progress=_counter() if sys.stderr.isatty() else None,
        )
    except (ModelError, ManifestError, AudioError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 3
    except ModuleNotFoundError as error:
        print(f"needs {error.name}: pip install 'rill-asr[train]'", file=sys.stderr)
        return 4
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if arguments.json:
        _write_json(report, Path(arguments.json))
    _show(report, network, arguments.compare_full)
    return 1 if report.different else 0


def _material(model: str | None, manifest: str | None) -> tuple[Network, list[Utterance]]:
    from stream import bundled

    network = open_model(model if model else bundled.model_path())
    return network, read_manifest(manifest) if manifest else bundled.recordings()


def _show(report: Report, network: Network, compared: bool) -> None:
    worst = sorted(
        report.utterances, key=lambda o: -word_error_rate([o.reference], [o.hypothesis]).wer
    )
    for outcome in worst[:WORST]:
        if outcome.reference != outcome.hypothesis:
            print(f"{outcome.id}\n    said  {outcome.reference}\n    heard {outcome.hypothesis}")
    print(
        f"WER {100 * report.wer:.2f} %   {report.words} words, {report.substitutions} substituted, "
        f"{report.deletions} deleted, {report.insertions} inserted   "
        f"RTF {report.rtf:.4f}   {len(report.utterances)} utterances"
    )
    for difference in report.differences[:WORST]:
        pieces = network.vocabulary.pieces
        streamed, trained = (
            f"{pieces[token[0]]!r} at step {token[1]}" if token else "nothing"
            for token in (difference.streamed, difference.trained)
        )
        print(
            f"{difference.id}: token {difference.index} differs at encoder frame {difference.step} "
            f"({STEP_SECONDS * difference.step:.2f} s): streamed {streamed}, trained {trained}"
        )
    if compared:
        print(f"{report.different} different of {len(report.utterances)}")


def _write_json(report: Report, path: Path) -> None:
    content: dict[str, Any] = {
        "schema": "rill.validation/1",
        **asdict(report),
        "different": report.different,
    }
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content) + "\n", "utf-8")
    partial.replace(path)


def _counter() -> Progress:
    def show(done: int, total: int) -> None:
        print(f"\r{done} of {total}", end="\n" if done == total else "", file=sys.stderr, flush=True)

    return show


if __name__ == "__main__":
    raise SystemExit(main())
