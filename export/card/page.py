"""The page: what a model directory says of itself, section by section.

A text by hand, Markdown, is divided at its first heading of the second level: what comes before opens the page,
the rest ends it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from export.card.chunks import chunk_lengths
from export.card.figures import conditions, error_rates
from export.card.markdown import table
from export.card.training import licences, provenance
from stream.encoders.lstm import LSTM
from stream.model.directory import INDEX, NAMES, WEIGHTS
from stream.model.network import Network, open_model
from stream.model.specification import Head, ModelError, Specification
from stream.prediction.lstm import PredictionLSTM

CARD = "README.md"
HEADS: Mapping[tuple[Head, ...], str] = {
    ("transducer",): "transducer",
    ("transducer", "ctc"): "transducer with a CTC head",
    ("ctc",): "CTC model",
}
TEXT = "about"  # the note that has the text by hand
GENERATED = "<!-- Written by `rill export card`; edit the text that it was given, and the notes, instead. -->"


def card(path: Path) -> str:
    """Return the card of a model directory.

    Raises:
        ModelError: it is none, or damaged.
    """
    if not (path / INDEX).is_file():
        raise ModelError("is not a model directory; only model directories have cards", path)
    network = open_model(path)
    encoder = network.specification.encoder
    opening, heading, end = str(network.notes.get(TEXT, "")).partition("\n## ")
    parts = [
        f"# {path.resolve().name}",
        opening.strip(),
        GENERATED,
        *_facts(network, path),
        *error_rates(network.notes, encoder.chunk_length),
        *chunk_lengths(network),
        *conditions(network.notes),
        *provenance(network.notes),
        *licences(network.notes),
        f"{heading}{end}".strip(),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _facts(network: Network, path: Path) -> Iterator[str]:
    notes, specification = network.notes, network.specification
    present = sorted(name for name in NAMES if (path / name).is_file())
    megabytes = sum((path / name).stat().st_size for name in present) / 1e6
    facts: Mapping[str, Any] = {
        "language": notes.get("language"),
        "version": notes.get("version"),
        "knows": notes.get("knows"),
        "say, for example": notes.get("example"),
        "network": f"{_network(specification)}; {network.weights:,} weights, {specification.vocabulary} tokens",
        "front end": _front_end(specification),
        "arithmetics": ", ".join(_arithmetics(present)),
        "size": f"{megabytes:.1f} MB in {len(present)} files",
        "licence": notes.get("license"),
        "author": notes.get("author"),
        "contact": notes.get("contact"),
        f"SHA-256 of `{WEIGHTS}`": hashlib.sha256((path / WEIGHTS).read_bytes()).hexdigest(),
    }
    yield table(["", ""], [[name, str(value)] for name, value in facts.items() if value])


def _network(specification: Specification) -> str:
    heads = HEADS[specification.heads]
    if not isinstance(specification.encoder, LSTM):
        return f"{type(specification.encoder).__name__} encoder, {heads}"
    parts = [
        f"encoder {specification.pre_layers} + {specification.post_layers} layers of {specification.hidden}"
    ]
    prediction = specification.prediction
    if "transducer" in specification.heads:
        sizes = (
            f"{prediction.depth} of {prediction.hidden}"
            if isinstance(prediction, PredictionLSTM)
            else f"{prediction.family} of {prediction.size}"
        )
        parts.append(f"prediction network {sizes}")
    parts.append(f"joint {specification.joint}")
    return f"LSTM {heads}, {specification.activation} activations: {', '.join(parts)}"


def _front_end(specification: Specification) -> str:
    statistics = (
        f"running statistics, alpha {specification.alpha:g}"
        if specification.alpha
        else "global statistics"
    )
    front_end = specification.front_end
    parts = [
        *(["learned mel"] if front_end.learned else []),
        *(["magnitudes"] if front_end.spectrum == "magnitude" else []),
        statistics if specification.has_statistics else f"normaliser {specification.normaliser}",
        f"log floor {specification.floor:g}",
        *(["gate"] if specification.gate else []),
        *(["gain control"] if specification.gain_control else []),
    ]
    return ", ".join(parts)


def _arithmetics(present: list[str]) -> Iterator[str]:
    yield "float32"
    for mark, name in ((".int8.", "int8"), (".integer.", "integers")):
        if any(mark in file for file in present):
            yield name
