"""A training step of an LSTM layer, forward and backward, against torch.nn.LSTM of the same size.

All run in turns, in float32 or under bfloat16 autocast. `extra_info` has how many times as fast ours is,
by the medians and by the best, against torch's layer in the same format, and against it in float32.
torch.nn.LSTM has no hard activations, so the hard layer runs against its soft one; the soft layer's
outputs are held against it before anything is timed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from train.layers import LSTM  # noqa: E402

ROUNDS = 7
FRAMES = 200


def layers(activation: Any, inputs: int, hidden: int) -> tuple[LSTM, Any]:
    """Return our layer and torch's with the same weights."""
    own = LSTM(inputs, hidden, activation)
    own.initialise(torch.Generator().manual_seed(0), scale=1.0)
    theirs = torch.nn.LSTM(inputs, hidden, batch_first=True)
    with torch.no_grad():
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(theirs, f"{name}_l0").copy_(getattr(own, name))
    return own, theirs


def training_step(forward: Callable[[Any], Any], x: Any, autocast: bool) -> Callable[[], None]:
    def step() -> None:
        x.grad = None
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            y = forward(x)
        y.float().square().sum().backward()

    return step


@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("inputs", "hidden", "batch"), [(240, 512, 32), (240, 1024, 16), (512, 512, 8), (256, 256, 32)]
)
@pytest.mark.parametrize("activation", ["hard", "soft"])
def test_training_step(
    benchmark: Any,
    capsys: Any,
    activation: Any,
    inputs: int,
    hidden: int,
    batch: int,
    autocast: bool,
) -> None:
    torch.manual_seed(0)
    torch.set_flush_denormal(True)  # as in training
    x = torch.randn(batch, FRAMES, inputs, requires_grad=True)
    soft, theirs = layers("soft", inputs, hidden)
    with torch.no_grad():
        y, _ = soft.step(x, soft.initial_state(batch))
        torch.testing.assert_close(y, theirs(x)[0], rtol=0, atol=1e-5)
    own, _ = layers(activation, inputs, hidden)
    ours = training_step(lambda x: own.step(x, own.initial_state(batch))[0], x, autocast)
    formats = (False, True) if autocast else (False,)
    steps = {bf16: training_step(lambda x: theirs(x)[0], x, bf16) for bf16 in formats}
    seconds: dict[bool, list[float]] = {bf16: [] for bf16 in formats}

    def time_theirs() -> None:
        for bf16, step in steps.items():
            began = time.perf_counter()
            step()
            seconds[bf16].append(time.perf_counter() - began)

    benchmark.pedantic(ours, setup=time_theirs, rounds=ROUNDS, warmup_rounds=1)
    if benchmark.disabled:
        return
    own_seconds = benchmark.stats.stats
    same, float32 = seconds[autocast][1:], seconds[False][1:]
    ratios = {
        "times_as_fast_as_nn_lstm": statistics.median(same) / own_seconds.median,
        "times_as_fast_as_nn_lstm_best": min(same) / own_seconds.min,
        "times_as_fast_as_nn_lstm_in_float32": statistics.median(float32) / own_seconds.median,
    }
    benchmark.extra_info.update(ratios)
    with capsys.disabled():
        print(
            f"\n{activation} {batch} x {FRAMES}, {inputs} -> {hidden} autocast={autocast}: "
            "{:.2f} x nn.LSTM (best {:.2f}), {:.2f} x it in float32".format(*ratios.values())
        )
