"""How fast recordings are read: files per second from a folder, a mount or S3, by number of readers.

A file counts from the request to its last byte, and its bytes are thrown away: what is measured is the
source, not the decoder. Every run reads files that no run before it has read, as far as there are
enough, since the second reading of a file measures a cache.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from train.data.storage.sources import (
    FROM_ENVIRONMENT,
    S3Access,
    SourceError,
    is_remote,
    open_source,
    s3_client,
    s3_location,
    without_credentials,
)

BLOCK = 1 << 20  # bytes of one read
LISTED = 100_000  # files of a source looked at, at most


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """One run of some readers over some files of a source.

    Attributes:
        source: its label.
        location: path or S3 prefix.
        workers: files read at a time.
        files, bytes: read without an error.
        seconds: of the whole run.
        p50_ms, p99_ms: of the time that one file takes; None where none was read.
        errors: files that could not be read; first_error says why the first one could not.
        again: files that an earlier run had read, which a cache may hold.
    """

    source: str
    location: str
    workers: int
    files: int
    bytes: int
    seconds: float
    p50_ms: float | None
    p99_ms: float | None
    errors: int
    first_error: str | None
    again: int

    @property
    def files_per_second(self) -> float:
        return self.files / self.seconds

    @property
    def megabytes_per_second(self) -> float:
        return self.bytes / 1e6 / self.seconds


def list_files(location: str, access: S3Access = FROM_ENVIRONMENT) -> list[str]:
    """Return the addresses of the files under a folder or an S3 prefix, `LISTED` at most, sorted.

    Raises:
        SourceError: there is none, or the server does not list them.
    """
    found: list[str] = []
    if is_remote(location):
        bucket, prefix = s3_location(location)
        pages = s3_client(access).get_paginator("list_objects_v2")
        with without_credentials(location):
            for page in pages.paginate(Bucket=bucket, Prefix=prefix):
                keys = (item["Key"] for item in page.get("Contents", ()))
                found += [f"s3://{bucket}/{key}" for key in keys if not key.endswith("/")]
                if len(found) >= LISTED:
                    break
    else:
        if not Path(location).is_dir():
            raise SourceError(location, "no such folder")
        for folder, _, names in os.walk(location):
            found += [os.path.join(folder, name) for name in names]
            if len(found) >= LISTED:
                break
    if not found:
        raise SourceError(location, "holds no file")
    return sorted(found[:LISTED])


def measure(
    label: str,
    location: str,
    files: Sequence[str],
    workers: int,
    access: S3Access = FROM_ENVIRONMENT,
) -> Measurement:
    """Read files with so many threads at a time.

    Returns:
        the measurement, `again` left at 0.
    """
    if is_remote(location):
        s3_client(access)  # made before the clock runs
    with ThreadPoolExecutor(workers) as pool:
        start = time.perf_counter()
        read = list(pool.map(lambda address: _read(address, access), files))
        seconds = time.perf_counter() - start
    times = [1000.0 * each.seconds for each in read if each.error is None]
    errors = [each.error for each in read if each.error is not None]
    return Measurement(
        source=label,
        location=location,
        workers=workers,
        files=len(times),
        bytes=sum(each.size for each in read if each.error is None),
        seconds=seconds,
        p50_ms=float(np.percentile(times, 50)) if times else None,
        p99_ms=float(np.percentile(times, 99)) if times else None,
        errors=len(errors),
        first_error=errors[0] if errors else None,
        again=0,
    )


def sweep(
    sources: Sequence[tuple[str, str]],
    workers: Sequence[int],
    most_files: int,
    seed: int,
    access: S3Access = FROM_ENVIRONMENT,
) -> Iterator[Measurement]:
    """Measure every source with every number of readers, each run on files of its own.

    Args:
        sources: label and location of each.
        workers: numbers of readers.
        most_files: read in one run.
        seed: of the order in which files are taken; sources with the same file names get the same.
    Raises:
        SourceError: a source holds no file or cannot be listed.
    """
    listed = [list_files(location, access) for _, location in sources]
    for files in listed:
        random.Random(seed).shuffle(files)
    for run, count in enumerate(workers):
        for (label, location), files in zip(sources, listed, strict=True):
            size = min(most_files, len(files))
            begin = run * size
            taken = [files[n % len(files)] for n in range(begin, begin + size)]
            again = size - max(0, min(size, len(files) - begin))
            found = measure(label, location, taken, count, access)
            yield msgspec.structs.replace(found, again=again)


@dataclass(frozen=True)
class _Read:
    seconds: float
    size: int
    error: str | None


def _read(address: str, access: S3Access) -> _Read:
    start, size, error = time.perf_counter(), 0, None
    try:
        with without_credentials(address), open_source(address, access) as file:
            while block := file.read(BLOCK):
                size += len(block)
    except (OSError, SourceError) as caught:
        error = str(caught)
    return _Read(time.perf_counter() - start, size, error)
