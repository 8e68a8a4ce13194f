"""`python -m train.tokenizer`: a SentencePiece tokenizer, of subwords or of whole words and letters.

    python -m train.tokenizer --manifest train.jsonl --pieces 1023 --output tokenizer.model
    python -m train.tokenizer --manifest train.jsonl --output tokenizer.model

With `--pieces`, SentencePiece finds that many subwords (`train.text.subwords`). Without it, the vocabulary is
that of the texts:

On digits, letters and commands a word that is one token is learned within minutes, a word spelled in
letters hardly at all. So every word of at least `whole_words_from` occurrences is one piece `▁word`,
and all letters of the language are pieces too, so that any text can be spelled. The unigram model
is written out, not estimated: a word's score is its log-probability, a letter's far below, so that
the best segmentation has as few letters as it can. `<unk>` is 0, as the hardware requires; there are
no marks for begin, end or padding.
"""

from __future__ import annotations

import argparse
import math
import string
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

from stream.errors import InputError
from stream.files.atomic import replace_file
from stream.process import reports_errors, run_main
from stream.vocabulary import WORD_MARK, Vocabulary
from train.data.formats.table import read_records
from train.data.records.record import strict
from train.text.languages import letters_of
from train.text.levels import LANGUAGES, SHOWN, TextRules, options_of, text_rules
from train.text.pieces import write_pieces
from train.text.subwords import SubwordKind, build_subwords
from train.text.transcripts import normalised

LETTERS = string.ascii_lowercase + "'"
LETTER_SCORE = -30.0  # nats: below any word that occurs once in ten billion
WHOLE_WORDS_FROM = 5


def build_tokenizer(
    texts: Iterable[str], whole_words_from: int = WHOLE_WORDS_FROM, letters: str = LETTERS
) -> bytes:
    """Build the bytes of a SentencePiece model from normalised texts.

    Args:
        texts: transcripts of the training set, of letters and spaces.
        whole_words_from: occurrences from which a word is one piece.
        letters: pieces that spell all other words.
    Raises:
        InputError: a text has a character that no piece covers.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        if foreign := set(text) - set(letters) - {" "}:
            wanted = "a-z, apostrophe and space" if letters == LETTERS else f"{letters} and space"
            raise InputError(
                f"text {text!r} has {sorted(foreign)}, wants {wanted}: --normalise lowercase makes English "
                "text of it, the name of a language text of that; --letters are those of another one"
            )
        counts.update(text.split())
    words = sorted(
        (word for word, count in counts.items() if count >= whole_words_from),
        key=lambda word: (-counts[word], word),
    )
    total = max(counts.total(), 1)
    scored = [(WORD_MARK + word, math.log(counts[word] / total)) for word in words]
    return write_pieces(scored + [(letter, LETTER_SCORE) for letter in (WORD_MARK, *letters)])


def letters_by(rules: TextRules) -> str:
    """Return the letters that text rules leave: those of the language, or else of English."""
    name, options = options_of(rules)
    return letters_of(name, options) if name in LANGUAGES else LETTERS


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m train.tokenizer`."""
    parser = argparse.ArgumentParser(
        prog="rill tokenizer",
        description="Build a SentencePiece tokenizer from data sets: of --pieces subwords, or of the frequent "
        "words and single letters.",
        epilog="example: rill tokenizer --manifest train.jsonl --pieces 1023 --output "
        "tokenizer.model",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--manifest",
        action="append",
        required=True,
        metavar="FILE",
        help="data set in any format, for its texts; may be repeated",
    )
    parser.add_argument("--output", required=True, metavar="FILE", help="SentencePiece model")
    parser.add_argument(
        "--normalise",
        type=text_rules,
        metavar="RULES",
        default="as-is",
        help=f"normalise transcripts first, as data.text in training: {SHOWN} (default: %(default)s)",
    )
    parser.add_argument(
        "--pieces",
        type=int,
        metavar="COUNT",
        help="size of the vocabulary, <unk> included (default: words and letters)",
    )
    parser.add_argument(
        "--kind",
        choices=get_args(SubwordKind),
        help="how SentencePiece finds --pieces (default: unigram)",
    )
    parser.add_argument(
        "--symbol",
        action="append",
        default=[],
        metavar="PIECE",
        help="piece that stands for no text, such as '<EOS>', among --pieces; may be repeated",
    )
    parser.add_argument(
        "--byte-fallback",
        action="store_true",
        help="spell characters that have no piece by their bytes, 256 of --pieces",
    )
    parser.add_argument(
        "--whole-words-from",
        type=int,
        metavar="COUNT",
        help="without --pieces: occurrences from which a word is one piece "
        f"(default: {WHOLE_WORDS_FROM})",
    )
    parser.add_argument(
        "--letters",
        metavar="LETTERS",
        help="without --pieces: what spells all other words (default: the letters of the language of "
        "--normalise, else a-z and the apostrophe)",
    )
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.pieces is None:
        if arguments.kind or arguments.symbol or arguments.byte_fallback:
            parser.error("--kind, --symbol and --byte-fallback go with --pieces")
    elif arguments.whole_words_from is not None or arguments.letters is not None:
        parser.error("--whole-words-from and --letters go without --pieces")
    utterances = [u for path in arguments.manifest for u in strict(read_records(path))]
    if not utterances:
        raise InputError(f"{', '.join(arguments.manifest)}: no utterance")
    texts = [u.text for u in normalised(utterances, arguments.normalise, arguments.symbol)]
    if arguments.pieces is None:
        letters = arguments.letters or letters_by(arguments.normalise)
        model = build_tokenizer(texts, arguments.whole_words_from or WHOLE_WORDS_FROM, letters)
    else:
        model = build_subwords(
            texts,
            arguments.pieces,
            arguments.kind or "unigram",
            symbols=arguments.symbol,
            byte_fallback=arguments.byte_fallback,
        )
    output = Path(arguments.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    replace_file(output, model)
    vocabulary = Vocabulary(model)
    tokens = sum(len(vocabulary.encode(text)) for text in texts)
    print(f"{output}: {len(vocabulary)} pieces, {tokens / len(texts):.2f} tokens an utterance")
    return 0


if __name__ == "__main__":
    run_main(main)
