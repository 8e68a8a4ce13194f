"""What every installation runs: three bundled recordings on each backend, alone and 33 at once.

A program of its own, which imports the installed product and nothing of the checkout. Objects come out
as JSON, one a line: first the versions, then for each backend either its transcripts or its error. A
backend that takes the process down is thus the first that is missing.
"""

from __future__ import annotations

import json
import logging
import platform
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.audio import read_audio
from stream.backends import Backend, load_backend
from stream.bundled import model_path, recordings
from stream.engine.engine import Engine
from stream.model.network import Network, open_model

BACKENDS = ("numpy", "onnx", "int8", "integer", "integer-onnx", "bfp16")
RECORDINGS = ("an4-cen6-mkem-b.flac", "an4-an187-mkem-b.flac", "speech-commands-stop.flac")
ROWS = 33  # kernels compute blocks of 4, 8, 16 or 32 rows, and what is left in another way
PACKAGES = ("numpy", "onnxruntime")


def main() -> None:
    """Print versions, then transcripts."""
    versions = {package: version(package) for package in PACKAGES}
    print_line(python=platform.python_version(), machine=platform.machine(), **versions)
    network = open_model(model_path())
    by_name = {utterance.id: utterance for utterance in recordings()}
    audio = {name: read_audio(by_name[name].audio) for name in RECORDINGS}
    rows = [RECORDINGS[row % len(RECORDINGS)] for row in range(ROWS)]
    warnings = Warnings()
    logging.getLogger().addHandler(warnings)
    for name in BACKENDS:
        warnings.texts.clear()
        try:
            backend = load_backend(name, network)
            transcripts = [
                {
                    "recording": recording,
                    "row": None,
                    "tokens": tokens(network, backend, [samples])[0],
                }
                for recording, samples in audio.items()
            ]
            together = tokens(network, backend, [audio[recording] for recording in rows])
            transcripts += [
                {"recording": recording, "row": row, "tokens": found}
                for row, (recording, found) in enumerate(zip(rows, together, strict=True))
            ]
        except Exception as error:  # whatever it is, the other backends are still worth a try
            print_line(backend=name, error=f"{type(error).__name__}: {error}")
        else:
            print_line(backend=name, transcripts=transcripts, warnings=warnings.texts)


def tokens(
    network: Network, backend: Backend, audio: list[NDArray[np.float32]]
) -> list[list[tuple[int, int]]]:
    """Stream recordings side by side; return of each its tokens as (id, encoder frame)."""
    engine = Engine(network, backend, len(audio))
    for samples in audio:
        slot = engine.open()
        assert slot is not None
        engine.push(slot, samples)
        engine.finish(slot)
    found: list[list[tuple[int, int]]] = [[] for _ in audio]
    while engine.pending():
        for result in engine.tick():
            found[result.slot] += [(token.id, token.step) for token in result.tokens]
    return found


class Warnings(logging.Handler):
    """Collects what is logged: a backend says so where it takes a slower way."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def print_line(**fields: Any) -> None:
    """Print an object at once: the next step may be the process's last."""
    print(json.dumps(fields), flush=True)


if __name__ == "__main__":
    main()
