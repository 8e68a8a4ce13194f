"""The archive of a model directory: a gzipped tar file, the same bytes whenever and wherever it is written.

    NAME/              the one folder, named as the model directory
    NAME/README.md     its card, where it has one
    NAME/model.json    and the files that this lists, in the order of their names

No entry says when or by whom it was written. (Another zlib may compress differently; what is inside is the same.)
Reading takes only regular files of these names, writes nothing anywhere else, and refuses what unpacks to more than
`MOST_TIMES` the size of the archive.
"""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from export.bundle.contents import ALLOWED
from stream.errors import DifferenceError

MOST_TIMES = 100  # weights hardly compress; a small file that would fill the disk is not a model
MARGIN = 1 << 20  # bytes; the padding of tar compresses to nothing
# What a damaged file makes the standard library raise.
DAMAGE = (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, OverflowError, ValueError)


def write(model: Path, archive: Path) -> None:
    """Write the archive of a model directory that was checked (`export.bundle.check`)."""
    name = model.resolve().name
    with (
        archive.open("wb") as raw,
        gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        folder = tarfile.TarInfo(name)
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(folder)
        for file in sorted(model.iterdir()):
            entry = tarfile.TarInfo(f"{name}/{file.name}")
            entry.size, entry.mode = file.stat().st_size, 0o644
            with file.open("rb") as content:
                tar.addfile(entry, content)


@contextmanager
def unpacked(archive: Path) -> Iterator[Path]:
    """Yield the model directory of an archive, unpacked to a temporary place.

    Raises:
        DifferenceError: it is damaged, or has an entry that it may not have; the message names it.
    """
    with TemporaryDirectory(prefix="rill-bundle-") as temporary:
        yield _unpack(archive, Path(temporary))


def _unpack(archive: Path, place: Path) -> Path:
    folder = last = ""
    try:
        with _Limited(archive) as packed:
            with tarfile.open(fileobj=packed, mode="r|") as tar:
                for entry in tar:
                    last = entry.name
                    parts = PurePosixPath(entry.name).parts
                    if fault := _fault(entry, parts, folder):
                        raise DifferenceError(f"{archive}: {entry.name!r} {fault}")
                    folder = parts[0]
                    content = tar.extractfile(entry)
                    target = place.joinpath(*parts)
                    if content is None:
                        target.mkdir()
                        continue
                    target.parent.mkdir(exist_ok=True)
                    with target.open("xb") as file:
                        shutil.copyfileobj(content, file)
            while rest := packed.read(io.DEFAULT_BUFFER_SIZE):  # to the checksum at the end
                if rest.strip(b"\0"):
                    raise DifferenceError(f"{archive}: something follows its last entry, {last!r}")
    except FileExistsError:
        raise DifferenceError(f"{archive}: {last!r} is there twice") from None
    except DAMAGE as error:
        where = f" at or after {last!r}" if last else ""
        raise DifferenceError(
            f"{archive}: is not a bundle, or is damaged{where}: {error}"
        ) from error
    if not folder:
        raise DifferenceError(f"{archive}: is empty")
    return place / folder


class _Limited(gzip.GzipFile):
    """A gzip file that refuses to be read beyond its limit."""

    def __init__(self, archive: Path) -> None:
        super().__init__(archive)
        self._most = self._left = MARGIN + MOST_TIMES * archive.stat().st_size

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self._left -= len(data)
        if self._left < 0:
            raise ValueError(f"it unpacks to more than {self._most:,} bytes")
        return data


def _fault(entry: tarfile.TarInfo, parts: tuple[str, ...], folder: str) -> str | None:
    """Return what is wrong with an entry, or None.

    Args:
        parts: of its path.
        folder: that of the entries before it; "": there are none.
    """
    if entry.name.startswith("/") or ".." in parts or "\\" in entry.name or not parts:
        return "leads out of the folder that it is unpacked to"
    if entry.issym() or entry.islnk():
        return f"is a link, to {entry.linkname!r}"
    if entry.issparse() or not (entry.isreg() or entry.isdir()):
        return "is neither an ordinary file nor a folder"
    if folder and parts[0] != folder:
        return f"is not in the archive's one folder, {folder!r}"
    if entry.isdir():
        return None if len(parts) == 1 else "is a folder, of which a model has none"
    if len(parts) != 2 or parts[1] not in ALLOWED:
        return "is not a file of a model"
    return None
