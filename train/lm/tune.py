"""`rill lm tune`: weights of a language model by trials on recordings, the best of them written into the model."""

from __future__ import annotations

import argparse
import datetime
import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stream import __version__
from stream.backends import BACKENDS, default_backend, load_backend
from stream.decoding.options import HEADS, WHOLE, DecoderOptions
from stream.errors import ArgumentError
from stream.extras import explain_missing_extras
from stream.files.atomic import replace_file
from stream.language_model.files import open_ngram
from stream.language_model.fusion import carried
from stream.language_model.kenlm import read_kenlm
from stream.language_model.ngram import ArpaTable, Table
from stream.language_model.written_probing import kenlm_binary
from stream.manifest import spaced
from stream.model import directory
from stream.model.network import Network, NgramFile, kind_of
from stream.progress import show_count
from stream.spelling import check_spelling
from train.data.formats.table import read_records
from train.data.records.record import strict
from train.lm.encoded import encode
from train.lm.search import KINDS, Range, Values, search
from train.lm.trials import (
    ALPHA,
    BETA,
    BOOST,
    FUSION,
    INTERNAL,
    UNKNOWN,
    WIDTH,
    Bench,
    Trial,
    best_of,
    run,
)
from train.text.levels import SHOWN, text_rules
from train.text.transcripts import normalised

PICTURES = (".svg", ".png")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="model directory or checkpoint")
    add("--manifest", required=True, metavar="FILE", help="recordings with texts, such as dev")
    add(
        "--ngram",
        metavar="FILE",
        help="language model, ARPA or KenLM's binary (default: the one that the model carries)",
    )
    add(
        "--normalise",
        type=text_rules,
        default="as-is",
        metavar="RULES",
        help=f"normalise texts first, as data.text in training: {SHOWN} (default: %(default)s)",
    )
    add(
        "--allow-unk",
        action="store_true",
        help="take texts with characters that the model's tokenizer cannot spell (default: refuse them)",
    )
    add("--limit", type=int, metavar="N", help="take N recordings, evenly spaced (default: all)")
    add("--trials", type=int, default=40, metavar="N", help="of the search (default: %(default)s)")
    for name, default, what in (
        ("alpha-max", 1.0, "largest weight of the language model"),
        ("beta-min", -1.0, "smallest word bonus"),
        ("beta-max", 2.0, "largest word bonus"),
        ("internal-max", 0.0, "largest weight of the internal language model; 0: none"),
        ("unknown-max", 0.0, "largest penalty of an unknown word; 0: none"),
        ("boost-max", 5.0, "largest boost of --hotwords"),
    ):
        add(
            f"--{name}",
            type=float,
            default=default,
            metavar=name.partition("-")[0].upper(),
            help=f"{what} (default: %(default)s)",
        )
    add(
        "--beam-widths",
        type=int,
        nargs="+",
        default=[WHOLE.beam_width],
        metavar="N",
        help=f"hypotheses that are kept; several are searched, too (default: {WHOLE.beam_width})",
    )
    add(
        "--hotwords",
        metavar="WORDS",
        help="words, with commas between them, that all recordings have as hotwords: their boost is searched, too",
    )
    add("--head", choices=HEADS, help=f"what is decoded (default: {HEADS[0]}, if the model has it)")
    add("--backend", choices=sorted(BACKENDS), help="what computes (default: as rill validate)")
    add(
        "--search",
        choices=KINDS,
        default=KINDS[0],
        help="what proposes trials; auto: optuna where it is installed (default: %(default)s)",
    )
    add("--seed", type=int, default=0, metavar="N", help="of the search (default: %(default)s)")
    add("--plot", metavar="FILE", help="WER over alpha and beta, .svg or .png")
    add("--json", metavar="FILE", help="write the trials")
    add(
        "--output",
        metavar="CKPT",
        help="write a training checkpoint with the best there; a model directory is changed where it is",
    )
    add("--dry-run", action="store_true", help="search and report, and write no model")


def check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Refuse flags that cannot be obeyed, before anything is computed."""
    if arguments.trials < 1:
        parser.error(f"--trials is {arguments.trials}; want 1 or more")
    if arguments.limit is not None and arguments.limit < 1:
        parser.error(f"--limit is {arguments.limit}; want 1 or more")
    if min(arguments.beam_widths) < 1:
        parser.error(f"--beam-widths are {arguments.beam_widths}; want 1 or more")
    for name in ("alpha_max", "internal_max", "unknown_max", "boost_max"):
        if not 0.0 <= getattr(arguments, name) < float("inf"):
            flag = name.replace("_", "-")
            parser.error(f"--{flag} is {getattr(arguments, name)}; want 0 or more")
    if not -float("inf") < arguments.beta_min <= arguments.beta_max < float("inf"):
        parser.error(f"--beta-min {arguments.beta_min} is above --beta-max {arguments.beta_max}")
    if arguments.plot and Path(arguments.plot).suffix not in PICTURES:
        parser.error(f"--plot is {arguments.plot}; it has to end in {' or '.join(PICTURES)}")
    for name in ("plot", "json", "output"):
        if (path := getattr(arguments, name)) and not Path(path).parent.is_dir():
            parser.error(f"--{name} {path}: there is no folder {Path(path).parent}")


def tune(arguments: argparse.Namespace, network: Network, hotwords: Sequence[str]) -> int:
    """Search, report and write; returns the exit code.

    Args:
        hotwords: as the model spells them.
    """
    path, kind = Path(arguments.model), kind_of(Path(arguments.model))
    if arguments.output and kind != "training checkpoint":
        raise ArgumentError(f"--output is for a training checkpoint; {path} is a {kind}")
    table, file = _language_model(arguments.ngram, network)
    head = network.specification.head(arguments.head)
    spoken = spaced(list(strict(read_records(arguments.manifest))), arguments.limit)
    spoken = normalised(spoken, arguments.normalise, network.vocabulary.symbols)
    if not arguments.allow_unk:
        check_spelling(network.vocabulary, spoken, "--normalise lowercase", "--allow-unk")
    ranges = _ranges(arguments, bool(hotwords))
    proposals = search(arguments.search, ranges, arguments.trials, arguments.seed)
    backend = load_backend(arguments.backend or default_backend(network), network)
    encoded = encode(network, spoken, backend, functools.partial(show_count, name="encoded"))
    texts = [each.text for each in spoken]
    options = replace(WHOLE, head=head, decoder="beam", beam_width=arguments.beam_widths[0])
    bench = Bench(network, backend, encoded, texts, options, table, hotwords)
    greedy = Bench(
        network,
        backend,
        encoded,
        texts,
        DecoderOptions(head=head, endpoint_silence=None, endpoint_length=None),
    ).trial({})
    print(f"{'':>10}{'WER %':>8} {'CER %':>7} {'sub':>5} {'del':>5} {'ins':>5}   values")
    _show("greedy", greedy)
    first: list[Values] = [dict.fromkeys(ranges, 0.0) | _of_beam(ranges, options)]
    fusion = None if arguments.ngram or network.ngram is None else carried(network.ngram)
    if fusion is not None:
        first.append(first[0] | {name: getattr(fusion, name) for name in FUSION if name in ranges})
    number = iter(range(-len(first), arguments.trials))
    names = {-len(first): "beam", -1: "beam" if fusion is None else "as it is"}
    trials = run(
        bench,
        proposals,
        first,
        arguments.trials,
        lambda trial: _show(names.get(n := next(number), str(n + 1)), trial),
    )
    best, plain = best_of(trials), trials[0]
    _show("best", best)
    if arguments.plot:
        title = f"{path.name}: WER on {Path(arguments.manifest).name}, {head}"
        with explain_missing_extras():
            from train.lm.surface import draw

            draw(trials, title, Path(arguments.plot))
    note = {
        "data_set": Path(arguments.manifest).name.partition(".")[0],
        "recordings": len(spoken),
        "head": head,
        "ngram_sha256": hashlib.sha256(file.binary).hexdigest(),
        "search": f"{proposals.name}, seed {arguments.seed}, {arguments.trials} trials",
        "ranges": {name: of.choices or (of.low, of.high) for name, of in ranges.items()},
        "values": best.values,
        "wer": {"greedy": greedy.words.wer, "beam": plain.words.wer, "tuned": best.words.wer},
        "rill": __version__,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    if arguments.json:
        found = {"schema": "rill.tuning/1", **note, "trials": [_of_trial(t) for t in trials]}
        replace_file(Path(arguments.json), json.dumps(found).encode() + b"\n")
    if arguments.dry_run:
        return 0
    weights = {name: best.values.get(name, 0.0) for name in FUSION}
    ngram: NgramFile | None = NgramFile(file.binary, **weights)
    if best.loss >= plain.loss and arguments.ngram:
        print("the language model does not help, so the model is not given it")
        ngram = network.ngram
    _write(path, kind, arguments.output, ngram, note)
    return 0


def _language_model(given: str | None, network: Network) -> tuple[Table, NgramFile]:
    """Return the n-grams that are tuned, and the file that a model carries of them."""
    if given is None:
        if network.ngram is None:
            raise ArgumentError("--ngram is missing: the model carries no language model")
        return read_kenlm(network.ngram.binary), network.ngram
    table = open_ngram(given)
    binary = kenlm_binary(table) if isinstance(table, ArpaTable) else Path(given).read_bytes()
    return table, NgramFile(binary, None)


def _ranges(arguments: argparse.Namespace, hotwords: bool) -> dict[str, Range]:
    """Return the parameters that are searched; those of one value are left out."""
    ranges = {
        ALPHA: Range(0.0, arguments.alpha_max),
        BETA: Range(arguments.beta_min, arguments.beta_max),
        UNKNOWN: Range(0.0, arguments.unknown_max),
        INTERNAL: Range(0.0, arguments.internal_max),
        BOOST: Range(0.0, arguments.boost_max if hotwords else 0.0),
    }
    widths = tuple(dict.fromkeys(arguments.beam_widths))
    if len(widths) > 1:
        ranges[WIDTH] = Range(min(widths), max(widths), widths)
    return {name: of for name, of in ranges.items() if of.low < of.high}


def _of_beam(ranges: dict[str, Range], options: DecoderOptions) -> Values:
    return {WIDTH: float(options.beam_width)} if WIDTH in ranges else {}


def _show(name: str, trial: Trial) -> None:
    words, values = trial.words, trial.values
    counts = "".join(f" {n:5d}" for n in (words.substitutions, words.deletions, words.insertions))
    shown = ", ".join(f"{key.replace('_', ' ')} {value:.3f}" for key, value in values.items())
    rates = f"{100 * words.wer:8.2f} {100 * trial.characters.wer:7.2f}"
    print(f"{name:>10}{rates}{counts}   {shown}", flush=True)


def _of_trial(trial: Trial) -> dict[str, Any]:
    words = trial.words
    return {
        "values": trial.values,
        "wer": words.wer,
        "cer": trial.characters.wer,
        "substitutions": words.substitutions,
        "deletions": words.deletions,
        "insertions": words.insertions,
        "seconds": round(trial.seconds, 3),
    }


def _write(
    path: Path, kind: str, output: str | None, ngram: NgramFile | None, note: dict[str, Any]
) -> None:
    """Write the weights into a model directory, or a copy of a training checkpoint."""
    if kind == "model directory":
        if ngram is None:
            directory.note(path, lambda notes: {**notes, "tuning": note})
        else:
            directory.carry(path, ngram, lambda notes: {**notes, "tuning": note})
        print(f"written: {path}")
    elif output is not None:
        from train import checkpoint
        from train.checkpoints.average import KEPT

        content = checkpoint.load(path)
        kept = {key: content[key] for key in (*KEPT, "averaged") if key in content}
        notes = {**content["notes"], "tuning": note}
        carries = {} if ngram is None else {"ngram": vars(ngram)}
        checkpoint.save({**kept, "notes": notes, **carries}, Path(output))
        print(f"written: {output}")
    else:
        print(f"nothing is written: {path} is a {kind}")
