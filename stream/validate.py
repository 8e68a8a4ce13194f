"""`python -m stream.validate`: stream a manifest through a model and count errors.

`--reset-stats` starts every utterance from the data set's statistics; without it they carry on in the
manifest's order. `--compare-full` compares the streamed tokens with those of the training forward
over whole utterances, token by token and step by step. `--scenario` measures conditions instead
(`stream.scenarios.rows`).
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

from stream.backends import BACKENDS
from stream.bundled import model_path, recordings
from stream.decoding.beam import BeamConfig
from stream.decoding.decoding import BEAMS, DECODERS, Decoding
from stream.decoding.options import WHOLE, decoding_of
from stream.engine.front_end import FRONT_ENDS
from stream.error_rate import word_error_rate
from stream.errors import ArgumentError
from stream.files.atomic import replace_file
from stream.manifest import Utterance, read_manifest
from stream.model.network import Network, open_model
from stream.process import reports_errors, run_main
from stream.progress import show_count
from stream.scenarios import report as report_of
from stream.scenarios.rows import SCENARIOS
from stream.spelling import check_spelling, unspelt
from stream.validation import Reference, Report, validate
from stream.words import ctm_line

WORST = 5


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m stream.validate`."""
    parser = argparse.ArgumentParser(
        prog="rill validate",
        description="Stream a manifest through a model and count errors.",
        epilog="example: rill validate --model best.pt --manifest dev.jsonl --reset-stats",
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
    parser.add_argument(
        "--normalise",
        metavar="RULES",
        help="normalise transcripts first, as data.text in training: standard, lower, ascii, "
        "lowercase, v1.4, a language such as fr (default: take them as they are)",
    )
    parser.add_argument(
        "--allow-unk",
        action="store_true",
        help="take transcripts with characters that the model's tokenizer cannot spell "
        "(default: refuse them)",
    )
    parser.add_argument("--alpha", type=float, metavar="A", help="override the statistics' alpha")
    parser.add_argument(
        "--chunk-ms", type=float, metavar="N", help="audio handed in at once, ms (default: a chunk)"
    )
    parser.add_argument(
        "--backend",
        choices=sorted(BACKENDS),
        help="what computes (default: onnx for a model directory, else numpy)",
    )
    parser.add_argument(
        "--front-end",
        choices=FRONT_ENDS,
        default="float",
        help="the model's front end, or the same in fixed point (default: float)",
    )
    parser.add_argument(
        "--decoder",
        choices=DECODERS,
        default="greedy",
        help="how text is searched for; ctc is for models with a CTC head beside a transducer "
        "(default: greedy)",
    )
    parser.add_argument(
        "--beam-width",
        type=int,
        metavar="N",
        help=f"hypotheses that a beam search keeps (default: {BeamConfig.width})",
    )
    parser.add_argument(
        "--ngram",
        metavar="F",
        help="language model of a beam search over the model's pieces, ARPA or KenLM's probing binary "
        "(default: the one that the model carries, if any)",
    )
    parser.add_argument(
        "--ngram-weight",
        type=float,
        metavar="W",
        help="factor of the log-probabilities of --ngram",
    )
    parser.add_argument(
        "--standardise",
        action="store_true",
        help="bring transcripts and results to standard English spelling before words are counted: "
        "contractions and titles in full, no fillers (default: score them as they are)",
    )
    parser.add_argument(
        "--compare-full",
        action="store_true",
        help="compare every token with the training forward (needs torch)",
    )
    parser.add_argument(
        "--scenario",
        action="append",
        choices=[*SCENARIOS, "all"],
        help="measure what rooms, levels, telephones, tones and one long stream cost, row by row; "
        "may be repeated",
    )
    parser.add_argument(
        "--noise",
        metavar="FOLDER",
        help="recordings without speech for --scenario noise (default: synthetic white noise)",
    )
    parser.add_argument("--json", metavar="F", help="write the report as JSON")
    parser.add_argument(
        "--ctm", metavar="F", help="write when each word that was heard sounds, as a CTM file"
    )
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    for flag in ("json", "ctm"):
        path = getattr(arguments, flag)
        if path and not Path(path).parent.is_dir():
            parser.error(f"--{flag} {path}: there is no such folder")
    if arguments.beam_width is not None and arguments.decoder not in BEAMS:
        parser.error(f"--beam-width goes with --decoder {' or '.join(BEAMS)}")
    if arguments.ngram is not None and arguments.decoder not in BEAMS:
        parser.error(f"--ngram goes with --decoder {' or '.join(BEAMS)}")
    if (arguments.ngram is None) != (arguments.ngram_weight is None):
        parser.error("--ngram and --ngram-weight go together")
    if arguments.compare_full and arguments.front_end != "float":
        parser.error("--compare-full compares the float front end: leave --front-end out")
    if arguments.compare_full and arguments.decoder in BEAMS:
        parser.error(f"--compare-full compares greedy decoding: leave {arguments.decoder} out")
    scenarios = arguments.scenario
    alone = arguments.compare_full, arguments.alpha, arguments.ctm, arguments.standardise
    if scenarios and any(value not in (None, False) for value in alone):
        parser.error("--scenario goes without --compare-full, --alpha, --ctm and --standardise")
    if arguments.noise and not scenarios:
        parser.error("--noise goes with --scenario")
    network, utterances = _material(arguments.model, arguments.manifest)
    decoding = _decoding(network, arguments)
    if arguments.normalise:
        utterances = _normalised(utterances, arguments.normalise, network)
    if not arguments.allow_unk:
        check_spelling(network.vocabulary, utterances, "--normalise lowercase", "--allow-unk")
    elif missing := unspelt(network.vocabulary, utterances):
        print(missing, file=sys.stderr)
    if scenarios:
        rows = report_of.run(
            network,
            utterances,
            scenarios,
            noise=Path(arguments.noise) if arguments.noise else None,
            backend=arguments.backend,
            decoding=decoding,
            front_end=arguments.front_end,
            progress=report_of.show,
        )
        if arguments.json:
            replace_file(Path(arguments.json), json.dumps(report_of.content(rows)).encode() + b"\n")
        print(report_of.table(rows))
        return 0
    report = validate(
        network,
        utterances,
        backend=arguments.backend,
        reset_stats=arguments.reset_stats,
        alpha=arguments.alpha,
        chunk_ms=arguments.chunk_ms,
        decoding=decoding,
        front_end=arguments.front_end,
        reference=_training_forward(decoding) if arguments.compare_full else None,
        form=_standard_form() if arguments.standardise else str,
        progress=show_count,
    )
    if arguments.json:
        replace_file(Path(arguments.json), json.dumps(_content(report)).encode() + b"\n")
    if arguments.ctm:
        replace_file(Path(arguments.ctm), "".join(_ctm_lines(report)).encode())
    _show(report, network, arguments.compare_full)
    return 1 if report.different else 0


def _decoding(network: Network, arguments: argparse.Namespace) -> Decoding:
    options = replace(
        WHOLE,
        decoder=arguments.decoder,
        beam_width=WHOLE.beam_width if arguments.beam_width is None else arguments.beam_width,
        ngram=arguments.ngram,
        ngram_weight=arguments.ngram_weight,
    )
    return decoding_of(network, options)


def _material(model: str | None, manifest: str | None) -> tuple[Network, list[Utterance]]:
    network = open_model(model if model else model_path())
    return network, read_manifest(manifest) if manifest else recordings()


def _normalised(utterances: list[Utterance], rules: str, network: Network) -> list[Utterance]:
    from train.text.levels import TEXT_RULES
    from train.text.transcripts import normalised

    if rules not in TEXT_RULES:
        raise ArgumentError(f"--normalise is {rules!r}; want one of {', '.join(TEXT_RULES)}")
    return normalised(utterances, cast("Any", rules), network.vocabulary.symbols)


def _training_forward(decoding: Decoding) -> Reference:
    from train.evaluation import training_tokens  # torch, which the core has not

    return functools.partial(training_tokens, decoder=decoding.decoder)


def _standard_form() -> Callable[[str], str]:
    from train.text.normaliser import standardise_wer

    return standardise_wer


def _ctm_lines(report: Report) -> Iterator[str]:
    for outcome in report.utterances:
        words = filter(None, outcome.hypothesis.split(" "))
        for word, (start, end) in zip(words, outcome.times, strict=True):
            yield ctm_line(outcome.id, word, start, end) + "\n"


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
        f"CER {100 * report.cer:.2f} %   RTF {report.rtf:.4f}   {len(report.utterances)} utterances"
    )
    seconds = network.specification.encoder.frame_seconds
    for difference in report.differences[:WORST]:
        pieces = network.vocabulary.pieces
        streamed, trained = (
            f"{pieces[token[0]]!r} at step {token[1]}" if token else "nothing"
            for token in (difference.streamed, difference.trained)
        )
        print(
            f"{difference.id}: token {difference.index} differs at encoder frame {difference.step} "
            f"({seconds * difference.step:.2f} s): streamed {streamed}, trained {trained}"
        )
    if compared:
        print(f"{report.different} different of {len(report.utterances)}")


def _content(report: Report) -> dict[str, Any]:
    return {
        "schema": "rill.validation/1",
        **asdict(report),
        "wer": _finite(report.wer),
        "cer": _finite(report.cer),
        "different": report.different,
    }


def _finite(rate: float) -> float | None:
    return rate if math.isfinite(rate) else None  # JSON has no infinity


if __name__ == "__main__":
    run_main(main)
