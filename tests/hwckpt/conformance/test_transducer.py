"""Vectors of the transducer's stages: what they hold, and that a change in any of them is noticed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from hwckpt.conformance import comparison
from tests.hwckpt.conformance.vector_files import arrays, check
from tests.places import VECTORS


def test_files_hold_tokens_that_a_cap_changes() -> None:
    for name in ("transducer_v1.4.0_hard.npz", "transducer_v1.14.0.npz"):
        z = arrays(VECTORS / name)
        assert len(z["greedy_tokens_b0_max30"]) > 3
        assert len(z["greedy_tokens_b0_max1"]) < len(z["greedy_tokens_b0_max30"])


@pytest.mark.parametrize(
    "name",
    ["pre_rnn_out", "post_c", "stacked", "stacked_lens", "encoder_out", "joint_pred_out", "pred_h"]
    + ["logits", "greedy_tokens_b0_max30", "greedy_frames_b1_max1"],
)
def test_a_changed_array_fails_and_no_other(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "installed", lambda package: package == "numpy")
    shutil.copy(VECTORS / "hwckpt_v1.4.0.pt", tmp_path)
    z = arrays(VECTORS / "transducer_v1.4.0_hard.npz")
    z[name].flat[0] += 1
    path = tmp_path / "transducer_v1.4.0_hard.npz"
    np.savez(path, **z)
    assert {row.stage for row in check(path) if row.verdict == "FAIL"} == {name}
