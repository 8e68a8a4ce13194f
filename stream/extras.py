"""Extras: packages that are optional, and how to install one that is missing.

Whatever needs such a package imports it, or the module of ours that does, inside a function, with a
plain import statement: `--help` and everything else works without it. `explain_missing_extras` stands
around what may import one.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.request import url2pathname

# The extra of pyproject.toml that brings a package, by the name that is imported. matplotlib is in
# two of them: `load` is the smaller one.
EXTRAS = {
    "av": "media",
    "boto3": "s3",
    "botocore": "s3",
    "brevitas": "train",
    "clearml": "clearml",
    "espeakng_loader": "synthesis",
    "inflect": "train",
    "lhotse": "data",
    "matplotlib": "load",
    "mlflow": "mlflow",
    "num2words": "languages",
    "numba": "train",
    "onnx": "train",
    "optuna": "tune",
    "picows": "load",
    "pyarrow": "data",
    "rich": "train",
    "sounddevice": "mic",
    "tensorboard": "train",
    "text_unidecode": "train",
    "torch": "train",
    "urllib3": "data",
    "wandb": "wandb",
    "whisper_normalizer": "train",
}
HOME = Path(__file__).parents[1]


class MissingExtraError(ModuleNotFoundError):
    """An optional package that is not installed; the message holds the command that installs it."""


def install_command(extra: str) -> str:
    """Return the command that installs an extra into the environment of this interpreter.

    It names the clone that Rill runs in or was installed from, since Rill is on no index of packages;
    what was installed otherwise, as from a wheel, is taken to be known to pip by its name.
    """
    cloned = (HOME / "pyproject.toml").is_file()
    what = ["-e", f"{HOME}[{extra}]"] if cloned else [f"{_origin()}[{extra}]"]
    return shlex.join([sys.executable, "-m", "pip", "install", *what])


def _origin() -> str:
    """Return the folder that pip installed Rill from, as PEP 610 records it, or Rill's name."""
    try:
        record = json.loads(distribution("rill-asr").read_text("direct_url.json") or "{}")
    except PackageNotFoundError:
        record = {}
    scheme, _, path = record.get("url", "").partition("://")
    folder = Path(url2pathname(path))
    return str(folder) if scheme == "file" and (folder / "pyproject.toml").is_file() else "rill-asr"


@contextmanager
def explain_missing_extras() -> Iterator[None]:
    """Raise `MissingExtraError` in place of the failed import of an optional package.

    A module that is missing for another reason is raised as it is.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if isinstance(error, MissingExtraError) or package not in EXTRAS:
            raise
        raise MissingExtraError(
            f"{package} is not installed: {install_command(EXTRAS[package])}", name=package
        ) from error
