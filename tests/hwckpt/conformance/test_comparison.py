"""Rows of the conformance table: nothing that differs passes, whatever its kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwckpt.conformance.comparison import Row, VectorError, compare, exact, installed, load, skipped


def test_the_largest_difference_decides_and_its_place_is_noted() -> None:
    got, want = np.zeros((3, 4)), np.zeros((3, 4))
    got[1, 2] = 0.5
    row = compare("stage", "numpy", got, want, 0.4)
    assert (row.verdict, row.largest, row.mean) == ("FAIL", 0.5, 0.5 / 12)
    assert row.note == "at (1, 2): 0.5, not 0"
    assert compare("stage", "numpy", got, want, 0.5).verdict == "ok"


@pytest.mark.parametrize(
    ("got", "want"),
    [
        ([np.nan], [1.0]),
        ([1.0], [np.nan]),
        ([np.nan], [np.nan]),
        ([np.inf], [1.0]),
        ([np.inf], [-np.inf]),
        ([1.0, 2.0], [1.0]),
        ([[1.0]], [1.0]),
        ([], [1.0]),
    ],
    ids=str,
)
def test_not_a_number_and_other_shapes_fail_at_any_tolerance(got: list, want: list) -> None:
    assert compare("stage", "numpy", got, want, 1e9).verdict == "FAIL"


def test_equal_infinities_and_empty_arrays_pass() -> None:
    assert compare("stage", "numpy", [-np.inf, 1.0], [-np.inf, 1.0], 0.0).verdict == "ok"
    assert compare("stage", "numpy", np.zeros((0, 3)), np.zeros((0, 3)), 0.0).verdict == "ok"


def test_large_values_are_compared_relatively_when_asked() -> None:
    assert compare("s", "b", [1000.1], [1000.0], 1e-3).verdict == "FAIL"
    assert compare("s", "b", [1000.1], [1000.0], 1e-3, relative_above=1.0).verdict == "ok"
    assert compare("s", "b", [0.1], [0.0], 1e-3, relative_above=1.0).verdict == "FAIL"


@pytest.mark.parametrize(
    ("got", "want", "count"),
    [
        ([1, 2], [1, 2], 0),
        ([1, 2], [1, 3], 1),
        ([1], [1, 2, 3], 2),
        ([1, 2], [], 2),
        ("ab", "b", 2),
    ],
)
def test_exact_comparison_counts_what_differs(got: list, want: list, count: int) -> None:
    row = exact("tokens", "numpy", got, want)
    assert row.largest == count
    assert row.verdict == ("FAIL" if count else "ok")


def test_a_skip_is_neither_passed_nor_failed() -> None:
    assert skipped("lstm", "onnx", "not installed").verdict == "skipped"
    assert Row("d", "-", 9.0, 9.0, 0.0, "", "skipped").verdict == "skipped"


def test_a_vector_file_is_read_without_executing_and_named_when_wrong(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, a=np.arange(3), n=np.float32(0.5))
    arrays = load(path)
    assert arrays["n"] == 0.5
    with pytest.raises(VectorError, match=r"x.npz: has no array 'b'"):
        arrays["b"]
    np.savez(path, a=np.array([object()], dtype=object))
    with pytest.raises(VectorError, match=r"x.npz: not a vector file"):
        load(path)
    path.write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(VectorError, match=r"x.npz"):
        load(path)
    with pytest.raises(VectorError, match=r"none.npz"):
        load(tmp_path / "none.npz")


def test_packages_are_found_without_importing_them() -> None:
    assert installed("numpy")
    assert not installed("no_such_package_of_any_name")
