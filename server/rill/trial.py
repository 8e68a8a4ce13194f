"""Trials of backends on this processor: a bundled recording, its text and the time that it takes."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from stream.bundled import recordings
from stream.extras import MissingExtraError
from stream.front_end.log_mel import SAMPLE_RATE
from stream.model.specification import ModelError
from stream.recogniser import Recogniser

CPUINFO = Path("/proc/cpuinfo")
# Instructions that products of matrices gain from, in Linux's names, of x86 and of ARM.
FEATURES = (
    *("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8"),
    *("asimd", "asimddp", "i8mm", "sve", "bf16"),
)
FAULTY = "computes a wrong text"


class Trial(msgspec.Struct, frozen=True):
    """How a backend fared.

    Attributes:
        backend: its name.
        speed: seconds of audio a second, of one stream; 0 where it does not run.
        fault: why it does not run, "" where it does.
    """

    backend: str
    speed: float
    fault: str = ""


def try_backend(name: str) -> Trial:
    """Run a bundled recording on a backend: once for its text and to warm up, once for the time."""
    recording = next(each for each in recordings() if each.text == "stop")
    samples = recording.read()
    try:
        recogniser = Recogniser(backend=name)
        text = recogniser.transcribe(samples).text
    except (MissingExtraError, ModelError) as error:
        return Trial(name, 0.0, str(error))
    if text != recording.text:
        return Trial(name, 0.0, FAULTY)
    began = time.perf_counter()
    recogniser.transcribe(samples)
    return Trial(name, len(samples) / SAMPLE_RATE / (time.perf_counter() - began))


def processor_features() -> tuple[str, ...]:
    """Return those of `FEATURES` that the processor has; none where Linux does not say."""
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        return ()
    has = {
        word
        for line in lines
        if line.startswith(("flags", "Features"))
        for word in line.partition(":")[2].split()
    }
    return tuple(feature for feature in FEATURES if feature in has)
