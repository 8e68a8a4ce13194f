"""`python -m stream.validate`: stream recordings through a model and count errors.

`--reset-stats` starts every utterance from the data set's statistics; without it they carry on in the
order of the recordings. `--compare-full` compares the streamed tokens with those of the training forward
over whole utterances, token by token and step by step. `--chunk-ms` chooses among the lengths of chunk that the
model was trained with. `--scenario` measures conditions instead
(`stream.scenarios.rows`). Several models, or a folder of checkpoints, make a table.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from stream.backends import default_backend
from stream.bundled import model_path, recordings
from stream.ctm import TimedWord, read_ctm
from stream.decoding.decoding import Decoding
from stream.decoding.greedy import GreedyConfig
from stream.decoding.options import DecoderOptions, decoding_of, options_of
from stream.engine.selftest import self_test
from stream.errors import ArgumentError
from stream.files.atomic import replace_file
from stream.front_end.log_mel import SAMPLE_RATE
from stream.manifest import ManifestError, read_manifest, spaced
from stream.model.network import Network, models_in, open_model
from stream.model.stages import text_rules_of, without_places
from stream.process import reports_errors, run_main
from stream.progress import show_count
from stream.scenarios import report as scenario_report
from stream.scenarios.rows import SCENARIOS
from stream.spelling import check_spelling, unspelt
from stream.validation import Reference, Report, flags, tables, validate
from stream.validation.concatenation import concatenated
from stream.validation.files import write_ctm, write_predictions
from stream.validation.record import (
    Conditions,
    conditions,
    record_capacity,
    record_report,
    record_rows,
    target_of,
)
from stream.validation.report import content

DUMMY = "dummy"  # the transcript of Myrtle's lists for inference


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m stream.validate`."""
    parser = argparse.ArgumentParser(
        prog="rill validate",
        description="Stream recordings through a model and count errors.",
        epilog="example: rill validate --model best.pt --manifest dev.jsonl --reset-stats",
        allow_abbrev=False,
    )
    flags.add_recordings(parser.add_argument_group("recordings"))
    flags.add_model(parser.add_argument_group("model"))
    flags.add_decoding(parser.add_argument_group("decoding"))
    flags.add_reports(parser.add_argument_group("reports"))
    add = parser.add_argument_group("conditions").add_argument
    add(
        "--scenario",
        action="append",
        choices=[*SCENARIOS, "all"],
        help="measure what rooms, levels, telephones, tones and one long stream cost, row by row; "
        "may be repeated",
    )
    add(
        "--noise",
        metavar="FOLDER",
        help="recordings without speech for --scenario noise (default: synthetic white noise)",
    )
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    flags.check(parser, arguments)
    if arguments.scenario:
        for flag in (
            "compare-full",
            "alpha",
            "final-padding",
            "ctm",
            "capacity",
            "standardise",
            "predictions",
            "breakdown",
        ):
            if getattr(arguments, flag.replace("-", "_")) not in (None, False):
                parser.error(f"--scenario goes without --{flag}")
    if arguments.noise and not arguments.scenario:
        parser.error("--noise goes with --scenario")
    options = [
        options_of(arguments, state_resets=resets)
        for resets in flags.RESETS[arguments.state_resets]
    ]
    models = [path for model in arguments.model or [model_path()] for path in models_in(model)]
    runs = [
        (*run, chosen)
        for model in models
        for run, chosen in itertools.product(_with_chunks(model, arguments.chunk_ms), options)
    ]
    if len(runs) > 1 and (arguments.predictions or arguments.ctm or arguments.scenario):
        parser.error("--predictions, --ctm and --scenario are for one model, run one way")
    spoken, scored = _recordings(arguments)
    if not scored and (flags.wants_transcripts(arguments) or len(runs) > 1):
        parser.error(
            "there are no transcripts, which --breakdown, --latency, --reference-ctm, --record, --scenario "
            "and a table of several models want"
        )
    places = None
    if arguments.record is not None:
        places = {model: target_of(model, arguments.record) for model in models}
    if arguments.scenario:
        place = places[models[0]] if places else None
        return _scenarios(arguments, _opened(*runs[0][:2]), options[0], spoken, place)
    rows = []
    for model, chunk_ms, chosen in runs:
        name = str(model) if chunk_ms is None else f"{model}, chunks of {chunk_ms} ms"
        name += ", states reset" if chosen.state_resets else ""
        network = _opened(model, chunk_ms)
        if len(network.specification.heads) > 1:
            name += f", {network.specification.head(chosen.head)} head"
        if len(runs) > 1:
            print(name, file=sys.stderr, flush=True)
        report = _report(arguments, network, chosen, spoken, scored)
        rows.append(tables.Row(name, report))
        if places:
            record_report(places[model], _conditions(arguments, network, chosen, spoken), report)
        if arguments.capacity:
            _measure_capacity(arguments, network, chosen, name, places[model] if places else None)
        if arguments.compare_full and len(runs) > 1:
            _print(tables.differences(report, network, name))
    if arguments.json:
        replace_file(Path(arguments.json), json.dumps(_content(rows)).encode() + b"\n")
    report = rows[0].report
    if arguments.predictions:
        write_predictions(report, Path(arguments.predictions))
    if arguments.ctm:
        write_ctm(report, Path(arguments.ctm))
    if len(rows) > 1:
        _print(tables.comparison(rows))
    else:
        _show(report, network, arguments)
    return 1 if any(row.report.different for row in rows) else 0


def _with_chunks(model: Path, asked: int | str | None) -> list[tuple[Path, int | None]]:
    """Return a model with each of the lengths of chunk that `--chunk-ms` asks for."""
    if isinstance(asked, str):
        return [(model, length) for length in open_model(model).specification.encoder.chunk_lengths]
    return [(model, asked)]


def _opened(model: Path, chunk_ms: int | None) -> Network:
    network = open_model(model)
    return network if chunk_ms is None else network.with_chunk(chunk_ms)


def _recordings(arguments: argparse.Namespace) -> tuple[list[Any], bool]:
    """Return the recordings, and whether their transcripts say what is said in them."""
    if arguments.manifest is None:
        found: list[Any] = recordings()
    else:
        found = _read(
            arguments.manifest,
            arguments.root,
            texts=not arguments.no_reference,
            words=arguments.latency,
        )
    found = spaced(found, arguments.limit)
    dummies = bool(found) and all(spoken.text == DUMMY for spoken in found)
    if dummies:
        print(f"every transcript is {DUMMY!r}: no errors are counted", file=sys.stderr)
    return found, not (arguments.no_reference or dummies)


def _read(path: str, root: str | None, *, texts: bool, words: bool) -> list[Any]:
    from train.data.formats.table import detect, read_records
    from train.data.records.record import strict

    folder = None if root is None else Path(root)
    if detect(path) == "manifest" and folder is None and not words:
        return list(read_manifest(path, texts=texts))
    found = list(strict(read_records(path, root=folder)))
    if not found:
        raise ManifestError(Path(path), 0, "names no recording")
    return found


def _report(
    arguments: argparse.Namespace,
    network: Network,
    options: DecoderOptions,
    spoken: Sequence[Any],
    scored: bool,
) -> Report:
    if scored:
        spoken = _with_texts(arguments, network, spoken)
    if arguments.concatenate is not None:
        spoken = concatenated(spoken, arguments.concatenate)
    decoding = decoding_of(network, options)
    return validate(
        network,
        spoken,
        backend=arguments.backend,
        reset_stats=arguments.reset_stats,
        alpha=arguments.alpha,
        final_padding=arguments.final_padding,
        decoding=decoding,
        front_end=arguments.front_end,
        reference=_training_forward(decoding) if arguments.compare_full else None,
        scored=scored,
        form=_standard_form() if arguments.standardise else str,
        word_ends=_word_ends(arguments, spoken),
        align=arguments.latency,
        progress=show_count,
    )


def _measure_capacity(
    arguments: argparse.Namespace,
    network: Network,
    options: DecoderOptions,
    name: str,
    place: Path | None,
) -> None:
    from server.processes import machine

    decoding = decoding_of(network, options)
    plan = self_test(network, arguments.backend, decoding, arguments.front_end)
    print(f"{name}: {plan}")
    if place is not None:
        record_capacity(place, network, plan, machine())


def _word_ends(
    arguments: argparse.Namespace, spoken: Sequence[Any]
) -> Mapping[str, tuple[TimedWord, ...]] | None:
    """Return the ends of words that a CTM file gives, or the data set itself; None: there are none."""
    if arguments.reference_ctm:
        return read_ctm(Path(arguments.reference_ctm))
    if not arguments.latency:
        return None
    timed = {one.id: one.words for one in spoken if getattr(one, "words", ())}
    return {
        name: tuple((word.text, word.end) for word in words)
        for name, words in timed.items()
        if all(word.end is not None for word in words)
    }


def _with_texts(
    arguments: argparse.Namespace, network: Network, spoken: Sequence[Any]
) -> Sequence[Any]:
    """Return recordings with their texts as they are scored; refuse what the model cannot spell."""
    if arguments.normalise:
        spoken = _normalised(spoken, arguments.normalise, network)
    if not arguments.allow_unk:
        rules = text_rules_of(network.notes) or "lowercase"
        check_spelling(network.vocabulary, spoken, f"--normalise {rules}", "--allow-unk")
    elif missing := unspelt(network.vocabulary, spoken):
        print(missing, file=sys.stderr)
    return spoken


def _conditions(
    arguments: argparse.Namespace,
    network: Network,
    options: DecoderOptions,
    spoken: Sequence[Any],
) -> Conditions:
    """Return what is recorded with figures: of what data set, computed how."""
    manifest = arguments.manifest
    name = "bundled recordings" if manifest is None else Path(manifest).name.partition(".")[0]
    backend = arguments.backend or default_backend(network)
    chosen = flags.chosen(build_parser(), arguments)
    if options.head == network.specification.heads[0]:
        del chosen["head"]  # what decodes by default
    encoder = network.specification.encoder
    if len(encoder.chunk_lengths) > 1:
        chosen["chunk_ms"] = encoder.chunk_length
    if options.state_resets:
        chosen["state_resets"] = True
    if arguments.final_padding is not None:
        chosen["final_padding"] = arguments.final_padding / SAMPLE_RATE
    return conditions(network, backend, name, len(spoken), without_places(chosen))


def _scenarios(
    arguments: argparse.Namespace,
    network: Network,
    options: DecoderOptions,
    spoken: Sequence[Any],
    place: Path | None,
) -> int:
    rows = scenario_report.run(
        network,
        _with_texts(arguments, network, spoken),
        arguments.scenario,
        noise=Path(arguments.noise) if arguments.noise else None,
        backend=arguments.backend,
        decoding=decoding_of(network, options),
        front_end=arguments.front_end,
        progress=scenario_report.show,
    )
    if arguments.json:
        found = json.dumps(scenario_report.content(rows))
        replace_file(Path(arguments.json), found.encode() + b"\n")
    if place is not None:
        record_rows(place, _conditions(arguments, network, options, spoken), rows)
    print(scenario_report.table(rows))
    return 0


def _normalised(utterances: Sequence[Any], rules: str, network: Network) -> list[Any]:
    from train.text.levels import options_of
    from train.text.transcripts import normalised

    try:
        options_of(rules)
    except ValueError as error:
        raise ArgumentError(f"--normalise is {error}") from error
    return normalised(utterances, rules, network.vocabulary.symbols)


def _training_forward(decoding: Decoding) -> Reference:
    from train.evaluation import training_tokens  # torch, which the core has not

    search = decoding.search if isinstance(decoding.search, GreedyConfig) else None
    return functools.partial(training_tokens, head=decoding.head, search=search)


def _standard_form() -> Callable[[str], str]:
    from train.text.normaliser import standardise_wer

    return standardise_wer


def _content(rows: Sequence[tables.Row]) -> dict[str, Any]:
    if len(rows) == 1:
        return content(rows[0].report)
    return {
        "schema": "rill.validations/1",
        "runs": [{"name": row.name, **content(row.report)} for row in rows],
    }


def _print(lines: Iterable[str], file: TextIO | None = None) -> None:
    for line in lines:
        print(line, file=file, flush=True)


def _show(report: Report, network: Network, arguments: argparse.Namespace) -> None:
    if not report.scored:
        _print(f"{outcome.id}\t{outcome.hypothesis}" for outcome in report.utterances)
        if arguments.compare_full:
            _print(tables.differences(report, network), sys.stderr)
        return
    _print(tables.worst(report))
    if arguments.breakdown:
        _print(tables.breakdown(report))
    print(tables.rates(report))
    if arguments.latency or arguments.reference_ctm:
        print(tables.latency(report))
    if arguments.compare_full:
        _print(tables.differences(report, network))


if __name__ == "__main__":
    run_main(main)
