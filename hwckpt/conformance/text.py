"""Vectors of texts: normalisers, error rates, words and their times. Files are JSON, one for each generation.

Sentences are made up: some to reach one rule each, the others put together at random from words, numbers,
amounts, times, abbreviations, punctuation and tags. The parts about decoding are checked by
`hwckpt.conformance.decoding`.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hwckpt.conformance.comparison import Kind, Rng, Row, Vectors, exact
from stream.error_rate import ErrorRate, character_error_rate, mixed_error_rate, word_error_rate
from stream.validation.punctuation import punctuation_marks
from stream.words import FRAME_SECONDS, emission_latencies, group, percentile
from train.text.normaliser import (
    CHARSET,
    normalise,
    normalise_v1_4,
    standardise_wer,
)

Content = Mapping[str, Any]
CHARSET_CASED = CHARSET + CHARSET.strip(" '").upper() + ".,?-"
PLACES = 9  # of a float
UNITS: dict[str, Callable[[list[str], list[str]], ErrorRate]] = {
    "word": word_error_rate,
    "char": character_error_rate,
    "mixture": mixed_error_rate,
}
OF_1_4 = ("normalize", "with_charset_incl_hyphen_period")

SENTENCES = (
    "",
    "   two  spaces,\tand a tab ",
    "Good morning, Mrs. Green!",
    "Gen. Hill met Col. Moore and Rev. Clay of Stone Co. Ltd.",
    "The shop opens at 9:30 am and closes at 12:00.",
    "Gate B7 shuts at 5pm sharp; seat 14c.",
    "It was $7.25, then $1, and then $0.01.",
    "They raised $4 million and $12 thousand.",
    "A parcel of £30 or €40 or ¢5",
    "1,000 men, 25,000 horses and 1,234,567 stones",
    "the years 1066, 1900, 1905, 1999, 2000, 2009, 2010 and 2999",
    "numbers 0, 10, 100, 1001, 3000, 10000000000 and 12345678901",
    "room 0042 on floor 03",
    "pi is 3.14 and half is 0.50",
    "the 1st, 2nd, 3rd, 11th, 20th, 32nd and 103rd",
    "pages 4-9, minus -8, twenty-three and mother-in-law",
    "call 0800-555-42 or +44 20",
    "salt & pepper + 5% at me@home",
    "Crème brûlée, Zürich, Øresund, 東京",
    "“Well,” she said — ‘no’…",
    "he'd, I'm, they're, we'll, couldn't, won't, can't, let's",
    "John's gone, the neighbour's dog, she's here, who's there, uhhuh",
    "um, well, uh, hmm, mhm, I mean",
    "the grey colour of a theatre's centre was analysed",
    "<cough> hello <unk> there <EOS>",
    "[music] a (quiet) {room} with # ~ _ and / signs",
    'Is it? Yes: it is; surely - "so"!',
)
WORDS = [
    "the",
    "of",
    "to",
    "and",
    "in",
    "that",
    "it",
    "was",
    "on",
    "river",
    "stone",
    "seven",
    "quick",
    "honour",
    "favourite",
    "travelling",
    "mother",
    "don't",
    "it's",
    "we've",
    "Paris",
    "John",
    "realise",
    "jewellery",
    "plough",
    "tyre",
    "cheque",
    "o'clock",
    "gonna",
    "e-mail",
    "semi-final",
    "yes",
    "no",
]
MARKS = (" ", " ", " ", " ", ", ", "; ", ". ", "? ", "! ", " - ", ": ", " <noise> ", " & ")
TOKENS: tuple[Callable[[Rng], str], ...] = (
    lambda rng: str(rng.integers(0, 100)),
    lambda rng: str(rng.integers(1000, 3000)),
    lambda rng: f"{rng.integers(1000, 1000000):,}",
    lambda rng: f"${rng.integers(0, 90)}.{rng.integers(0, 100):02d}",
    lambda rng: f"{rng.integers(1, 13)}:{rng.integers(0, 60):02d}",
    lambda rng: f"{rng.integers(0, 40)}.{rng.integers(0, 1000)}",
    lambda rng: f"{rng.integers(1, 30)}th",
    lambda rng: f"{rng.integers(1, 13)}am",
    lambda rng: f"{rng.integers(1, 100)}%",
    lambda rng: rng.choice(["Mr.", "Dr.", "St.", "Sgt.", "Capt.", "Lt.", "Jr."]),
)
PAIRS = (
    ["the grey cat sat", "the gray cat sat"],
    ["Good, morning!", "good morning"],
    ["we will not", "we won't"],
    ["forty two", "42"],
    ["", "nobody heard this"],
    ["nobody said this", ""],
    ["", ""],
    ["uh so um yes", "so yes"],
    ["<cough> come in", "come in"],
    ["我 喜歡 tea", "我喜欢 the tea"],
)


def _make(rng: Rng, folder: Path, generation: str) -> str:
    """Draw sentences and pairs; of generation 1.14 also latencies and groups of tokens."""
    sentences = [*SENTENCES, *(_sentence(rng) for _ in range(14))]
    pairs = [*PAIRS, *(_pair(rng) for _ in range(8))]
    content: dict[str, Any] = {"charset": CHARSET}
    if generation == "1.4":
        content |= _rows(OF_1_4, sentences, CHARSET)
        content["wer"] = {"pairs_hyp_ref": pairs, **_rates(pairs, "word", standard=False)}
    else:
        names = tuple(_normalisers(CHARSET, CHARSET_CASED))[len(OF_1_4) :]
        content["charset_cased_punct"] = CHARSET_CASED
        content |= _rows(names, sentences, CHARSET_CASED)
        content["wer"] = {"pairs_hyp_ref": pairs} | {
            f"{unit}_std{int(standard)}": _rates(pairs, unit, standard)
            for unit in UNITS
            for standard in (True, False)
        }
        content |= {"latency": _late(rng), "group_timestamps": _tokens(rng)}
    return json.dumps(content, ensure_ascii=False, indent=0) + "\n"


def _check(z: Vectors) -> Iterator[Row]:
    """Check normalised texts, error rates, words and their times."""
    charset = z.get("charset", CHARSET)
    cased = z.get("charset_cased_punct", charset)
    for name, function in _normalisers(charset, cased).items():
        if name in z:
            got = [function(row["input"]) for row in z[name]]
            yield exact(name, "python", got, [row["output"] for row in z[name]])
    if "wer" in z:
        rates = {name: of for name, of in z["wer"].items() if isinstance(of, dict)}
        for name, want in (rates or {"word_std0": z["wer"]}).items():
            unit, standard = name.split("_std")
            rate = _rates(z["wer"]["pairs_hyp_ref"], unit, standard == "1")
            yield _common(f"wer {name}", rate, want)
    if "group_timestamps" in z:
        wanted = z["group_timestamps"]
        for name, words in _grouped(wanted["subwords"], wanted["frames"]).items():
            if name in wanted or name == "words":
                yield exact(name, "python", _rounded(words), _rounded(wanted[name]))
    if "latency" in z:
        wanted = z["latency"]
        late = _latencies(wanted["gt"], wanted["pred"])
        yield exact("latencies", "python", _rounded(late), _rounded(wanted["latencies"]))
        for key, seconds in (("metrics", wanted.get("frame_width", 0.0)), ("metrics_fw0", 0.0)):
            yield _common(f"latency {key}", _metrics(late, seconds), wanted.get(key, {}))


def _common(stage: str, got: Content, want: Content) -> Row:
    """Compare the values of the keys that both have."""
    keys = [key for key in got if key in want]
    ours, theirs = (_rounded([of[key] for key in keys]) for of in (got, want))
    return exact(stage, "python", ours, theirs)


def _normalisers(charset: str, cased: str) -> dict[str, Callable[[str], str]]:
    """Return every normaliser by its key in a file.

    Args:
        charset: the model's; cased: the one of keys with "cased_punct".
    """
    return {
        "normalize": lambda t: normalise_v1_4(t, charset),
        "with_charset_incl_hyphen_period": lambda t: normalise_v1_4(t, charset + "-."),
        "identity": lambda t: normalise(t, "identity", charset),
        "scrub": lambda t: normalise(t, "scrub", charset),
        "ascii": lambda t: normalise(t, "ascii", charset),
        "digit_to_word": lambda t: normalise(t, "digit_to_word", charset),
        "lowercase": lambda t: normalise(t, "lowercase", charset),
        "lowercase_standardize": lambda t: normalise(t, "lowercase", charset, standard=True),
        "lowercase_replacements_keep_tags": lambda t: normalise(
            t, "lowercase", charset, replacements=[("-", " ")], remove_tags=False
        ),
        "scrub_cased_punct": lambda t: normalise(t, "scrub", cased),
        "digit_to_word_cased_punct": lambda t: normalise(t, "digit_to_word", cased),
        "user_symbol_eos": lambda t: normalise(
            t, "lowercase", charset, standard=True, user_symbols=["<EOS>"]
        ),
        "standardize_wer": standardise_wer,
        "punctuation_normalize": punctuation_marks,
    }


def _rates(pairs: list[list[str]], unit: str, standard: bool) -> dict[str, Any]:
    """Return the error rate of (hypothesis, reference) pairs, of all and of each.

    Args:
        unit: "word", "char" or "mixture".
        standard: whether both sides are standardised for scoring.
    Returns:
        wer, errors and words of all, and a list of (errors, words) of each.
    """
    form = standardise_wer if standard else str
    heard, said = ([form(pair[side]) for pair in pairs] for side in (0, 1))

    def counts(references: list[str], hypotheses: list[str]) -> tuple[int, int, float]:
        of = UNITS[unit](references, hypotheses)
        return of.substitutions + of.deletions + of.insertions, of.words, of.wer

    errors, words, wer = counts(said, heard)
    each = [list(counts([r], [h])[:2]) for r, h in zip(said, heard, strict=True)]
    return {"wer": wer, "errors": errors, "words": words, "each": each}


def _metrics(latencies: list[float], frame_seconds: float) -> dict[str, float]:
    """Return mean, deviation and percentiles of latencies, half an encoder frame off each."""
    values = [latency - frame_seconds / 2 for latency in latencies]
    return {
        "mean-emission-latency": statistics.fmean(values),
        "stdev-emission-latency": statistics.pstdev(values),
        "median-emission-latency": statistics.median(values),
        "p90-emission-latency": percentile(values, 90),
        "p99-emission-latency": percentile(values, 99),
    }


def _sentence(rng: Rng) -> str:
    parts = []
    for _ in range(int(rng.integers(3, 9))):
        make = TOKENS[int(rng.integers(len(TOKENS)))]
        parts.append(make(rng) if rng.random() < 0.3 else str(rng.choice(WORDS)))
        parts.append(MARKS[int(rng.integers(len(MARKS)))])
    text = "".join(parts).strip()
    return text[:1].upper() + text[1:]


def _pair(rng: Rng) -> list[str]:
    """Return a hypothesis with errors, and its reference."""
    reference = [str(word) for word in rng.choice(WORDS, int(rng.integers(2, 9)))]
    hypothesis = []
    for word in reference:
        draw = rng.random()
        hypothesis += [str(rng.choice(WORDS))] if draw < 0.15 else [word] if draw < 0.85 else []
        hypothesis += [str(rng.choice(WORDS))] if draw > 0.95 else []
    return [" ".join(hypothesis), " ".join(reference)]


def _rows(names: tuple[str, ...], sentences: list[str], cased: str) -> dict[str, Any]:
    found = _normalisers(CHARSET, cased)
    rows = {}
    for name in names:
        inputs = [f"{s} <EOS> next" for s in sentences] if name == "user_symbol_eos" else sentences
        rows[name] = [{"input": text, "output": found[name](text)} for text in inputs]
    return rows


def _late(rng: Rng) -> dict[str, Any]:
    """Words of three files, some of them late, some wrong, missing or added."""
    said, heard = [], []
    for file in "abc":
        end = 0.0
        for word in rng.choice(WORDS, 6):
            start = end + float(rng.uniform(0.0, 0.2))
            end = start + float(rng.uniform(0.1, 0.5))
            said.append([str(word), round(start, 3), round(end, 3), file])
            late = float(rng.uniform(0.0, 0.3))
            if rng.random() < 0.8:
                heard_word = str(word) if rng.random() < 0.8 else str(rng.choice(WORDS))
                heard.append([heard_word, round(start + late, 3), round(end + late, 3), file])
    # One word that is heard wherever chance left none: an empty list has no percentiles.
    said.append(["surely", 9.0, 9.4, "c"])
    heard.append(["surely", 9.1, 9.52, "c"])
    found = _latencies(said, heard)
    return {
        "gt": said,
        "pred": heard,
        "frame_width": FRAME_SECONDS,
        "latencies": found,
        "metrics": _metrics(found, FRAME_SECONDS),
        "metrics_fw0": _metrics(found, 0.0),
    }


def _tokens(rng: Rng) -> dict[str, Any]:
    """Tokens of three utterances: empty ones, whole words, pieces of words, single letters."""
    pieces = ["", " wor", "ld", " a", "b", " yes", "s", " no", " ", "'s"]
    subwords = [["", "he", "llo", " wor", "ld"], [" a", " b c", "d"]]
    subwords.append([str(piece) for piece in rng.choice(pieces, 12)])
    frames = [np.sort(rng.integers(0, 20, len(texts))).tolist() for texts in subwords]
    given = {"subwords": subwords, "frames": frames}
    found = _grouped(subwords, frames)
    return given | {name: found[name] for name in ("sentences", "words", "times_w0_06")}


def _grouped(subwords: list[list[str]], frames: list[list[int]]) -> dict[str, list[Any]]:
    """Return the words of utterances, with first and last frame, as sentences, and with times."""
    grouped = [group(*each) for each in zip(subwords, frames, strict=True)]
    return {
        "words": [[[w.text, w.first, w.last] for w in each] for each in grouped],
        "sentences": [" ".join(w.text for w in each) for each in grouped],
        "times_w0_06": [[[w.start, w.end] for w in each] for each in grouped],
    }


def _latencies(reference: list[Any], hypothesis: list[Any]) -> list[float]:
    """Return how late each word that both have ends, seconds, file by file.

    Args:
        reference, hypothesis: rows of word, start, end and file.
    """
    late: list[float] = []
    for file in sorted({row[3] for row in reference}):
        said, heard = (
            [(word, end) for word, _, end, name in rows if name == file]
            for rows in (reference, hypothesis)
        )
        late += emission_latencies(said, heard, frame_seconds=0.0)
    return late


def _rounded(value: Any) -> Any:
    """Round every float of nested lists."""
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return round(value, PLACES) if isinstance(value, float) else value


KINDS = (
    Kind(
        "text_*.json",
        _check,
        {
            f"text_v{generation}.0.json": partial(_make, generation=generation)
            for generation in ("1.4", "1.14")
        },
    ),
)
