"""The plot: it is drawn without a screen, of any curve, and the same curve gives the same file."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'rill-asr[load]'")

from server.load.plot import draw
from server.load.point import Point

CURVE = [
    Point(
        streams=streams,
        seconds=20.0,
        cl50_ms=2.0 + streams / 50,
        cl90_ms=5.0 + streams / 20,
        cl99_ms=10.0 + streams / 8,
        server_cpu=streams / 300,
        client_cpu=streams / 1500,
    )
    for streams in (8, 64, 256, 384, 400)
]
REFUSED = Point(streams=512, seconds=0.0, refused="full")


def points_of(curve: list[Point], path: Path) -> bytes:
    draw(curve, path, rts=384, cl99_ms=60.0, title="Compute latency over load")
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    return path.read_bytes()


@pytest.mark.parametrize("name, begins", [("a.svg", b"<?xml"), ("a.png", b"\x89PNG\r\n\x1a\n")])
def test_a_curve_is_drawn_in_the_format_of_the_name(
    tmp_path: Path, name: str, begins: bytes
) -> None:
    picture = points_of([*CURVE, REFUSED], tmp_path / name)
    assert picture.startswith(begins)
    assert len(picture) > 10_000


def test_the_same_curve_gives_the_same_file_and_another_does_not(tmp_path: Path) -> None:
    first = points_of(CURVE, tmp_path / "a.svg")
    assert points_of(CURVE, tmp_path / "a.svg") == first
    assert points_of(CURVE[:4], tmp_path / "a.svg") != first


@pytest.mark.parametrize(
    "curve",
    [
        [],
        [REFUSED],
        CURVE[:1],
        [Point(streams=8, seconds=1.0, cl50_ms=1.0, cl90_ms=9e4, cl99_ms=9e5)],
    ],
    ids=["none", "refused", "one", "enormous"],
)
def test_odd_curves_are_drawn_without_a_warning(tmp_path: Path, curve: list[Point]) -> None:
    draw(curve, tmp_path / "odd.png", rts=None, cl99_ms=None, title="")
    assert (tmp_path / "odd.png").stat().st_size > 1000
