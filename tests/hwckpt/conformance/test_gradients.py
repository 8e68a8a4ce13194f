"""Vectors of losses and training steps: every array of them counts, and the references agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.hwckpt.conformance.vector_files import arrays, passes
from tests.places import VECTORS

pytest.importorskip("torch")

TRAINING = (
    "norm_v1.14.0.npz",
    "schedules.npz",
    "train_grad_v1.14.0.npz",
    "train_grad_v1.4.0_hard.npz",
)
# Steps around which nothing happens, so that another one changes nothing.
IDLE = {"norm_ratio_steps"}


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINING)
def test_every_array_of_a_file_counts(name: str, tmp_path: Path) -> None:
    content = arrays(VECTORS / name)
    for key, value in content.items():
        flat = value.reshape(-1).copy()
        middle = flat.size // 2
        if flat.dtype.kind == "U":
            flat[middle] = "another"
        else:
            flat[middle] += 1000 if flat.dtype.kind == "i" else 0.01
        np.savez(tmp_path / name, **{**content, key: flat.reshape(value.shape)})
        assert passes(tmp_path) == (key in IDLE), key


def test_the_lattice_is_the_fast_loss() -> None:
    for name in ("loss_vanilla.npz", "loss_star_delay_eos.npz"):
        z = arrays(VECTORS / name)
        np.testing.assert_allclose(-z["beta"][:, 0, 0], z["loss"], atol=1e-12)
        assert not z["grad_of_mean"][z["logit_lens"].argmin(), z["logit_lens"].min() :].any()
