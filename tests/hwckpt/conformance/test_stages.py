"""Vectors of the stages: the edges that they hold, and the blend of normalisations."""

from __future__ import annotations

import numpy as np

from stream.encoders.lstm_layer import lstm_stack
from tests.hwckpt.conformance.vector_files import arrays
from tests.places import VECTORS


def test_hard_files_saturate() -> None:
    for name in ("lstm_hard_saturated.npz", "lstm_hard_forget_bias.npz"):
        z = arrays(VECTORS / name)
        assert np.abs(z["cn"]).max() > 1.0
    z = arrays(VECTORS / "train_grad_v1.4.0_hard.npz")
    layers = [
        {
            key: z[f"w:encoder.pre_rnn.lstm.{key}_l{n}"]
            for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        }
        for n in range(2)
    ]
    first = layers[0]
    a = z["x"] @ first["weight_ih"].T + first["bias_ih"] + first["bias_hh"]
    assert (np.abs(a) > 4.0).any()
    stack = lstm_stack(layers, "hard", "float32")
    x = np.ascontiguousarray(z["x"].transpose(1, 0, 2))
    _, after = stack.step(x, stack.initial_state(len(x)))
    assert np.abs(after[0][1]).max() > 1.0


def test_quantiser_files_hold_ties_and_saturation() -> None:
    z = arrays(VECTORS / "bfp16_quant.npz")
    pattern = z["bf16_in"].view(np.uint32)
    assert ((pattern & 0xFFFF) == 0x8000).any()
    blocks = z["bfp_dim1_in"].reshape(5, -1, 8)
    largest = np.abs(z["bfp_dim1_in"]).reshape(5, -1, 8).max(axis=-1, keepdims=True)
    units = blocks / 2.0 ** (np.floor(np.log2(np.maximum(largest, 2.0**-120))) - 6)
    assert (units % 1.0 == 0.5).any()
    assert (np.abs(units) > 127.0).any()
    assert (largest == 0.0).any()


def test_short_signals_are_refused_or_give_one_frame() -> None:
    accepted = {
        n: int(arrays(VECTORS / f"logmel_v1.4_len{n}.npz")["accepted_w20"]) for n in (1, 160, 161)
    }
    assert accepted == {1: 0, 160: 0, 161: 1}
    assert "short_frame_w20" in arrays(VECTORS / "logmel_v1.4_len319.npz")
    assert "short_frame_w20" not in arrays(VECTORS / "logmel_v1.4_len320.npz")
