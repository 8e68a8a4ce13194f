"""Vector files of texts, from our normalisers, error rates and word times; `hwckpt.vectors` writes them.

Sentences are made up: some to hit a rule each, the others put together at random from words, numbers,
amounts, times, abbreviations, punctuation and tags.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hwckpt.conformance.check_text import (
    CHARSET_CASED,
    UNITS,
    emission_metrics,
    latencies,
    normalisers,
    rates,
)
from stream.words import FRAME_SECONDS, group
from train.text.normaliser import CHARSET

__all__ = ["TEXT_FILES"]

Rng = np.random.Generator

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


def _inputs(rng: Rng) -> tuple[list[str], list[list[str]]]:
    sentences = [*SENTENCES, *(_sentence(rng) for _ in range(14))]
    return sentences, [*PAIRS, *(_pair(rng) for _ in range(8))]


def _rows(names: tuple[str, ...], sentences: list[str], cased: str) -> dict[str, Any]:
    found = normalisers(CHARSET, cased)
    rows = {}
    for name in names:
        inputs = [f"{s} <EOS> next" for s in sentences] if name == "user_symbol_eos" else sentences
        rows[name] = [{"input": text, "output": found[name](text)} for text in inputs]
    return rows


def _v1_4(rng: Rng) -> dict[str, Any]:
    sentences, pairs = _inputs(rng)
    rows = _rows(("normalize", "with_charset_incl_hyphen_period"), sentences, CHARSET)
    wer = {"pairs_hyp_ref": pairs, **rates(pairs, "word", standard=False)}
    return {"charset": CHARSET, **rows, "wer": wer}


def _v1_14(rng: Rng) -> dict[str, Any]:
    sentences, pairs = _inputs(rng)
    names = tuple(normalisers(CHARSET, CHARSET_CASED))[2:]  # without generation 1.4's two
    cases = {
        f"{unit}_std{int(standard)}": rates(pairs, unit, standard)
        for unit in UNITS
        for standard in (True, False)
    }
    return {
        "charset": CHARSET,
        "charset_cased_punct": CHARSET_CASED,
        **_rows(names, sentences, CHARSET_CASED),
        "wer": {"pairs_hyp_ref": pairs, **cases},
        "latency": _latency(rng),
        "group_timestamps": _groups(rng),
    }


def _latency(rng: Rng) -> dict[str, Any]:
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
    found = latencies(said, heard)
    return {
        "gt": said,
        "pred": heard,
        "frame_width": FRAME_SECONDS,
        "latencies": found,
        "metrics": emission_metrics(found, FRAME_SECONDS),
        "metrics_fw0": emission_metrics(found, 0.0),
    }


def _groups(rng: Rng) -> dict[str, Any]:
    """Tokens of three utterances: empty ones, whole words, pieces of words, single letters."""
    pieces = ["", " wor", "ld", " a", "b", " yes", "s", " no", " ", "'s"]
    subwords = [["", "he", "llo", " wor", "ld"], [" a", " b c", "d"]]
    subwords.append([str(piece) for piece in rng.choice(pieces, 12)])
    frames = [np.sort(rng.integers(0, 20, len(texts))).tolist() for texts in subwords]
    words = [group(*each) for each in zip(subwords, frames, strict=True)]
    return {
        "subwords": subwords,
        "frames": frames,
        "sentences": [" ".join(word.text for word in each) for each in words],
        "words": [[[word.text, word.first, word.last] for word in each] for each in words],
        "times_w0_06": [[[word.start, word.end] for word in each] for each in words],
    }


TEXT_FILES: dict[str, Callable[[Rng], dict[str, Any]]] = {
    "text_v1.4.0.json": _v1_4,
    "text_v1.14.0.json": _v1_14,
}
