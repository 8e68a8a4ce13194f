"""What is compared: models with a backend, or servers, and their transcripts of the same recordings.

An artefact is named PATH, PATH:BACKEND or the URL of a live server:

1. What begins with ws:// or wss:// is a server.
2. Where what follows the last colon is the name of a backend, it is one, and the path ends before it.
   A path that itself ends so is written with a backend of its own.
3. Anything else is a path; its backend is `stream.backends.default_backend`.

Every recording is a stream of its own, which starts from the data set's statistics. `run_server` is
given a function that sends a recording to the server.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from stream.backends import BACKENDS, default_backend
from stream.engine.streams import Progress
from stream.errors import ArgumentError
from stream.front_end.log_mel import SAMPLE_RATE
from stream.manifest import Utterance
from stream.model.network import Network, open_model
from stream.model.specification import ModelError
from stream.stage import Floats
from stream.validation import validate


class Emitted(NamedTuple):
    """A token: the text that it adds, and its encoder frame."""

    text: str
    step: int


@dataclass(frozen=True)
class Decoded:
    """The transcript of one recording.

    Attributes:
        text: the transcript.
        tokens: of it; None where they are not known, as of a server.
        ids: the same tokens as ids of the model's vocabulary.
    """

    text: str
    tokens: tuple[Emitted, ...] | None = None
    ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class Run:
    """One artefact on all recordings.

    Attributes:
        decoded: the transcript of each recording, in their order.
        speed: seconds of audio a second; of a model's front end, network and decoder on recordings
            side by side, of a server the whole exchange, one recording after another.
    """

    decoded: tuple[Decoded, ...]
    speed: float


@dataclass(frozen=True)
class Model:
    """A network and the name of the backend that computes it."""

    network: Network
    backend: str


def is_server(artefact: str) -> bool:
    """Return whether an artefact is the URL of a server (rule 1)."""
    return artefact.startswith(("ws://", "wss://"))


def open_artefact(artefact: str) -> Model:
    """Open a model by rules 2 and 3.

    Raises:
        FileNotFoundError: there is no such file.
        ModelError: it is not a model.
        ArgumentError: what follows the colon is no backend.
    """
    name, colon, backend = artefact.rpartition(":")
    if colon and backend in BACKENDS:
        return Model(_transducer(open_model(name)), backend)
    if colon and not Path(artefact).exists() and Path(name).exists():
        raise ArgumentError(f"{artefact}: no backend {backend!r}; there are {', '.join(BACKENDS)}")
    network = _transducer(open_model(artefact))
    return Model(network, default_backend(network))


def _transducer(network: Network) -> Network:
    """Return a network whose stages can be compared.

    Raises:
        ModelError: it decodes with CTC alone.
    """
    if "transducer" not in network.specification.heads:
        raise ModelError("decodes with ctc alone; transducers are compared here", network.path)
    return network


def run_model(
    model: Model, utterances: Sequence[Utterance], progress: Progress | None = None
) -> Run:
    """Stream recordings through a model.

    Raises:
        AudioError: a recording cannot be decoded.
        ModelError: the backend cannot compute the network.
        FloatingPointError: the network's logits are not finite.
    """
    network = model.network
    report = validate(
        network, utterances, backend=model.backend, reset_stats=True, progress=progress
    )
    text = network.vocabulary.text
    decoded = tuple(
        Decoded(
            outcome.hypothesis,
            tuple(map(Emitted, map(text, outcome.tokens), outcome.steps)),
            tuple(outcome.tokens),
        )
        for outcome in report.utterances
    )
    return Run(decoded, 1.0 / max(report.rtf, 1e-9))


def run_server(
    transcribe: Callable[[Floats], str],
    utterances: Sequence[Utterance],
    progress: Progress | None = None,
) -> Run:
    """Send recordings to a server, one after another.

    Args:
        transcribe: from (samples,) float32 at 16 kHz to a transcript; what it raises is raised.
        progress: called with (recordings done, recordings).
    """
    decoded, seconds, audio_seconds = [], 0.0, 0.0
    for done, utterance in enumerate(utterances, 1):
        audio = utterance.read()
        began = time.perf_counter()
        decoded.append(Decoded(transcribe(audio)))
        seconds += time.perf_counter() - began
        audio_seconds += len(audio) / SAMPLE_RATE
        if progress:
            progress(done, len(utterances))
    return Run(tuple(decoded), audio_seconds / max(seconds, 1e-9))
