"""`python -m train.lm`: an n-gram language model of texts, over the pieces of a tokenizer."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from server.protocol.hotwords import HotwordError, Speller, parse_hotwords
from stream.errors import ArgumentError, InputError
from stream.files.atomic import replacing
from stream.language_model.files import language_model, open_ngram
from stream.language_model.fusion import Fusion
from stream.language_model.levels import Levels, levels_of
from stream.language_model.ngram import read_arpa
from stream.language_model.written import write_arpa
from stream.language_model.written_probing import write_probing
from stream.language_model.written_trie import BITS, write_trie
from stream.model.network import open_model
from stream.process import reports_errors, run_main
from stream.records.workspace import MEMORY, Workspace, workspace
from stream.vocabulary import Vocabulary, read_vocabulary
from train.data.formats.table import read_records
from train.data.records.record import strict
from train.lm import tune as tuning
from train.lm.kneser_ney import build_ngrams
from train.lm.score import perplexity
from train.text.levels import SHOWN, text_rules
from train.text.sources import texts_of
from train.text.transcripts import ruled

ORDER, LONGEST = 4, 6


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m train.lm`."""
    parser = argparse.ArgumentParser(
        prog="rill lm",
        description="Language models for beam search, over the pieces of a tokenizer. rill lm COMMAND --help explains "
        "a command.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    build = commands.add_parser(
        "build",
        help="Make a language model of texts.",
        description="Make a language model of texts: n-grams by modified Kneser-Ney. A name that ends in .arpa is "
        "written as text, any other as a KenLM binary.",
        epilog="example: rill lm build --manifest train.jsonl --tokenizer tokenizer.model --output ngram.binary",
        allow_abbrev=False,
    )
    _add_texts(build)
    build.add_argument(
        "--order",
        type=int,
        choices=range(1, LONGEST + 1),
        default=ORDER,
        metavar="N",
        help=f"of the longest n-grams, 1 to {LONGEST} (default: %(default)s)",
    )
    build.add_argument(
        "--words",
        action="store_true",
        help="over whole words, for models of any tokenizer, not over pieces of one",
    )
    build.add_argument(
        "--prune",
        type=int,
        nargs="+",
        default=[],
        metavar="COUNT",
        help="leave out n-grams of so small counts: of 1 word, which has to be 0, of 2, and so on; the last goes for longer ones",
    )
    _add_output(build)
    build.add_argument(
        "--memory",
        type=_mebibytes,
        default=MEMORY,
        metavar="MIB",
        help="that sorting may take; the words and the program come on top (default: %(default)s)",
    )
    build.add_argument(
        "--scratch",
        metavar="DIR",
        help="folder for temporary files, which are removed at the end (default: that of --output)",
    )
    convert = commands.add_parser(
        "convert",
        help="Write an ARPA file as a KenLM binary.",
        description="Write an ARPA file as a KenLM binary, which models carry and which is read faster.",
        epilog="example: rill lm convert lm.arpa --output lm.binary --kind trie --quantise 8",
        allow_abbrev=False,
    )
    convert.add_argument("model", metavar="ARPA", help="language model")
    _add_output(convert)
    score = commands.add_parser(
        "score",
        help="Measure how well a language model predicts texts.",
        description="Print the perplexity of a language model on texts, a piece and a word: without the end of a text, "
        "which a stream does not score.",
        epilog="example: rill lm score ngram.binary --manifest dev.jsonl --tokenizer tokenizer.model",
        allow_abbrev=False,
    )
    score.add_argument("model", metavar="FILE", help="ARPA or KenLM binary")
    _add_texts(score)
    tune = commands.add_parser(
        "tune",
        help="Find the weights of a language model by trials, and write them into a model.",
        description="Decode recordings with several weights of a language model, and write the best into the model. "
        "Encoder frames are computed once, so that a trial takes a beam search and no more.",
        epilog="example: rill lm tune models/mine --manifest dev.jsonl --ngram ngram.binary --plot surface.svg",
        allow_abbrev=False,
    )
    tuning.add_flags(tune)
    return parser


def _mebibytes(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of MiB; want 1 or more")
    return int(text)


def _add_output(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--output", required=True, metavar="FILE", help="language model to write")
    add(
        "--kind",
        choices=("probing", "trie"),
        default="probing",
        help="of a KenLM binary: probing is read fastest, a trie is smallest (default: %(default)s)",
    )
    add(
        "--quantise",
        type=int,
        metavar="BITS",
        help="of each probability and back-off of a trie, 2 to 25 (default: 31 and 32)",
    )


def _add_texts(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--manifest",
        action="append",
        default=[],
        metavar="FILE",
        help="data set in any format, for its texts; may be repeated",
    )
    add(
        "--text",
        action="append",
        default=[],
        metavar="FILE",
        help="texts, one a line, in UTF-8; or a Python file with a function sentences() that gives them; may be repeated",
    )
    add("--tokenizer", metavar="FILE", help="SentencePiece model of the model")
    add(
        "--normalise",
        type=text_rules,
        default="as-is",
        metavar="RULES",
        help=f"normalise texts first, as data.text in training: {SHOWN} (default: %(default)s)",
    )


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.command == "tune":
        tuning.check(parser, arguments)
        return _tune(arguments)
    if arguments.command != "score" and arguments.quantise is not None and arguments.kind != "trie":
        parser.error("--quantise goes with --kind trie")
    if arguments.command != "score" and arguments.quantise not in (None, *BITS):
        parser.error(f"--quantise is {arguments.quantise}; want {BITS[0]} to {BITS[-1]} bits")
    if arguments.command == "convert":
        return _convert(arguments)
    if not arguments.manifest and not arguments.text:
        parser.error("there are no texts: give --manifest or --text")
    if arguments.command == "build":
        if (arguments.tokenizer is None) != arguments.words:
            parser.error("want --tokenizer, or --words")
        if arguments.prune[:1] not in ([], [0]) or arguments.prune != sorted(arguments.prune):
            parser.error(
                f"--prune is {arguments.prune}; want 0 first, and none below the one before"
            )
        if arguments.order == 1 and arguments.kind == "trie":
            parser.error("--kind trie is of bigrams at least; want --order 2 or more, or probing")
        if arguments.scratch is not None and not Path(arguments.scratch).is_dir():
            parser.error(f"--scratch {arguments.scratch}: there is no such folder")
        return _build(arguments)
    if arguments.tokenizer is None:
        parser.error("--tokenizer is missing")
    return _score(arguments)


def _build(arguments: argparse.Namespace) -> int:
    taken = itertools.count()
    words: Sequence[str] = ()
    if arguments.words:
        rule = ruled(arguments.normalise, ())
        texts = (rule(text).split() for text in _texts(arguments))
    else:
        vocabulary = read_vocabulary(Path(arguments.tokenizer))
        words = pieces = vocabulary.pieces
        texts = ([pieces[i] for i in tokens] for _, tokens in _spelt(arguments, vocabulary))
    counted = (text for text, _ in zip(filter(None, texts), taken, strict=False))
    output = Path(arguments.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(arguments.scratch) / output.name if arguments.scratch else output
    with workspace(scratch, arguments.memory << 20) as space:
        model = build_ngrams(counted, arguments.order, space, words, arguments.prune)
        _write(arguments, model, space, f" of {next(taken)} texts")
    return 0


def _convert(arguments: argparse.Namespace) -> int:
    table = read_arpa(Path(arguments.model))
    output = Path(arguments.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    with workspace(output) as space:
        _write(arguments, levels_of(table, complete=arguments.kind == "trie"), space, "")
    return 0


def _spelt(
    arguments: argparse.Namespace, vocabulary: Vocabulary
) -> Iterator[tuple[str, list[int]]]:
    """Yield the texts with their tokens."""
    rule = ruled(arguments.normalise, vocabulary.symbols)
    for text in map(rule, _texts(arguments)):
        if unknown := vocabulary.unknown(text):
            raise InputError(
                f"the tokenizer cannot spell {''.join(unknown)!r} of {text!r}: see --normalise"
            )
        yield text, vocabulary.encode(text)


def _write(arguments: argparse.Namespace, model: Levels, space: Workspace, source: str) -> None:
    output = Path(arguments.output)
    with replacing(output) as partial:
        try:
            with partial.open("wb") as file:
                if output.suffix == ".arpa":
                    write_arpa(model, file, space)
                elif arguments.kind == "trie":
                    write_trie(model, file, space, arguments.quantise)
                else:
                    write_probing(model, file, space)
        except OSError as error:
            raise InputError(f"{output}: cannot be written: {error.strerror}") from error
    space.show("")
    counts = " + ".join(map(str, model.counts))
    print(f"{output}: {counts} n-grams{source}, {output.stat().st_size} bytes")


def _tune(arguments: argparse.Namespace) -> int:
    network = open_model(arguments.model)
    try:
        hotwords = parse_hotwords(arguments.hotwords or "")
        keywords = Speller(network.vocabulary.alphabet).spell(hotwords)
    except HotwordError as error:
        raise ArgumentError(f"--hotwords: {error}") from error
    return tuning.tune(arguments, network, list(keywords))


def _score(arguments: argparse.Namespace) -> int:
    vocabulary = read_vocabulary(Path(arguments.tokenizer))
    spelt = list(_spelt(arguments, vocabulary))
    ngram = language_model(open_ngram(arguments.model), vocabulary, Fusion(1.0))
    words = sum(len(text.split()) for text, _ in spelt)
    a_piece, a_word = perplexity(ngram, (tokens for _, tokens in spelt), words)
    print(
        f"{arguments.model}: perplexity {a_piece:.2f} a piece, {a_word:.2f} a word, of {words} words"
    )
    return 0


def _texts(arguments: argparse.Namespace) -> Iterator[str]:
    for path in arguments.manifest:
        yield from (record.text for record in strict(read_records(path)))
    for path in arguments.text:
        yield from texts_of(Path(path))


if __name__ == "__main__":
    run_main(main)
