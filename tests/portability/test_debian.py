"""Debian's packages are fetched once, and a system that has none says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.portability.debian import Unavailable, unpacked


@pytest.fixture(autouse=True)
def no_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


def test_what_lies_in_the_cache_is_not_fetched_again(tmp_path: Path) -> None:
    (tmp_path / "complete").write_text("bookworm arm64 python3.11")
    assert unpacked(["python3.11"], "bookworm", "arm64", tmp_path) == tmp_path / "root"


@pytest.mark.parametrize("cached", [None, "bookworm amd64 python3.11", "trixie arm64 python3.11"])
def test_a_system_without_dpkg_is_told_what_is_needed(cached: str | None, tmp_path: Path) -> None:
    if cached:
        (tmp_path / "complete").write_text(cached)
    with pytest.raises(
        Unavailable, match="needs Debian's apt-get, dpkg-deb and /usr/share/keyrings"
    ):
        unpacked(["python3.11"], "bookworm", "arm64", tmp_path)
    assert not cached or (tmp_path / "complete").read_text() == cached
