"""eSpeak NG: any text spoken by a formant synthesiser, in more than a hundred languages and tens of voices.

It sounds like a machine, so a model should not be trained on it alone; but it reads any text, as slowly as one likes, in
more voices than a corpus of few speakers has.

The library is that of the package espeakng-loader, called by ctypes (speak_lib.h of eSpeak NG 1.52). Its state
is global: it is opened once in a process and must not be called from several threads, and the samples of a text also depend
on the texts before it.
"""

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soxr
from numpy.typing import NDArray

from stream.errors import ArgumentError
from stream.extras import explain_missing_extras
from stream.front_end.log_mel import SAMPLE_RATE

Samples = NDArray[np.float32]

# Of speak_lib.h.
SYNCHRONOUS, DONT_EXIT = 2, 0x8000
RATE, PITCH = 1, 3
UTF8 = 1
CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)

RATES = (80, 450)  # words a minute that it takes
PITCHES = (0, 99)
# Variants of a voice that no person has: whispers, croaks and robots.
EFFECTS = frozenset(
    [
        "croak",
        "whisper",
        "whisperf",
        "Demonic",
        "Storm",
        "AnxiousAndy",
        "UniRobot",
        "anikaRobot",
        "robosoft",
    ]
    + [f"robosoft{number}" for number in range(2, 9)]
)


@dataclass(frozen=True)
class Voice:
    """Who speaks, and how.

    Attributes:
        language: as eSpeak NG names it: fr, fr-be, pt-br.
        variant: one of `variants`.
        rate: words a minute, in `RATES`.
        pitch: in `PITCHES`; 50 is the variant's own.
    """

    language: str
    variant: str
    rate: int
    pitch: int

    @property
    def speaker(self) -> str:
        """Who speaks, whatever the rate and the pitch."""
        return f"{self.language}+{self.variant}"


@functools.cache
def variants() -> tuple[str, ...]:
    """Return the names of the variants of a voice but `EFFECTS`.

    Raises:
        MissingExtraError: the package is not installed.
    """
    folder = Path(_places()[1]) / "voices" / "!v"
    return tuple(sorted(path.name for path in folder.iterdir() if path.name not in EFFECTS))


def say(text: str, voice: Voice, seed: int = 1) -> Samples:
    """Speak a text.

    Args:
        seed: of the noise in breath and fricatives.
    Returns:
        (samples,) float32 at 16 kHz.
    Raises:
        ArgumentError: there is no such language or variant.
        MissingExtraError: the package is not installed.
    """
    for kind, name, names in (
        ("language", voice.language, languages()),
        ("variant", voice.variant, variants()),
    ):
        if name not in names:  # of an unknown variant the library takes the plain voice
            raise ArgumentError(f"eSpeak NG has no {kind} {name}; want one of {', '.join(names)}")
    functions, rate, pieces, _ = _opened()
    pieces.clear()
    if functions.espeak_SetVoiceByName(voice.speaker.encode()) != 0:
        raise ArgumentError(f"eSpeak NG cannot load the voice {voice.speaker}")
    functions.espeak_SetParameter(RATE, voice.rate, 0)
    functions.espeak_SetParameter(PITCH, voice.pitch, 0)
    functions.espeak_ng_SetRandSeed(ctypes.c_long(seed))
    content = text.encode() + b"\0"
    functions.espeak_Synth(content, len(content), 0, 0, 0, UTF8, None, None)
    samples = np.concatenate(pieces) if pieces else np.zeros(0, np.int16)
    spoken = samples.astype(np.float32) / 32768
    return np.asarray(soxr.resample(spoken, rate, SAMPLE_RATE), np.float32)


@functools.cache
def languages() -> tuple[str, ...]:
    """Return the names of the languages.

    Raises:
        MissingExtraError: the package is not installed.
    """
    found = {
        line.split()[1]
        for path in (Path(_places()[1]) / "lang").rglob("*")
        if path.is_file()
        for line in path.read_text("utf-8").splitlines()
        if line.startswith("language ")
    }
    return tuple(sorted(found))


def _places() -> tuple[str, str]:
    """Return the paths of the library and of the folder of its data."""
    with explain_missing_extras():
        import espeakng_loader

        return espeakng_loader.get_library_path(), espeakng_loader.get_data_path()


class _Library(NamedTuple):
    """The library, its sampling rate in Hz, and what it calls, which appends to `pieces`."""

    functions: ctypes.CDLL
    rate: int
    pieces: list[NDArray[np.int16]]
    callback: Any


@functools.cache
def _opened() -> _Library:
    path, data = _places()
    functions = ctypes.CDLL(path)
    pieces: list[NDArray[np.int16]] = []

    def append(samples: Any, count: int, _: Any) -> int:
        if samples and count > 0:
            pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    rate = functions.espeak_Initialize(SYNCHRONOUS, 0, data.encode(), DONT_EXIT)
    if rate <= 0:
        raise OSError(f"{path}: cannot be opened with the data in {data}")
    callback = CALLBACK(append)
    functions.espeak_SetSynthCallback(callback)
    return _Library(functions, rate, pieces, callback)
