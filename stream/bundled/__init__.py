"""What ships with Rill: models, each known by its name, and a few recordings to try them on.

The models are in `models/` in a checkout, and in this package in an installation.
"""

from __future__ import annotations

from pathlib import Path

from stream.manifest import Utterance, read_manifest

NAMES = ("en-commands", "en-commands-conformer")  # the first is the default
HERE = Path(__file__).resolve().parent
RECORDINGS = HERE / "recordings"


def model_path(name: str = NAMES[0]) -> Path:
    """Return the folder of a bundled model.

    Raises:
        FileNotFoundError: neither the installation nor the checkout has it.
    """
    places = _places(name)
    for place in places:
        if _is_there(place):
            return place
    raise FileNotFoundError(
        f"no bundled model {name} in {places[0]} or {places[1]}; install Rill again"
    )


def present() -> list[str]:
    """Return the names of the bundled models that are here, the default first."""
    return [name for name in NAMES if any(map(_is_there, _places(name)))]


def is_bundled(path: Path) -> bool:
    """Return whether a model is a bundled one, whose words the bundled recordings say."""
    return any(path.resolve() in _places(name) for name in NAMES)


def recordings() -> list[Utterance]:
    """Return the bundled recordings, from the development set, none of which was trained on."""
    return read_manifest(RECORDINGS / "manifest.jsonl")


def _places(name: str) -> tuple[Path, ...]:
    return HERE / name, HERE.parent.parent / "models" / name


def _is_there(place: Path) -> bool:
    return (place / "model.json").is_file()
