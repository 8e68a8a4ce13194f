"""Manifests: JSON lines that name recordings and their transcripts.

One object per line: `audio_filepath` (relative to the manifest), `text` (empty: a recording without
speech), `duration` in seconds; optional `speaker`, `corpus`. Blank lines are skipped. Rules:

1. With `offset`, in seconds, the line means the part of the recording that begins there and lasts
   `duration`, as in NeMo's manifests. Without it the line means the whole recording.
2. `channel`, from 0, is the channel that is meant (also spelt `channel_selector`). Without it channels
   are averaged.
3. A key by which others say which part or channel is meant (`start`, `end_time`, `channel_id`, …) is
   refused unless it is null: what the line says would not be what is heard. Other keys are ignored here
   and kept for conversion (`Entry.extra`).
4. A recording is as long as `duration` says, within `TOLERANCE_SECONDS` or `TOLERANCE_SHARE` of it,
   whichever is more: a longer or shorter one has other words than `text`. A part lies in its recording.
   This is checked when the audio is read (`Utterance.read`), since headers of files may be wrong.
5. NeMo's other spellings are taken: `audio_filename`, `normalized_text`, and `text_filepath`, a file that
   holds the text.

Decoding the audio is `stream.audio`.
"""

from __future__ import annotations

import functools
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.audio import WHOLE, Part, read_audio
from stream.errors import InputError
from stream.files.text import TextError, read_lines, read_text
from stream.front_end.log_mel import SAMPLE_RATE

TOLERANCE_SECONDS = 0.1  # MP3 encoders add up to 0.05 s; some manifests round to a tenth
TOLERANCE_SHARE = 0.01
_BEGINS_OR_ENDS = re.compile(
    r"((audio|segment|seg|clip|utt|utterance|speech|trim)_?)?(start|begin|end|stop|onset|offset)"
    r"(_?(time|s|sec|secs|second|seconds|ms|millis|samples?|frames?|pos|position))*"
)
_CHANNEL = re.compile(r"(audio_?)?channel_?(s|ids?|idx|index|name)?")
READ_KEYS = {"offset", "channel", "channel_selector"}
OTHER_SPELLINGS = {"audio_filename": "audio_filepath", "normalized_text": "text"}  # NeMo's


T = TypeVar("T")
JSON_LIST = "is a JSON list, wants one object a line: jq -c '.[]'; see docs/data.md"


class ManifestError(InputError):
    """A manifest that cannot be used.

    Attributes:
        path: of the manifest.
        line: number of the line, from 1; 0 where it is the file as a whole.
        message: what is wrong, without the place.
    """

    def __init__(self, path: Path, line: int, message: str) -> None:
        where = f"{path}: line {line}" if line else f"{path}"
        super().__init__(f"{where}: {message}")
        self.path, self.line, self.message = path, line, message


class Utterance(msgspec.Struct, frozen=True, kw_only=True):
    """One recording, or a part of one.

    Attributes:
        id: `audio_filepath` as the manifest writes it, followed by the times of a part, and the channel.
        audio: the file.
        text: transcript; empty where nobody speaks.
        duration: seconds, as the manifest says.
        part: of the file.
        speaker, corpus: where the manifest names them.
        manifest, line: where it is, the line from 1; None and 0 if it is in none.
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
        if self.manifest is not None:
            check_length(
                len(samples), self.duration, self.part, str(self.audio), (self.manifest, self.line)
            )
        return samples


def check_length(
    samples: int, duration: float, part: Part, audio: str, where: tuple[Path, int]
) -> None:
    """Compare what was decoded with the duration that a line gives (rule 4).

    Args:
        samples: at 16 kHz.
        duration: seconds, as the line says.
        part: of the recording.
        audio: name of the recording, for the message.
        where: the manifest, and the line's number.
    Raises:
        ManifestError: the recording is longer or shorter.
    """
    seconds = samples / SAMPLE_RATE
    if abs(seconds - duration) <= max(TOLERANCE_SECONDS, TOLERANCE_SHARE * duration):
        return
    raise ManifestError(
        *where,
        f"duration is {duration} s, {audio} has {seconds:.3f} s. "
        "Of a part of a recording, write offset as well."
        if part.seconds is None
        else f"offset is {part.offset} s and duration {duration} s, up to "
        f"{part.offset + duration:.3f} s; {audio} ends at {part.offset + seconds:.3f} s.",
    )


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What a line says, before anything is looked for on the disk.

    Attributes:
        name: `audio_filepath` as the manifest writes it.
        audio: path of the file.
        line: number of the line, from 1.
        extra: the keys that are not read here, with their values.
        others: as in `Utterance`.
    """

    name: str
    audio: str
    text: str
    duration: float
    part: Part
    speaker: str | None
    corpus: str | None
    line: int
    extra: dict[str, Any]


class Line(msgspec.Struct):
    """The keys of a line that are read here."""

    audio_filepath: str
    text: str
    duration: float
    offset: float | None = None
    channel: int | None = None
    channel_selector: int | Literal["average"] | None = None
    speaker: str | None = None
    corpus: str | None = None


KEYS = frozenset(Line.__struct_fields__)


def read_manifest(path: str | Path, *, texts: bool = True) -> list[Utterance]:
    """Read a manifest and check that every recording is there.

    Args:
        path: of the manifest.
        texts: whether every line has to have one.
    Raises:
        ManifestError: see `read_entries`; or a line names a file that does not exist, or the manifest
            names no recording at all.
    """
    path = Path(path)
    utterances = []
    for entry in read_entries(path, texts=texts):
        if isinstance(entry, ManifestError):
            raise entry
        audio = Path(entry.audio)
        if not audio.is_file():
            raise ManifestError(
                path, entry.line, f"no file {audio}. Paths count from the manifest."
            )
        utterances.append(
            Utterance(
                id=entry.name + shown(entry.part),
                audio=audio,
                text=entry.text,
                duration=entry.duration,
                part=entry.part,
                speaker=entry.speaker,
                corpus=entry.corpus,
                manifest=path,
                line=entry.line,
            )
        )
    if not utterances:
        raise ManifestError(path, 0, "names no recording")
    return utterances


def read_entries(
    path: Path,
    root: Path | None = None,
    lines: Iterable[tuple[int, str]] | None = None,
    *,
    texts: bool = True,
) -> Iterator[Entry | ManifestError]:
    """Yield what the lines of a manifest say, one by one; of a line that cannot be used, its error.

    A line is one that is not JSON, lacks a key, has a value of another type, or a key that would change
    which audio is meant (rule 3).

    Args:
        path: of the manifest, plain or gzip.
        root: folder from which relative paths count; None: the manifest's.
        lines: of the manifest, with their numbers; None: they are read from its file.
        texts: whether every line has to have one.
    Raises:
        ManifestError: the file cannot be read, is not UTF-8 text, or is a JSON list.
    """
    folder = str(path.parent if root is None else root)
    first = True
    try:
        for number, line in read_lines(path) if lines is None else lines:
            # A manifest put together from several files has a byte order mark before each of them.
            line = line.removeprefix("\ufeff")
            if not line or line.isspace():
                continue
            if first and line.lstrip().startswith("["):
                raise ManifestError(path, 0, JSON_LIST)
            first = False
            try:
                yield entry_of(folder, number, line, texts=texts)
            except ValueError as error:
                yield ManifestError(path, number, str(error))
    except OSError as error:
        raise ManifestError(path, 0, f"cannot be read: {error.strerror or error}") from error
    except TextError as error:
        raise ManifestError(path, error.line, error.reason) from error


def entry_of(folder: str, number: int, line: str, *, texts: bool = True) -> Entry:
    """Return what a line says.

    Args:
        folder: from which relative paths count.
        number: of the line, from 1.
        texts: whether it has to have one.
    Raises:
        ValueError: why it cannot be used.
    """
    try:
        content = msgspec.json.decode(line)
        if isinstance(content, dict) and not content.keys() <= KEYS:
            _spell_as_we_do(content, folder)
        if isinstance(content, dict) and not texts:
            content.setdefault("text", "")
        entry = msgspec.convert(content, Line)
    except msgspec.DecodeError as error:
        raise ValueError(
            f"{error}. A line wants audio_filepath, text and duration; "
            'a recording without speech has "text": "".'
        ) from error
    part = part_of(entry, content)
    return Entry(
        name=entry.audio_filepath,
        audio=located(folder, entry.audio_filepath),
        text=entry.text,
        duration=entry.duration,
        part=part,
        speaker=entry.speaker,
        corpus=entry.corpus,
        line=number,
        extra={key: value for key, value in content.items() if key not in KEYS},
    )


def _spell_as_we_do(content: dict[str, Any], folder: str) -> None:
    """Replace NeMo's other spellings by ours (rule 5)."""
    for theirs, ours in OTHER_SPELLINGS.items():
        if theirs in content and ours not in content:
            content[ours] = content.pop(theirs)
    if "text" not in content and isinstance(content.get("text_filepath"), str):
        named = Path(folder, content.pop("text_filepath"))
        try:
            content["text"] = " ".join(read_text(named).split())
        except (OSError, TextError) as error:
            raise ValueError(f"text_filepath: {named}: {error}") from error


def part_of(entry: Line, content: Mapping[str, Any] = MappingProxyType({})) -> Part:
    """Return what of the file a line means (rules 1 to 3).

    Args:
        content: all keys of the line with their values.
    Raises:
        ValueError: why it cannot be used.
    """
    for key, value in content.items():
        meaning = _meaning(key)
        if not meaning or value is None or value == "":
            continue
        if meaning == "part":
            raise ValueError(
                f"{key} changes which part of the recording is meant and would not be obeyed: write "
                "offset, the second at which it begins, and duration"
            )
        # The number of channels is often written, and says nothing about which one is meant.
        if not (key.lower() == "channels" and isinstance(value, int)):
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


def is_ignored(key: str) -> bool:
    """Tell whether a key, other than those of `Line`, says nothing of what is meant (rules 3 and 5)."""
    return not _meaning(key) and key not in OTHER_SPELLINGS and key != "text_filepath"


@functools.lru_cache(4096)
def _meaning(key: str) -> Literal["", "part", "channel"]:
    """Return what a key that is not read here would say of the audio."""
    plain = key.lower().replace("-", "_")
    if key in READ_KEYS:
        return ""
    if _BEGINS_OR_ENDS.fullmatch(plain):
        return "part"
    return "channel" if _CHANNEL.fullmatch(plain) else ""


def located(folder: str, name: str) -> str:
    """Return the path of a recording that a list in a folder names; an address (s3://...) is one already."""
    return name if "://" in name else os.path.join(folder, os.path.expanduser(name))


def shown(part: Part) -> str:
    """Return what tells the parts of a file apart; nothing for a whole one."""
    times = "" if part.seconds is None else f"{part.offset:g}-{part.offset + part.seconds:g}s"
    channel = "" if part.channel is None else f"channel {part.channel}"
    shown = " ".join(filter(None, (times, channel)))
    return f"#{shown}" if shown else ""


def spaced(utterances: Sequence[T], limit: int | None) -> list[T]:
    """Return so many utterances, evenly spaced and in their order, since manifests are often sorted.

    Args:
        limit: how many, 1 or more; None, or more than there are: all of them.
    """
    if limit is None or limit >= len(utterances):
        return list(utterances)
    return [utterances[n * len(utterances) // limit] for n in range(limit)]
