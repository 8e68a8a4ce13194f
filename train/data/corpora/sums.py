"""Sums of the archives that corpora are published in, by the names of the files.

Those of LibriSpeech and Mini LibriSpeech are from the md5sum.txt beside the archives, those of Speech Commands from
TensorFlow Datasets, which reads them. MLS has an md5sum.txt, and Common Voice shows the SHA-256 of each release where it
is downloaded: too many to be listed here. AN4, Lingua Libre, M-AILABS, SLR57 and TrainingSpeech publish none that we
found.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from stream.errors import ArgumentError, InputError
from stream.files.text import read_text

ALGORITHMS = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}  # by figures of a sum
LINE = re.compile(r"([0-9a-fA-F]{32,128}) [ *](.+)")  # as md5sum and sha256sum write it


@dataclass(frozen=True)
class Sum:
    """A sum of an archive.

    Attributes:
        figures: hexadecimal.
        source: who says so.
    """

    figures: str
    source: str

    def __post_init__(self) -> None:
        if len(self.figures) not in ALGORITHMS or re.search("[^0-9a-f]", self.figures):
            raise ArgumentError(
                f"{self.source}: {self.figures!r} is no sum; want {', '.join(map(str, ALGORITHMS))} hexadecimal figures"
            )

    @property
    def algorithm(self) -> str:
        """The name that hashlib has for it."""
        return ALGORITHMS[len(self.figures)]


def _published(source: str, sums: Mapping[str, str]) -> dict[str, Sum]:
    return {name: Sum(figures, source) for name, figures in sums.items()}


PUBLISHED: Mapping[str, Sum] = MappingProxyType(
    _published(
        "https://www.openslr.org/resources/12/md5sum.txt",
        {
            "dev-clean.tar.gz": "42e2234ba48799c1f50f24a7926300a1",
            "dev-other.tar.gz": "c8d0bcc9cca99d4f8b62fcc847357931",
            "test-clean.tar.gz": "32fa31d27d2e1cad72775fee3f4849a9",
            "test-other.tar.gz": "fb5a50374b501bb3bac4815ee91d3135",
            "train-clean-100.tar.gz": "2a93770f6d5c6c964bc36631d331a522",
            "train-clean-360.tar.gz": "c0e676e450a7ff2f54aeade5171606fa",
            "train-other-500.tar.gz": "d1a0fd59409feb2c614ce4d30c387708",
        },
    )
    | _published(
        "https://www.openslr.org/resources/31/md5sum.txt",
        {
            "dev-clean-2.tar.gz": "6d7ab67ac6a1d2c993d050e16d61080d",
            "train-clean-5.tar.gz": "5df7d4e78065366204ca6845bb08f490",
        },
    )
    | _published(
        "TensorFlow Datasets",
        {
            "speech_commands_v0.01.tar.gz": "743935421bb51cccdb6bdd152e04c5c70274e935c82119ad7faeec31780d811d",
            "speech_commands_v0.02.tar.gz": "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
        },
    )
)


def read_sums(path: Path) -> dict[str, Sum]:
    """Read a list as md5sum and sha256sum write it; folders in its names do not count.

    Raises:
        InputError: a line is something else.
    """
    sums = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        match = LINE.fullmatch(line.strip())
        if match is None or len(match[1]) not in ALGORITHMS:
            raise InputError(f"{path}: line {number}: expected SUM FILE; found {line!r}")
        sums[Path(match[2]).name] = Sum(match[1].lower(), str(path))
    return sums


def sum_of(path: Path, algorithm: str) -> str:
    """Return the sum of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
