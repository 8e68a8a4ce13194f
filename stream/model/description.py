"""What a model is and what made it, for a person to read; and in what two models differ.

A description is sections of facts, all of them text: the model, its error rates, and the runs that made it, the last one
first, so that those of two models stand side by side. `stream.model.stages` has the notes that it is made of.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import msgspec

from stream.front_end.filterbank import MEL, distance
from stream.model.directory import serialise
from stream.model.network import Network
from stream.model.stages import Stage, stages_of
from stream.stage import bytes_of

Facts: TypeAlias = dict[str, str]
Description: TypeAlias = dict[str, Facts]

NOTES = ("language", "version", "knows", "example", "license", "author", "contact")
RUN = ("run", "updates", "seed", "rill", "torch", "averaged", "blank_penalty", "ctc_blank_penalty")
SHOWN = 12  # digits of a SHA-256


def described(network: Network) -> Description:
    """Return the sections of a model's description.

    Those of runs have all settings that differ from the defaults, by their keys.
    """
    sections = {
        "model": _model(network),
        "network": {
            key: _text(value) for key, value in msgspec.to_builtins(network.specification).items()
        },
        "error rates": _rates(network.notes),
        "language model tuning": _tuning(network.notes),
    }
    for number, stage in enumerate(reversed(stages_of(network.notes))):
        title = "last run" if number == 0 else f"run {number} before it"
        sections[title] = _stage(stage)
    return {title: facts for title, facts in sections.items() if facts}


def lines(description: Description) -> Iterator[str]:
    """Yield a description line by line."""
    for title, facts in description.items():
        yield f"{title}:"
        width = max(map(len, facts))
        yield from (f"  {key:<{width}}  {value}" for key, value in facts.items())


def differences(one: Description, other: Description) -> Description:
    """Return the facts in which two descriptions differ, each as "one's -> the other's"."""
    found: Description = {}
    for title in [*one, *(title for title in other if title not in one)]:
        a, b = one.get(title, {}), other.get(title, {})
        keys = [*a, *(key for key in b if key not in a)]
        facts = {
            key: f"{a.get(key, 'none')} -> {b.get(key, 'none')}"
            for key in keys
            if a.get(key) != b.get(key)
        }
        if facts:
            found[title] = facts
    return found


def _model(network: Network) -> Facts:
    facts = {name: str(network.notes[name]) for name in NOTES if network.notes.get(name)}
    size = sum(array.size for array in network.arrays.values())
    facts["weights"] = f"{size:,}, SHA-256 {_hash(serialise(network))}"
    facts["tokenizer"] = f"{len(network.vocabulary)} pieces, SHA-256 {_hash(network.tokenizer)}"
    state = bytes_of(network.specification.encoder.initial_state(1))
    facts["a stream"] = f"{state:,} bytes of encoder state in float32"
    if (front_end := network.front_end).learned:
        moved = 100 * distance(network.arrays[MEL], front_end.spectrum)
        facts["learned mel"] = f"{moved:.1f} % away from the fixed filters"
    if (ngram := network.ngram) is not None:
        more = {"word bonus": ngram.word_bonus, "unknown penalty": ngram.unknown_penalty}
        more["internal weight"] = ngram.internal_weight
        weights = [f"weight {ngram.weight}", *(f"{name} {v:g}" for name, v in more.items() if v)]
        facts["n-gram model"] = ", ".join(
            [f"{len(ngram.binary):,} bytes", *weights, f"SHA-256 {_hash(ngram.binary)}"]
        )
    return facts


def _rates(notes: Mapping[str, Any]) -> Facts:
    return {
        " ".join([each["data_set"], each["backend"], *_options(each)]): f"{100 * each['wer']:.2f} %"
        for each in notes.get("evaluations", ())
    }


def _tuning(notes: Mapping[str, Any]) -> Facts:
    """Return what `rill lm tune` has noted."""
    tuning = notes.get("tuning")
    if tuning is None:
        return {}
    rates = ", ".join(f"{name} {100 * wer:.2f} %" for name, wer in tuning["wer"].items())
    values = ", ".join(f"{n.replace('_', ' ')} {v:.3g}" for n, v in tuning["values"].items())
    return {
        "values": values,
        "WER": f"{rates}; {tuning['head']}, {tuning['data_set']}, {tuning['recordings']} recordings",
        "search": tuning["search"],
    }


def _options(evaluation: Mapping[str, Any]) -> Iterator[str]:
    for key, value in evaluation.get("options", {}).items():
        yield key if value is True else f"{key}={value}"


def _stage(stage: Stage) -> Facts:
    facts = {key: _text(stage[key]) for key in RUN if key in stage}
    if "init" in stage or "parent" in stage:
        parent = str(stage.get("parent", ""))[:SHOWN]
        name = stage.get("init", {}).get("model")
        facts["starts from"] = ", ".join(
            [*([name] if name else []), *([f"SHA-256 {parent}"] if parent else [])]
        )
    for corpus, about in stage.get("seen", {}).items():
        kind = ", synthetic" * bool(about.get("synthetic"))
        licenses = "; ".join(about["licenses"]) or "no licence named"
        facts[f"heard of {corpus}"] = f"{about['hours']:.2f} h{kind}, {licenses}"
    for corpus, about in stage.get("recordings", {}).items():
        seconds = ", ".join(f"{p} % {value:g}" for p, value in about["percentiles"].items())
        facts[f"recordings of {corpus}"] = (
            f"{about['recordings']:,}, {about['hours']:.2f} h; seconds: {seconds}"
        )
    return facts | {key: _text(value) for key, value in stage.get("settings", {}).items()}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:SHOWN]
