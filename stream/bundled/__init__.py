"""What ships with Rill: one model, and a few recordings to try it on.

The model is in `models/en-commands` in a checkout, and in this package in an installation.
"""

from __future__ import annotations

from pathlib import Path

from stream.manifest import Utterance, read_manifest

NAME = "en-commands"
HERE = Path(__file__).resolve().parent
RECORDINGS = HERE / "recordings"


def model_path() -> Path:
    """Return the folder of the bundled model.

    Raises:
        FileNotFoundError: neither the installation nor the checkout has it.
    """
    places = _places()
    for place in places:
        if (place / "model.json").is_file():
            return place
    raise FileNotFoundError(f"no bundled model in {places[0]} or {places[1]}; install Rill again")


def is_bundled(path: Path) -> bool:
    """Return whether a model is the bundled one, whose words the bundled recordings say."""
    return path.resolve() in _places()


def recordings() -> list[Utterance]:
    """Return the bundled recordings, from the development set, none of which was trained on."""
    return read_manifest(RECORDINGS / "manifest.jsonl")


def _places() -> tuple[Path, ...]:
    return HERE / NAME, HERE.parent.parent / "models" / NAME
