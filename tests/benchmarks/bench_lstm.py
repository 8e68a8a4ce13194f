"""A training step of an LSTM layer, forward and backward, against torch.nn.LSTM of the same size, and
of the layers in integers and in block floating point against the hard one that they are fine-tuned from.

All run in turns, in float32 or under bfloat16 autocast. `extra_info` has how many times as fast ours is,
by the medians and by the best, against torch's layer in the same format, and against it in float32.
torch.nn.LSTM has no hard activations, so the hard layer runs against its soft one; the soft layer's
outputs are held against it before anything is timed, those of rounded layers against the readable
forms of their arithmetic. One thread and two.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from stream.encoders.lstm_layer import LSTMLayer as Reference
from stream.integer.fixed import lstm_cell
from train.compute.allocator import keep_freed_memory
from train.encoders import integer_lstm as quantised
from train.encoders.bfp16_lstm import BlockFloatingLSTM
from train.encoders.integer_lstm import QuantisedLSTM
from train.encoders.lstm_layer import LSTM

keep_freed_memory()  # as training does: page faults are a tenth of a step

ROUNDS = 7
FRAMES = 200
EXPONENT = 4  # of the quantised layer's input


@pytest.fixture(params=[1, 2], ids=["1 thread", "2 threads"], autouse=True)
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


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
    threads: int,
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
            f"\n{activation} {batch} x {FRAMES}, {inputs} -> {hidden} autocast={autocast}, "
            f"{threads} threads: "
            "{:.2f} x nn.LSTM (best {:.2f}), {:.2f} x it in float32".format(*ratios.values())
        )


def check_quantised(own: QuantisedLSTM, x: Any) -> None:
    """Hold the first frames of a row against `stream.integer.fixed`."""
    y, _ = own.step(x[:1, :5], own.initial_state(1), EXPONENT)
    weight_ih, weight_hh, bias, shifts = (
        v.detach().double().numpy() if isinstance(v, torch.Tensor) else v
        for v in own._quantise(EXPONENT)
    )
    scale = 2.0 ** (shifts.out + 12)
    h = c = np.zeros((1, own.hidden), np.int64)
    for t in range(5):
        frame = np.clip(np.rint(x[:1, t].detach().double().numpy() * 16), -128, 127) / 16
        acc = (frame @ weight_ih.T + h / 128 @ weight_hh.T + bias) * scale  # exact in float64
        h, c = lstm_cell(acc.astype(np.int64), c, shifts.out)
        assert (y[:, t].detach().numpy() * 128 == h).all()


def check_block_floating(own: BlockFloatingLSTM, x: Any) -> None:
    """Hold the first frames of a row against `stream.encoders.lstm`; sums are in another order."""
    with torch.no_grad():
        y, _ = own.step(x[:1, :5], own.initial_state(1))
    arrays = {name: value.detach().numpy() for name, value in own.named_parameters()}
    reference = Reference(arrays, own.activation, "bfp16")
    want, _ = reference.step(x[:1, :5].detach().numpy(), reference.initial_state(1))
    np.testing.assert_allclose(y, want, rtol=2.0**-6, atol=2.0**-6)


@pytest.mark.parametrize("arithmetic", ["int8", "int8 by float products", "bfp16"])
@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("inputs", "hidden", "batch"), [(240, 512, 32), (240, 1024, 16), (512, 512, 8), (256, 256, 32)]
)
def test_rounded_training_step(
    benchmark: Any,
    capsys: Any,
    monkeypatch: pytest.MonkeyPatch,
    inputs: int,
    hidden: int,
    batch: int,
    autocast: bool,
    arithmetic: str,
    threads: int,
) -> None:
    if arithmetic == "int8" and not quantised.int8_pays():
        pytest.skip("this CPU has no instructions for int8")
    monkeypatch.setattr(quantised, "int8_pays", lambda: arithmetic == "int8")
    torch.manual_seed(0)
    torch.set_flush_denormal(True)
    x = torch.randn(batch, FRAMES, inputs, requires_grad=True)
    hard, soft = layers("hard", inputs, hidden)
    own: LSTM
    if arithmetic == "bfp16":
        own = BlockFloatingLSTM(inputs, hidden, "hard")
        own.load_state_dict(hard.state_dict())
        check_block_floating(own, x)
    else:
        own = QuantisedLSTM("quantised", inputs, hidden, bits=8)
        own.load_state_dict(hard.state_dict())
        check_quantised(own, x)
    ours = training_step(lambda x: own.step(x, own.initial_state(batch), EXPONENT)[0], x, autocast)
    steps = {
        "hard": training_step(lambda x: hard.step(x, hard.initial_state(batch))[0], x, autocast),
        "nn_lstm_float32": training_step(lambda x: soft(x)[0], x, False),
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}

    def time_others() -> None:
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - began)

    benchmark.pedantic(ours, setup=time_others, rounds=ROUNDS, warmup_rounds=1)
    if benchmark.disabled:
        return
    own_seconds = benchmark.stats.stats
    ratios = {
        "times_as_fast_as_hard": statistics.median(seconds["hard"]) / own_seconds.median,
        "times_as_fast_as_hard_best": min(seconds["hard"]) / own_seconds.min,
        "times_as_fast_as_nn_lstm_in_float32": (
            statistics.median(seconds["nn_lstm_float32"]) / own_seconds.median
        ),
    }
    benchmark.extra_info.update(ratios)
    with capsys.disabled():
        print(
            f"\n{arithmetic} {batch} x {FRAMES}, {inputs} -> {hidden} "
            f"autocast={autocast}, {threads} threads: "
            "{:.2f} x the hard layer (best {:.2f}), {:.2f} x nn.LSTM in float32".format(
                *ratios.values()
            )
        )
