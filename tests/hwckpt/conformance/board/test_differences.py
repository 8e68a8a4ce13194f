from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hwckpt.conformance.__main__ import main
from hwckpt.conformance.board.differences import compare_board
from hwckpt.conformance.board.guess import guess
from hwckpt.hardware_bundle import VECTORS, Bundle
from tests.export.hardware.models import small_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return small_bundle("plain", tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def dumped(bundle: Bundle, tmp_path: Path) -> Path:
    """What a faultless board would write of one stream and one layer."""
    for case in ("babble", "encoder.pre.0"):
        shutil.copytree(bundle.folder / VECTORS / case, tmp_path / "out" / case)
    return tmp_path / "out"


def changed(path: Path, dtype: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change the values of a board's array."""
    values = np.frombuffer(path.read_bytes(), dtype).copy()
    path.write_bytes(change(values).astype(dtype).tobytes())


def test_a_board_may_leave_out_cases_and_arrays(bundle: Bundle, dumped: Path) -> None:
    (dumped / "babble" / "logits.bin").unlink()
    found = compare_board(bundle, dumped)
    assert (found.cases, found.first) == (2, None)


def test_the_first_value_is_named_with_its_neighbours(
    bundle: Bundle, dumped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def one_off(values: np.ndarray) -> np.ndarray:
        values[5 * 16 + 9] += 1
        return values

    changed(dumped / "babble" / "encoder.post.0.c.bin", "<i2", one_off)
    assert main([str(bundle.folder), "--against", str(dumped)]) == 1
    printed = capsys.readouterr()
    assert "babble: encoder.post.0.c differs first in row 5, index 9: " in printed.out
    assert "from index 6: computed" in printed.out
    assert "1 of 16 values of the row differ, by 1 at most" in printed.out
    assert "1 cases differ" in printed.err


def test_a_layer_comes_before_what_follows_from_it(bundle: Bundle, dumped: Path) -> None:
    changed(dumped / "babble" / "e.bin", "<i2", lambda values: values + 1)
    changed(
        dumped / "babble" / "encoder.pre.0.h.bin",
        "i1",
        lambda v: np.where(np.arange(len(v)) < 160, v, -v),
    )
    first = compare_board(bundle, dumped).first
    assert first is not None
    assert first.array == "encoder.pre.0.h"
    assert first.row == 10


def test_in_the_decoder_time_decides(bundle: Bundle, dumped: Path) -> None:
    joints = bundle.vectors(next(c for c in bundle.manifest.cases if c.name == "babble"))["joints"]
    rows = int(joints[3])  # of a, before the fourth row of g
    changed(
        dumped / "babble" / "g.bin", "<i2", lambda v: np.where(np.arange(len(v)) < 3 * 16, v, v + 1)
    )
    changed(
        dumped / "babble" / "a.bin",
        "u1",
        lambda v: np.where(np.arange(len(v)) < (rows + 1) * 16, v, v ^ 1),
    )
    first = compare_board(bundle, dumped).first
    assert first is not None
    assert (first.array, first.row) == ("g", 3)


def test_a_row_too_few_is_said(bundle: Bundle, dumped: Path) -> None:
    path = dumped / "babble" / "x.bin"
    path.write_bytes(path.read_bytes()[:-240])
    first = compare_board(bundle, dumped).first
    assert first is not None
    assert "the board has no such row" in first.describe()
    assert guess(bundle, first) == []


@pytest.mark.parametrize(
    ("array", "dtype", "change", "reason"),
    [
        ("acc", "<i4", lambda v: v.byteswap(), "endianness"),
        ("acc", "<i4", lambda v: -v, "sign: every value is negated"),
        ("acc", "<i4", lambda v: v << 3, "shift: every value is 3 bits too far left"),
        ("z", "<i2", lambda v: v >> 2, "shift: every value is 2 bits too far right"),
        ("acc", "<i4", lambda v: 0 * v, "all values are 0"),
        ("acc", "<i4", lambda v: v + 77, "all values are +77 off"),
        ("h", "i1", lambda v: v ^ 1, "rounding: 100 % of the row differ by 1"),
        ("acc", "<i4", lambda v: v.reshape(-1, 64)[:, ::-1], "order: the values of the row are reversed"),
        ("acc", "<i4", lambda v: np.roll(v.reshape(-1, 64), 5, 1), "order: the values of the row are rotated by 5"),
        ("acc", "<i4", lambda v: np.roll(v.reshape(-1, 64), -1, 0), "order: it is the row +1 away"),
    ],
)  # fmt: skip
def test_what_no_rule_explains_is_read_from_the_values(
    array: str,
    dtype: str,
    change: Callable[[np.ndarray], np.ndarray],
    reason: str,
    bundle: Bundle,
    dumped: Path,
) -> None:
    changed(dumped / "encoder.pre.0" / f"{array}.bin", dtype, change)
    first = compare_board(bundle, dumped).first
    assert first is not None
    reasons = guess(bundle, first)
    assert any(each.startswith(reason) for each in reasons), reasons


def test_the_bundle_is_the_folder_above_where_none_is_named(
    bundle: Bundle, dumped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(bundle.folder, copied)
    shutil.copytree(dumped, copied / "dumped")
    assert main(["--against", str(copied / "dumped"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "rill.board/1"
    assert (found["cases"], found["differing"]) == (2, [])


def test_a_folder_without_arrays_is_no_success(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(bundle.folder), "--against", str(tmp_path)]) == 3
    assert "no array of the bundle" in capsys.readouterr().err


def test_half_a_row_is_refused(
    bundle: Bundle, dumped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = dumped / "babble" / "e.bin"
    path.write_bytes(path.read_bytes()[:-1])
    assert main([str(bundle.folder), "--against", str(dumped)]) == 3
    assert "are not whole rows of 16 i16, 32 bytes each" in capsys.readouterr().err


def test_a_folder_of_neither_is_a_wrong_command_line() -> None:
    with pytest.raises(SystemExit) as refused:
        main([])
    assert refused.value.code == 2
