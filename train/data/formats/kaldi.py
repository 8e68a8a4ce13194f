"""Kaldi's data directories: wav.scp, text, and segments, utt2spk, utt2dur if present.

    wav.scp   rec1 /a/1.wav          text      utt1 one two
    segments  utt1 rec1 0.00 1.62    utt2spk   utt1 spk1

1. Relative paths count from the working directory, as Kaldi takes them, or from `root`.
2. A command in wav.scp (`sph2pipe ... |`) is never run, and neither are archives (`x.ark:123`) read.
3. An utterance of segments without a text is skipped, as Kaldi's own tools do.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

from stream.audio import WHOLE, Part
from stream.files.text import TextError, read_lines
from stream.manifest import ManifestError, located
from train.data.records.files import listed_path, write_whole
from train.data.records.record import File, Read, Record

FILES = ("wav.scp", "text", "segments", "utt2spk", "utt2dur")


class _Column:
    """A file of ids and values that is read as far as the ids asked for, in whatever order.

    In the order of the file, as Kaldi sorts them all, the memory is that of a line.
    """

    def __init__(self, path: Path) -> None:
        self._rows = _rows(path) if path.exists() else iter(())
        self._passed: dict[str, str] = {}

    def get(self, name: str) -> str | None:
        if name in self._passed:
            return self._passed.pop(name)
        for _, other, value in self._rows:
            if other == name:
                return value
            self._passed[other] = value
        return None


def read(path: Path, root: Path | None = None) -> Read:
    """Yield the records of a data directory, in the order of segments or wav.scp."""
    folder = "" if root is None else str(root)
    texts, speakers = _Column(path / "text"), _Column(path / "utt2spk")
    if not (path / "text").exists():
        raise ManifestError(path, 0, "has no file text")
    segmented = (path / "segments").exists()
    durations = _Column(path / "utt2dur")
    for found in _segments(path) if segmented else _wholes(path / "wav.scp"):
        if isinstance(found, ManifestError):
            yield found
            continue
        where, line, name, recording, part = found
        text = texts.get(name)
        if text is None and segmented:
            continue  # rule 3
        try:
            if text is None:
                raise ValueError(f"{name} has no line in text")
            told = durations.get(name)
            duration = part.seconds or (None if told is None else float(told))
            audio = _file(recording, folder)
        except ValueError as error:
            yield ManifestError(where, line, str(error))
            continue
        yield Record(
            id=name,
            audio=audio,
            text=text,
            duration=duration,
            part=part,
            speaker=speakers.get(name),
            source=str(where),
            line=line,
        )


# A file and the number of its line, the utterance, its recording and its part.
_Utterance: TypeAlias = tuple[Path, int, str, str, Part]


def _wholes(scp: Path) -> Iterator[_Utterance]:
    for line, name, recording in _rows(scp):
        yield scp, line, name, recording, WHOLE


def _segments(path: Path) -> Iterator[_Utterance | ManifestError]:
    """Yield the lines of segments, each with its recording."""
    recordings = {name: recording for _, name, recording in _rows(path / "wav.scp")}
    segments = path / "segments"
    for line, name, value in _rows(segments):
        fields = value.split()
        try:
            recording, begin, end = fields[0], float(fields[1]), float(fields[2])
        except (ValueError, IndexError):
            recording, begin, end = "", 0.0, 0.0
        if not 0.0 <= begin < end:
            wanted = "a recording, its begin and its end in seconds"
            yield ManifestError(segments, line, f"{value!r}: wants {wanted}")
        elif recording not in recordings:
            yield ManifestError(segments, line, f"{recording} is not in wav.scp")
        else:
            part = Part(begin, round(end - begin, 6))
            yield segments, line, name, recordings[recording], part


def _file(recording: str, folder: str) -> File:
    if recording.endswith("|"):
        raise ValueError(
            f"{recording!r} is a command and is not run: write its output to a file and name that"
        )
    begin = recording.rpartition(":")[2]
    if ".ark:" in recording and begin.isdigit():
        raise ValueError(
            f"{recording} is in one of Kaldi's archives: write it to a file with wav-copy and name that"
        )
    return File(located(folder, recording))


def _rows(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield (line, id, value) of a file of Kaldi's.

    Raises:
        ManifestError: it cannot be read.
    """
    try:
        for line, text in read_lines(path):
            name, _, value = text.strip().replace("\t", " ").partition(" ")
            if name:
                yield line, name, value.strip()
    except OSError as error:
        raise ManifestError(path, 0, f"cannot be read: {error.strerror or error}") from error
    except TextError as error:
        raise ManifestError(path, error.line, error.reason) from error


def write(records: Iterable[Record], path: Path) -> int:
    """Write a data directory; returns how many utterances it has.

    Kaldi requires sorted files, so their lines are held in memory until the end.

    Raises:
        ManifestError: a record is of no file of its own, or of one channel of it.
    """
    rows: dict[str, dict[str, str]] = {name: {} for name in FILES}
    folder = path.absolute()
    for record in records:
        if record.part.channel is not None:
            raise record.error(f"{record.id} is a channel of a file: write it with --audio DIR")
        speaker = (record.speaker or "").replace(" ", "_")
        name = "-".join(filter(None, (speaker, record.id.replace(" ", "_"))))
        audio = located(str(folder), listed_path(record, folder))
        duration = record.duration or 0.0
        if record.part.seconds is None:
            rows["wav.scp"][name] = audio
        else:
            begin = record.part.offset
            recording = os.path.splitext(audio)[0].lstrip("/").replace("/", "-").replace(" ", "_")
            rows["wav.scp"][recording] = audio
            rows["segments"][name] = f"{recording} {begin:.6g} {begin + duration:.6g}"
        rows["text"][name] = " ".join(record.text.split())
        rows["utt2spk"][name] = speaker or name
        rows["utt2dur"][name] = f"{duration:.6g}"
    if rows["segments"]:  # which Kaldi then wants of all
        for name in sorted(rows["wav.scp"].keys() & rows["text"].keys()):
            rows["segments"][name] = f"{name} 0 {rows['utt2dur'][name]}"
    for file, lines in rows.items():
        if file == "segments" and not lines:
            continue
        with write_whole(path / file) as output:
            for name in sorted(lines, key=str.encode):
                output.write(f"{name} {lines[name]}\n".encode())
    return len(rows["text"])
