"""Mounts: what is mounted where, and whether the recordings that a manifest names lie there.

Training from a mount fails in three ways: nothing is mounted on the empty folder; the files are named by
another prefix; what is listed cannot be read. `inspect_mount` looks for these and
says each in a sentence.
"""

from __future__ import annotations

import codecs
import io
import itertools
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from stream.files.text import open_bytes
from stream.manifest import ManifestError

MOUNTS = Path("/proc/self/mountinfo")
MOST_COMPRESSED_LINES = 100_000  # of a .gz, which cannot be sought
SMALL_FILE = 4 << 20  # bytes; a smaller one is read whole


@dataclass(frozen=True)
class Mount:
    """An entry of the table of mounts.

    Attributes:
        point: where it is mounted.
        kind: type of file system, such as nfs4, fuse.s3fs, ext4.
        source: what is mounted, as the file system names it.
        options: of the mount and of the file system.
    """

    point: Path
    kind: str
    source: str
    options: str


@dataclass
class Report:
    """What was found.

    Attributes:
        facts: sentences on what is as it should be.
        faults: sentences on what is not, each with what to do.
    """

    facts: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def mount_of(path: Path, table: Path | None = None) -> Mount | None:
    """Return the mount that a path lies on; None where the table has none.

    Args:
        path: absolute.
        table: of the format of /proc/self/mountinfo; None: that one.
    Source: proc(5): ID, parent, major:minor, root, point, options, tags, "-", type, source, options.
    """
    best = None
    for line in (table or MOUNTS).read_text(errors="surrogateescape").splitlines():
        left, _, right = line.partition(" - ")
        fields, rest = left.split(" "), right.split(" ")
        point = Path(_unescaped(fields[4]))
        # Of two mounts at one point the later one is seen.
        if path.is_relative_to(point) and (best is None or point.is_relative_to(best.point)):
            best = Mount(point, rest[0], _unescaped(rest[1]), f"{fields[5]},{rest[2]}")
    return best


def _unescaped(name: str) -> str:
    """Undo the octal codes of space, tab, newline and backslash."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), name)


def inspect_mount(
    folder: Path, manifest: Path | None = None, lines: int = 100, table: Path | None = None
) -> Report:
    """Look at a mounted folder, and at what a manifest or a file of cuts names in it.

    Args:
        folder: to inspect.
        manifest: JSON lines, `.gz` or plain, of ours, NeMo's or Lhotse's keys.
        lines: sampled from it.
        table: of mounts; None: this process's.
    Raises:
        ManifestError: a line of the manifest is not JSON, or none names a recording.
        OSError: the manifest cannot be read.
    """
    report = Report()
    folder = folder.absolute()
    if not folder.is_dir():
        what = "is a file, no folder" if folder.exists() else "does not exist"
        report.faults.append(f"{folder} {what}.")
        return report
    _look_at_mount(folder, table or MOUNTS, report)
    _look_for_files(folder, report)
    if manifest is not None:
        _look_at_names(folder, manifest, lines, report)
    return report


def _look_at_mount(folder: Path, table: Path, report: Report) -> None:
    mount = mount_of(folder.resolve(), table) if table.exists() else None
    if mount is None:
        report.faults.append(f"{folder}: there is no {table} to say what is mounted.")
    elif mount.point == Path("/"):
        report.faults.append(
            f"{folder} is no mount: it is a plain folder of / ({mount.kind} on {mount.source})."
        )
    else:
        how = "is" if mount.point == folder.resolve() else "lies on"
        access = "read-only" if "ro" in mount.options.split(",") else "read-write"
        report.facts.append(
            f"{folder} {how} the mount {mount.point}: {mount.kind}, of {mount.source}, {access}."
        )


def _look_for_files(folder: Path, report: Report) -> None:
    """Read the first byte of the first file found."""
    path = folder
    try:
        with os.scandir(folder) as entries:
            if next(entries, None) is None:
                report.faults.append(f"{folder} is empty: is what should be mounted there mounted?")
                return
        found = _first_file(folder)
        if found is None:
            report.faults.append(f"{folder} holds folders only, and no file.")
            return
        path = found
        began = time.perf_counter()
        with path.open("rb", buffering=0) as file:
            file.read(1)
        milliseconds = 1000.0 * (time.perf_counter() - began)
    except OSError as error:
        report.faults.append(f"{error.filename or path} cannot be read: {error.strerror}.")
        return
    report.facts.append(f"The first byte of {path} came after {milliseconds:.2f} ms.")


def _first_file(folder: Path) -> Path | None:
    """Return a file below a folder, looking at no more of a listing than it takes; None: there is none."""
    folders = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file():
                return Path(entry)
            if entry.is_dir():
                folders.append(Path(entry))
    return next(filter(None, map(_first_file, folders)), None)


def _look_at_names(folder: Path, manifest: Path, lines: int, report: Report) -> None:
    named = [
        (manifest.parent / name).absolute()  # an absolute name stays as it is
        for line in sampled_lines(manifest, lines)
        for name in named_recordings(line)
    ]
    if not named:
        raise ManifestError(manifest, 0, "no line names a recording")
    inside = [path for path in named if path.is_relative_to(folder)]
    outside = [path for path in named if not path.is_relative_to(folder)]
    if outside:
        places = Counter(_place(path) for path in outside)
        place, _ = places.most_common(1)[0]
        report.faults.append(
            f"{len(outside)} of {len(named)} sampled names of {manifest} lie outside {folder}, most of "
            f"them in {place}: rill data rewrite --from {place} --to {folder}"
        )
    missing = [path for path in inside if not path.is_file()]
    if missing:
        report.faults.append(
            f"{len(missing)} of {len(inside)} sampled recordings of {manifest} are not there, such as "
            f"{missing[0]}."
        )
    elif inside:
        report.facts.append(
            f"{len(inside)} of {len(named)} sampled recordings of {manifest} are there."
        )


def _place(path: Path) -> Path:
    """Return the folder that tells where a recording lies: three levels at most."""
    return Path(*path.parent.parts[:4])


def named_recordings(line: Any) -> Iterator[str]:
    """Yield the recordings that a decoded line names, in any of the keys that are usual.

    `audio_filepath` is ours and NeMo's; `sources[].source` Lhotse's, at any depth of a cut; and
    `files[].fname` Myrtle's.
    """
    if isinstance(line, list):
        for each in line:
            yield from named_recordings(each)
    elif isinstance(line, dict):
        is_source = line.get("type") == "file" and "channels" in line
        for key, value in line.items():
            if isinstance(value, dict | list):
                yield from named_recordings(value)
            elif isinstance(value, str) and (
                key in ("audio_filepath", "fname") or (key == "source" and is_source)
            ):
                yield value


def sampled_lines(path: Path, count: int) -> Iterator[Any]:
    """Yield decoded lines of a JSON-lines file, evenly spaced in it; of a long one without reading it all.

    Of a compressed file the first `MOST_COMPRESSED_LINES` lines count as the whole.

    Raises:
        ManifestError: a line is not JSON.
        OSError: the file cannot be read.
    """
    if path.suffix != ".gz" and path.stat().st_size > SMALL_FILE:
        with path.open("rb") as file:
            lines = list(_spaced_lines(file, count))
    else:
        with open_bytes(path) as file:
            head = [line for line in itertools.islice(file, MOST_COMPRESSED_LINES) if line.strip()]
        chosen = min(count, len(head))
        lines = [head[n * len(head) // chosen] for n in range(chosen)]
    for line in lines:
        try:
            yield msgspec.json.decode(line.removeprefix(codecs.BOM_UTF8))
        except msgspec.DecodeError as error:
            raise ManifestError(path, 0, f"a line is not JSON: {error}: {line[:60]!r}") from error


def _spaced_lines(file: BinaryIO, count: int) -> Iterator[bytes]:
    """Yield the first whole lines after evenly spaced places, none twice."""
    size, end = file.seek(0, io.SEEK_END), 0
    for n in range(count):
        place = max(n * size // count, end)
        file.seek(max(place - 1, 0))
        if place > 0:
            file.readline()  # the rest of a line, or its end alone
        line = next((line for line in iter(file.readline, b"") if line.strip()), None)
        if line is None:
            return
        end = file.tell()
        yield line
