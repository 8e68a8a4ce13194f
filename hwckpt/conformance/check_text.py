"""Checks of texts against vector files: normalisers, error rates, words and their times.

Called by `hwckpt.conformance`. Files are JSON, one for each generation; a file's other parts belong to
the decoders (`hwckpt.conformance.check_decoding`).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from stream.error_rate import ErrorRate, character_error_rate, mixed_error_rate, word_error_rate
from stream.words import emission_latencies, group, percentile
from train.text.normaliser import (
    CHARSET,
    normalise,
    normalise_v1_4,
    punctuation_marks,
    standardise_wer,
)

__all__ = ["CHARSET_CASED", "emission_metrics", "normalisers", "rates", "texts"]

Content = Mapping[str, Any]
CHARSET_CASED = CHARSET + CHARSET.strip(" '").upper() + ".,?-"
PLACES = 9  # of a float
UNITS: dict[str, Callable[[list[str], list[str]], ErrorRate]] = {
    "word": word_error_rate,
    "char": character_error_rate,
    "mixture": mixed_error_rate,
}


def normalisers(charset: str, cased: str) -> dict[str, Callable[[str], str]]:
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


def rates(pairs: list[list[str]], unit: str, standard: bool) -> dict[str, Any]:
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


def emission_metrics(latencies: list[float], frame_seconds: float) -> dict[str, float]:
    """Return mean, deviation and percentiles of latencies, half an encoder frame off each."""
    values = [latency - frame_seconds / 2 for latency in latencies]
    return {
        "mean-emission-latency": statistics.fmean(values),
        "stdev-emission-latency": statistics.pstdev(values),
        "median-emission-latency": statistics.median(values),
        "p90-emission-latency": percentile(values, 90),
        "p99-emission-latency": percentile(values, 99),
    }


def texts(content: Content) -> Iterator[tuple[str, list[Any], list[Any]]]:
    """Check a file; yields (stage, got, wanted), lists that must be equal."""
    charset = content.get("charset", CHARSET)
    cased = content.get("charset_cased_punct", charset)
    for name, function in normalisers(charset, cased).items():
        if name in content:
            rows = content[name]
            yield name, [function(row["input"]) for row in rows], [row["output"] for row in rows]
    if "wer" in content:
        yield from _error_rates(content["wer"])
    if "group_timestamps" in content:
        yield from _words(content["group_timestamps"])
    if "latency" in content:
        yield from _latencies(content["latency"])


def _error_rates(of: Content) -> Iterator[tuple[str, list[Any], list[Any]]]:
    cases: dict[str, Content] = {k: v for k, v in of.items() if isinstance(v, dict)}
    cases = cases or {"word_std0": of}
    for name, want in cases.items():
        unit, standard = name.split("_std")
        got = rates(of["pairs_hyp_ref"], unit, standard == "1")
        yield f"error rate {name}", *_common(got, want)


def _words(of: Content) -> Iterator[tuple[str, list[Any], list[Any]]]:
    grouped = [group(*each) for each in zip(of["subwords"], of["frames"], strict=True)]
    words = [[[word.text, word.first, word.last] for word in each] for each in grouped]
    yield "word grouping", words, of["words"]
    if "sentences" in of:
        yield "sentences", [" ".join(w.text for w in each) for each in grouped], of["sentences"]
    if "times_w0_06" in of:
        times = [[[word.start, word.end] for word in each] for each in grouped]
        yield "word times", _rounded(times), _rounded(of["times_w0_06"])


def _latencies(of: Content) -> Iterator[tuple[str, list[Any], list[Any]]]:
    found = latencies(of["gt"], of["pred"])
    yield "latencies", _rounded(found), _rounded(of["latencies"])
    for key, seconds in (("metrics", of.get("frame_width", 0.0)), ("metrics_fw0", 0.0)):
        yield f"latency {key}", *_common(emission_metrics(found, seconds), of.get(key, {}))


def _common(got: Content, want: Content) -> tuple[list[Any], list[Any]]:
    """Return the values of the keys that both have."""
    keys = [key for key in got if key in want]
    return _rounded([got[key] for key in keys]), _rounded([want[key] for key in keys])


def latencies(reference: list[Any], hypothesis: list[Any]) -> list[float]:
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
