"""Rows of the conformance table: nothing that differs passes, whatever its kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwckpt.conformance import comparison
from hwckpt.conformance.comparison import (
    Row,
    VectorError,
    Vectors,
    compare,
    computed,
    exact,
    installed,
    on_each,
    read_vectors,
)


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
    assert Row("d", "-", 9.0, 9.0, 0.0, "", "skipped").verdict == "skipped"


def test_a_backend_without_its_package_is_one_skipped_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "installed", lambda package: package != "onnx")
    rows = list(
        on_each("stage", ("numpy", "integer-onnx"), lambda name: iter([Row("got", name)] * 2))
    )
    assert [(row.stage, row.backend, row.verdict) for row in rows] == [
        ("got", "numpy", "ok"),
        ("got", "numpy", "ok"),
        ("stage", "integer-onnx", "skipped"),
    ]
    assert rows[-1].note == "onnx is not installed"


def test_integers_are_compared_in_all_of_their_bits() -> None:
    large = np.array([2**62 + 1])
    assert compare("s", "b", large, large, 0.0).verdict == "ok"
    assert compare("s", "b", large, large - 1, 0.0).verdict == "FAIL"


def test_arrays_are_compared_by_name_and_only_optional_ones_may_be_absent() -> None:
    z = Vectors(Path("x.npz"), {"a": np.ones(2), "n": np.array([0.5])})
    (row,) = z.close("numpy", {"a": np.ones(2), "b_0": np.ones(2)}, optional=("b_",))
    assert (row.stage, row.verdict) == ("a", "ok")
    with pytest.raises(VectorError, match=r"x.npz: has no array 'b_0'"):
        list(z.close("numpy", {"b_0": np.ones(2)}))
    with pytest.raises(VectorError, match=r"x.npz: n is float64, wants integers"):
        list(z.close("numpy", {"n": np.array([1])}))


def test_a_computed_kind_writes_what_it_checks() -> None:
    kind = computed(
        "square_*.npz",
        "numpy",
        lambda z: {"y": z["x"] ** 2},
        0.0,
        {"square_1.npz": lambda rng: {"x": rng.integers(1, 100, 5)}},
        stored=lambda values: {"y": values["y"].astype(np.int16)},
    )
    made = kind.files["square_1.npz"](np.random.default_rng(0), Path())
    assert made["y"].dtype == np.int16
    z = Vectors(Path("square_1.npz"), made)
    assert [row.verdict for row in kind.check(z)] == ["ok"]
    z["y"] = z["y"] + np.eye(1, 5, 3, dtype=int)[0]
    assert [row.note[:9] for row in kind.check(z)] == ["at (3,): "]


def test_a_vector_file_is_read_without_executing_and_named_when_wrong(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, a=np.arange(3), n=np.float32(0.5))
    arrays = read_vectors(path)
    assert arrays["n"] == 0.5
    with pytest.raises(VectorError, match=r"x.npz: has no array 'b'"):
        arrays["b"]
    np.savez(path, a=np.array([object()], dtype=object))
    with pytest.raises(VectorError, match=r"x.npz: not a vector file"):
        read_vectors(path)
    path.write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(VectorError, match=r"x.npz"):
        read_vectors(path)
    with pytest.raises(VectorError, match=r"none.npz"):
        read_vectors(tmp_path / "none.npz")


def test_packages_are_found_without_importing_them() -> None:
    assert installed("numpy")
    assert not installed("no_such_package_of_any_name")
