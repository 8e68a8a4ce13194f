"""Manifests: JSON lines that name recordings and their transcripts.

One object a line: `audio_filepath` (relative to the manifest), `text` (empty: a recording without
speech), `duration` in seconds; optional `speaker`, `corpus`. Blank lines are skipped. Rules:

1. With `offset`, in seconds, the line means the part of the recording that begins there and lasts
   `duration`, as in NeMo's manifests. Without it the line means the whole recording.
2. `channel`, from 0, is the channel that is meant (also spelt `channel_selector`). Without it channels
   are averaged.
3. A key by which others say which part or channel is meant (`start`, `end_time`, `channel_id`, …) is
   refused unless it is null: what the line says would not be what is heard. Other keys are ignored.
4. A recording is as long as `duration` says, but for `TOLERANCE_SECONDS` or `TOLERANCE_SHARE` of it,
   whichever is more: a longer or shorter one has other words than `text`. A part lies in its recording.
   This is checked when the audio is read (`Utterance.read`), since headers of files may be wrong.

Decoding the audio is `stream.audio`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.audio import WHOLE, Part, read_audio
from stream.front_end.log_mel import SAMPLE_RATE
from stream.text_file import TextError, read_text

__all__ = ["ManifestError", "Utterance", "read_manifest", "spaced"]

TOLERANCE_SECONDS = 0.1  # MP3 encoders add up to 0.05 s; some manifests round to a tenth
TOLERANCE_SHARE = 0.01
_BEGINS_OR_ENDS = re.compile(
    r"((audio|segment|seg|clip|utt|utterance|speech|trim)_?)?(start|begin|end|stop|onset|offset)"
    r"(_?(time|s|sec|secs|second|seconds|ms|millis|samples?|frames?|pos|position))*"
)
_CHANNEL = re.compile(r"(audio_?)?channel_?(s|ids?|idx|index|name)?")
READ_KEYS = {"offset", "channel", "channel_selector"}


class ManifestError(ValueError):
    """A manifest that cannot be used.

    Attributes:
        path: of the manifest.
        line: number of the line, from 1; 0 where it is the file as a whole.
    """

    def __init__(self, path: Path, line: int, message: str) -> None:
        where = f"{path}: line {line}" if line else f"{path}"
        super().__init__(f"{where}: {message}")
        self.path, self.line = path, line


class Utterance(msgspec.Struct, frozen=True, kw_only=True):
    """One recording, or a part of one.

    Attributes:
        id: `audio_filepath` as the manifest writes it; behind it the times of a part, and the channel.
        audio: the file.
        text: transcript; empty where nobody speaks.
        duration: seconds, as the manifest says.
        part: of the file.
        speaker, corpus: where the manifest names them.
        manifest, line: where it stands, the line from 1; None and 0 where it stands in none.
    """

    id: str
    audio: Path
    text: str
    duration: float
    part: Part = WHOLE
    speaker: str | None = None
    corpus: str | None = None
    manifest: Path | None = None
    line: int = 0

    def read(self) -> NDArray[np.float32]:
        """Decode what the line means, (samples,) float32 at 16 kHz, and compare its length (rule 4).

        Raises:
            AudioError: the file cannot be decoded.
            ManifestError: the recording is longer or shorter than the manifest says.
        """
        samples = read_audio(self.audio, self.part)
        if self.manifest is None:
            return samples
        seconds = len(samples) / SAMPLE_RATE
        if abs(seconds - self.duration) > max(TOLERANCE_SECONDS, TOLERANCE_SHARE * self.duration):
            offset = self.part.offset
            raise ManifestError(
                self.manifest,
                self.line,
                f"duration is {self.duration} s, {self.audio} has {seconds:.3f} s. "
                "Of a part of a recording, write offset as well."
                if self.part.seconds is None
                else f"offset is {offset} s and duration {self.duration} s, up to "
                f"{offset + self.duration:.3f} s; {self.audio} ends at {offset + seconds:.3f} s.",
            )
        return samples


class _Line(msgspec.Struct):
    audio_filepath: str
    text: str
    duration: float
    offset: float | None = None
    channel: int | None = None
    channel_selector: int | Literal["average"] | None = None
    speaker: str | None = None
    corpus: str | None = None


def read_manifest(path: str | Path) -> list[Utterance]:
    """Read a manifest and check that every recording is there.

    Raises:
        ManifestError: it is not UTF-8 text; a line is not JSON, lacks a key, has a value of another
            type, has a key that would change which audio is meant (rule 3), or names a file that does
            not exist; or the manifest names no recording at all.
    """
    path = Path(path)
    try:
        text = read_text(path)
    except OSError as error:
        raise ManifestError(path, 0, f"cannot be read: {error.strerror}") from error
    except TextError as error:
        raise ManifestError(path, error.line, error.reason) from error
    if text.lstrip().startswith("["):
        raise ManifestError(
            path, 0, "is a JSON list, wants one object a line: jq -c '.[]'; see docs/training.md"
        )
    utterances = [
        _utterance(path, number, line)
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip()
    ]
    if not utterances:
        raise ManifestError(path, 0, "names no recording")
    return utterances


def _utterance(path: Path, number: int, line: str) -> Utterance:
    try:
        # A manifest put together from several files has a byte order mark before each of them.
        content = msgspec.json.decode(line.removeprefix("\ufeff"))
        entry = msgspec.convert(content, _Line)
    except msgspec.DecodeError as error:
        raise ManifestError(
            path,
            number,
            f"{error}. A line wants audio_filepath, text and duration; "
            'a recording without speech has "text": "".',
        ) from error
    try:
        part = _part(content, entry)
    except ValueError as error:
        raise ManifestError(path, number, str(error)) from error
    audio = path.parent / entry.audio_filepath
    if not audio.is_file():
        raise ManifestError(path, number, f"no file {audio}. Paths count from the manifest.")
    return Utterance(
        id=entry.audio_filepath + _shown(part),
        audio=audio,
        text=entry.text,
        duration=entry.duration,
        part=part,
        speaker=entry.speaker,
        corpus=entry.corpus,
        manifest=path,
        line=number,
    )


def _part(content: Mapping[str, Any], entry: _Line) -> Part:
    """Return what of the file a line means (rules 1 to 3)."""
    for key, value in content.items():
        plain = key.lower().replace("-", "_")
        if value is None or value == "" or key in READ_KEYS:
            continue
        if _BEGINS_OR_ENDS.fullmatch(plain):
            raise ValueError(
                f"{key} changes which part of the recording is meant and would not be obeyed: write "
                "offset, the second at which it begins, and duration"
            )
        # The number of channels is often written, and says nothing about which one is meant.
        if _CHANNEL.fullmatch(plain) and not (plain == "channels" and isinstance(value, int)):
            raise ValueError(
                f"{key} changes which channel is meant and would not be obeyed: write channel, from 0"
            )
    if not (math.isfinite(entry.duration) and entry.duration > 0.0):
        raise ValueError(f"duration is {entry.duration} s, wants more than 0")
    if entry.offset is not None and not (math.isfinite(entry.offset) and entry.offset >= 0.0):
        raise ValueError(f"offset is {entry.offset} s, wants 0 or more")
    channels = {entry.channel, entry.channel_selector} - {None, "average"}
    if len(channels) > 1:
        raise ValueError(
            f"channel is {entry.channel} and channel_selector {entry.channel_selector}: write one"
        )
    channel = next((c for c in channels if isinstance(c, int)), None)
    if channel is not None and channel < 0:
        raise ValueError(f"channel is {channel}, wants 0 or more")
    if entry.offset is None:
        return Part(channel=channel)
    return Part(entry.offset, entry.duration, channel)


def _shown(part: Part) -> str:
    """Return what tells the parts of a file apart; nothing for a whole one."""
    times = "" if part.seconds is None else f"{part.offset:g}-{part.offset + part.seconds:g}s"
    channel = "" if part.channel is None else f"channel {part.channel}"
    shown = " ".join(filter(None, (times, channel)))
    return f"#{shown}" if shown else ""


def spaced(utterances: Sequence[Utterance], limit: int | None) -> list[Utterance]:
    """Return so many utterances, evenly spaced and in their order, since manifests are often sorted.

    Args:
        utterances: of a manifest.
        limit: how many, 1 or more; None, or more than there are: all of them.
    """
    if limit is None or limit >= len(utterances):
        return list(utterances)
    return [utterances[n * len(utterances) // limit] for n in range(limit)]
