"""The spool: one budget over all recordings, and a disk that is full."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from server.http.spool import Spool, SpoolFullError


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may have more than 100 kB, so that writing fails as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


async def test_what_is_deleted_is_free_again() -> None:
    spool = Spool(1000)
    with spool.recording() as one:
        await one.write(bytes(600))
        await one.finish()
        assert one.path.read_bytes() == bytes(600)
        assert spool.free == 400
        with spool.recording() as two, pytest.raises(SpoolFullError, match="400 of which are left"):
            await two.write(bytes(401))
    assert spool.free == 1000
    assert not one.path.parent.exists()


async def test_a_disk_that_is_full_is_said(small_files: None) -> None:
    spool = Spool(1 << 30)
    with pytest.raises(SpoolFullError, match="cannot be spooled: "), spool.recording() as recording:
        await recording.write(bytes(200_000))
        await recording.finish()
    assert spool.free == 1 << 30


def test_no_folder_for_temporary_files_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    with pytest.raises(SpoolFullError, match="No such file"), Spool(1).recording():
        pass
