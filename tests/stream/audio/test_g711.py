from __future__ import annotations

import warnings

import numpy as np
import pytest

from stream.audio.g711 import A_LAW, MU_LAW


def test_tables_are_antisymmetric_and_reach_nearly_full_scale() -> None:
    for table, loudest in ((MU_LAW, 32124), (A_LAW, 32256)):
        assert table.shape == (256,)
        assert table.dtype == np.float32
        np.testing.assert_array_equal(table[:128], -table[128:])
        assert table.max() == np.float32(loudest / 32768)


def test_silence_is_silence() -> None:
    assert MU_LAW[0xFF] == 0.0
    assert A_LAW[0xD5] == np.float32(8 / 32768)  # this code has no zero


def test_tables_equal_the_standard_librarys() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        audioop = pytest.importorskip("audioop", reason="Python 3.13 has no audioop")
    for table, decode in ((MU_LAW, audioop.ulaw2lin), (A_LAW, audioop.alaw2lin)):
        values = np.frombuffer(decode(bytes(range(256)), 2), np.int16)
        np.testing.assert_array_equal(table, values.astype(np.float32) / 32768)
