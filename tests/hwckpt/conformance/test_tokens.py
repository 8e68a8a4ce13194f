"""Vectors from samples to tokens: what they hold, and that a change in them is noticed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from tests.hwckpt.conformance.vector_files import arrays, check
from tests.places import VECTORS


def test_files_hold_tokens_of_several_kinds() -> None:
    for path in VECTORS.glob("pcm_to_tokens_*.npz"):
        z = arrays(path)
        tokens = [z[f"tokens_{i}"] for i in range(int(z["num"]))]
        assert len(np.unique(np.concatenate(tokens))) > 3, path.name
        assert min(float(z[f"min_margin_{i}"]) for i in range(int(z["num"]))) > 1e-3


def test_segments_hold_tokens_that_are_merged() -> None:
    z = arrays(VECTORS / "state_resets_v1.14.0.npz")
    for tag in ("s0.6_o0.18", "s0.33_o0", "off"):
        assert len(set(z[f"tokens_{tag}_0"].tolist())) > 2
    segments = [len(value) for key, value in z.items() if "segment_tokens_s0.6" in key]
    assert segments[0] < len(z["tokens_s0.6_o0.18_0"]) < sum(segments)
    assert not np.array_equal(z["tokens_s0.6_o0.18_0"], z["tokens_off_0"])


def test_a_changed_segment_fails_and_so_does_a_changed_merge(tmp_path: Path) -> None:
    shutil.copy(VECTORS / "hwckpt_v1.14.0.pt", tmp_path)
    z = arrays(VECTORS / "state_resets_v1.14.0.npz")
    name = next(key for key in z if key.startswith("tokens_s"))
    z[name] = z[name][:-1]
    path = tmp_path / "state_resets_v1.14.0.npz"
    np.savez(path, **z)
    rows = [row for row in check(path) if row.backend == "numpy"]
    assert {row.stage for row in rows if row.verdict == "FAIL"} == {name}
