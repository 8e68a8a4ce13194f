"""Vectors of the fixed front end reach every edge, and catch a change of any constant or table."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwckpt.conformance import fixed_front_end
from hwckpt.conformance.comparison import VectorError
from hwckpt.conformance.table import check_set
from stream.integer import log_mel as fixed_log_mel
from stream.integer import normaliser as fixed_normaliser
from stream.integer.fixed import Ints
from tests.hwckpt.conformance.vector_files import arrays, check
from tests.places import VECTORS

FILES = sorted(VECTORS.glob("fixed_*.npz"), key=lambda path: "operators" not in path.name)
CACHED = (
    fixed_log_mel.window_weights,
    fixed_log_mel.twiddles,
    fixed_log_mel.mel_weights,
    fixed_log_mel.log2_table,
    fixed_normaliser.inverse_root_table,
)


@pytest.fixture(autouse=True)
def fresh_tables() -> Iterator[None]:
    """Tables are made again from what a mutant changed, and again after it."""
    for table in CACHED:
        table.cache_clear()
    yield
    for table in CACHED:
        table.cache_clear()


def caught() -> bool:
    """Whether a stage fails in any file, or raises in place of an answer."""
    for path in FILES:
        try:
            if any(row.verdict == "FAIL" for row in check(path)):
                return True
        except (ArithmeticError, IndexError, ValueError):
            return True
    return False


def test_the_references_pass() -> None:
    assert len(FILES) == 17
    assert not caught()


CONSTANTS = [
    (fixed_log_mel, "EMPHASIS", +1),
    (fixed_log_mel, "ONE_SAMPLE", -1),
    (fixed_log_mel, "ONE_WINDOW", -1),
    (fixed_log_mel, "MANTISSA_BITS", -1),
    (fixed_log_mel, "HEADROOM", +1),
    (fixed_log_mel, "HEADROOM", -1),
    (fixed_log_mel, "ONE_TWIDDLE", -1),
    (fixed_log_mel, "ONE_MEL", -1),
    (fixed_log_mel, "ENERGY_SCALE", +1),
    (fixed_log_mel, "TABLE_BITS", -1),
    (fixed_log_mel, "LINE_BITS", -1),
    (fixed_log_mel, "LINE_BITS", +1),
    (fixed_log_mel, "ONE_TABLE", -1),
    (fixed_log_mel, "FRACTION", -1),
    (fixed_normaliser, "MEAN", -1),
    (fixed_normaliser, "VARIANCE", -1),
    (fixed_normaliser, "DIFFERENCE", -1),
    (fixed_normaliser, "DIFFERENCE", +1),
    (fixed_normaliser, "ALPHA", -1),
    (fixed_normaliser, "NEAR_POWER", -1 / 64),
    (fixed_normaliser, "ROOT_BITS", +1),
    (fixed_normaliser, "TABLE_BITS", -1),
    (fixed_normaliser, "LINE_BITS", -1),
    (fixed_normaliser, "LINE_BITS", +1),
    (fixed_normaliser, "FIRST_ENTRY", +1),
    (fixed_normaliser, "ONE_ROOT", -1),
    (fixed_normaliser, "INT8_LEAST", +1),
    (fixed_normaliser, "INT8_MOST", -1),
]


@pytest.mark.parametrize(
    ("module", "name", "change"), CONSTANTS, ids=lambda v: getattr(v, "__name__", str(v))
)
def test_a_constant_that_is_changed_is_caught(
    module: Any, name: str, change: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, getattr(module, name) + change)
    assert caught()


def half_up(a: Ints, s: int) -> Ints:
    return (a + (1 << (s - 1))) >> s


def half_down(a: Ints, s: int) -> Ints:
    return -half_up(-a, s)


def half_away(a: Ints, s: int) -> Ints:
    return np.sign(a) * half_up(np.abs(a), s)


def downwards(a: Ints, s: int) -> Ints:
    return a >> s


# Functions, and which of their roundings; the second of `normalise` is that of `inverse_root`.
ROUNDINGS = [
    ("block", 0),
    ("_halves", 0),
    ("log2", 0),
    *(("update", call) for call in range(4)),
    ("inverse_root", 0),
    ("normalise", 0),
    ("normalise", 2),
]


@pytest.mark.parametrize("rounding", [half_up, half_down, half_away, downwards])
@pytest.mark.parametrize(("function", "call"), ROUNDINGS)
def test_another_way_of_any_rounding_is_caught(
    function: str,
    call: int,
    rounding: Callable[[Ints, int], Ints],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module: Any = fixed_log_mel if hasattr(fixed_log_mel, function) else fixed_normaliser
    original, exact = getattr(module, function), fixed_log_mel.rhe

    def mutant(*arguments: Any) -> Any:
        calls = itertools.count()
        with monkeypatch.context() as inner:
            inner.setattr(
                module, "rhe", lambda a, s: (rounding if next(calls) == call else exact)(a, s)
            )
            return original(*arguments)

    monkeypatch.setattr(module, function, mutant)
    monkeypatch.setattr(fixed_front_end, function, mutant, raising=False)
    assert caught()


@pytest.mark.parametrize(
    ("module", "name", "entries"),
    [
        (fixed_log_mel, "log2_table", 65),
        (fixed_normaliser, "inverse_root_table", 97),
    ],
)
def test_every_entry_of_a_small_table_counts(
    module: Any, name: str, entries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = getattr(module, name)()
    assert len(table) == entries
    path = VECTORS / "fixed_operators.npz"
    for entry in range(entries):
        other = table.copy()
        other[entry] += 64
        with monkeypatch.context() as inner:
            inner.setattr(module, name, lambda other=other: other)
            rows = list(check(path))
        assert any(row.verdict == "FAIL" for row in rows), entry


@pytest.mark.parametrize("table", ["window_weights", "twiddles", "mel_weights"])
def test_a_changed_entry_of_a_large_table_is_caught(
    table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = getattr(fixed_log_mel, table)

    def mutant(*arguments: int) -> Ints:
        other: Ints = original(*arguments).copy()
        middle = np.flatnonzero(other)[other.size // 4 % np.count_nonzero(other)]
        other.flat[middle] += 64
        return other

    monkeypatch.setattr(fixed_log_mel, table, mutant)
    assert caught()


def test_the_files_hold_saturation_and_the_floor() -> None:
    z = arrays(VECTORS / "fixed_operators.npz")
    for e in range(8):
        assert {-128, 127} <= set(z[f"normalise_out_{e}"].tolist())
    assert (z["update_variance_after"] == 1).any()
    assert (z["log2_out"] == z["log2_floor"]).any()
    assert set(range(47)) <= set(z["block_exponent"].tolist())
    assert (
        arrays(VECTORS / "fixed_logmel_silence.npz")["frames"] == round(np.log2(1e-20) * 1024)
    ).all()
    # The largest values that a stream can bring.
    z = arrays(VECTORS / "fixed_logmel_nyquist.npz")
    assert np.abs(z["emphasised"].astype(np.int64)).max() > 2**30 + 2**29


def test_signals_hold_every_kind_of_start_and_end() -> None:
    kinds = set()
    for path in VECTORS.glob("fixed_logmel_*.npz"):
        z = arrays(path)
        kinds.add((bool(z["initial_padding"]), bool(z["final_padding"]), len(z["frames"]) == 1))
        assert len(z["frames"]) >= 1
    assert {(False, False, False), (False, False, True), (True, True, False)} <= kinds
    assert (True, False, True) in kinds


@pytest.mark.parametrize("change", ["kind", "shape", "value"])
def test_a_damaged_file_is_named(tmp_path: Path, change: str) -> None:
    z = arrays(VECTORS / "fixed_ewma_a0.05.npz")
    if change == "kind":
        z["q_a"] = z["q_a"].astype(np.float32)
    elif change == "shape":
        z["q_a"] = z["q_a"][:-1]
    else:
        z["q_a"][3, 5] ^= 1
    np.savez(tmp_path / "fixed_ewma_a0.05.npz", **z)
    if change == "kind":
        with pytest.raises(VectorError, match="fixed_ewma.*q_a is float32, wants integers"):
            list(check_set(tmp_path))
    else:
        failed = [line.row for line in check_set(tmp_path) if line.row.verdict == "FAIL"]
        assert [row.stage for row in failed] == ["q_a"]
        assert ("at (3, 5)" if change == "value" else "shape") in failed[0].note
