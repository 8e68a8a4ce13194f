"""Training steps of encoders, forward and backward, in turns: seconds of audio a second of one core.

The bundled model's LSTM; a Conformer of `configs/en-commands-conformer.toml`, with Mamba-2 and without; the
same without, by the readable lines of its `step`; and as one would write it with torch.nn.MultiheadAttention
and a mask over the whole utterance, which knows no chunks but those of the mask. CPU time of one thread,
medians. Nothing is asserted about time.

pytest tests/benchmarks/train/bench_encoders.py -o python_files='bench_*.py' -s
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import msgspec
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn
from torch.nn import functional

from stream.encoders.conformer import Conformer
from stream.model.specification import Specification
from train.config.learning import Dropout
from train.encoders import encoder_form
from train.encoders.step_form import StepForm

ROWS, SECONDS, ROUNDS = 16, 3.84, 7
SIZES = Conformer(
    depth=9,
    size=144,
    heads=4,
    groups=2,
    kernel=9,
    mamba_every=3,
    mamba_heads=4,
    mamba_state=32,
    feed_forward=288,
    subsampling=6,
    chunk_ms=240,
)
WITHOUT_MAMBA = msgspec.structs.replace(SIZES, mamba_every=0)


class PlainLayer(nn.Module):
    """A Conformer layer of torch's modules."""

    def __init__(self, sizes: Conformer) -> None:
        super().__init__()
        size, inner = sizes.size, sizes.feed_forward
        self.norms = nn.ModuleList(nn.RMSNorm(size) for _ in range(6))
        self.inputs = nn.ModuleList(nn.Linear(size, 2 * inner, bias=False) for _ in range(2))
        self.outputs = nn.ModuleList(nn.Linear(inner, size, bias=False) for _ in range(2))
        self.attention = nn.MultiheadAttention(size, sizes.heads, bias=False, batch_first=True)
        self.before, self.after = nn.Linear(size, 2 * size), nn.Linear(size, size)
        self.depthwise = nn.Conv1d(size, size, sizes.kernel, groups=size)
        self.left = sizes.kernel - 1

    def feed_forward(self, x: Tensor, n: int) -> Tensor:
        gate, value = self.inputs[n](self.norms[n](x)).chunk(2, -1)
        return 0.5 * functional.dropout(self.outputs[n](functional.silu(gate) * value), 0.1)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        x = x + self.feed_forward(x, 0)
        y = self.norms[2](x)
        x = x + functional.dropout(self.attention(y, y, y, attn_mask=hidden)[0], 0.1)
        y = functional.glu(self.before(self.norms[3](x)))
        y = self.depthwise(functional.pad(y.mT, (self.left, 0))).mT.float()
        x = x + functional.dropout(self.after(functional.silu(self.norms[4](y))), 0.1)
        x = x + self.feed_forward(x, 1)
        return self.norms[5](x)


class Plain(nn.Module):
    """A Conformer of torch's modules, over whole utterances."""

    def __init__(self, sizes: Conformer) -> None:
        super().__init__()
        self.sizes, channels = sizes, sizes.channels
        self.first = nn.Conv2d(1, channels, (3, 3), (2, 2), (1, 1))
        self.second = nn.Conv2d(channels, channels, (5, 3), (3, 2), (2, 1))
        self.output = nn.Linear(20 * channels, sizes.size)
        self.layers = nn.ModuleList(PlainLayer(sizes) for _ in range(sizes.depth))

    def forward(self, x: Tensor) -> Tensor:
        y = functional.silu(self.second(functional.silu(self.first(x[:, None]))))
        y = self.output(y.permute(0, 2, 1, 3).flatten(2)).float()
        frames = torch.arange(y.shape[1])
        begin = frames // self.sizes.chunk_frames * self.sizes.chunk_frames
        near = (frames >= begin[:, None] - self.sizes.left) & (
            frames < begin[:, None] + self.sizes.chunk_frames
        )
        for layer in self.layers:
            y = layer(y, ~near)
        return y


def form_of(encoder: Conformer | None) -> Any:
    more = {} if encoder is None else {"other_encoder": encoder}
    specification = Specification(vocabulary=100, activation="soft", **more)
    form = encoder_form(specification, normalised=True, dropout=Dropout())
    form.initialise(torch.Generator().manual_seed(0))
    return form


def frames_of(form: Any) -> Any:
    """Return the function from log-mel frames to the output of a form."""
    sizes = form.sizes if isinstance(form, nn.Module) and hasattr(form, "sizes") else None
    stack = 1 if sizes is not None or isinstance(form, StepForm) else 3

    def run(x: Tensor) -> Tensor:
        x = x.reshape(len(x), x.shape[1] // stack, -1)
        present = torch.ones(x.shape[:2], dtype=torch.bool)
        y: Tensor = form.step(x, form.initial_state(len(x)), present)[0]
        return y

    return run


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training_steps(precision: str) -> None:
    by_lines = StepForm(WITHOUT_MAMBA, WITHOUT_MAMBA.shapes())
    by_lines.initialise(torch.Generator().manual_seed(0))
    encoders: dict[str, Any] = {
        "LSTM": frames_of(form_of(None)),
        "Conformer with Mamba-2": frames_of(form_of(SIZES)),
        "Conformer": frames_of(form_of(WITHOUT_MAMBA)),
        "Conformer, readable lines": frames_of(by_lines),
        "torch.nn.MultiheadAttention": Plain(WITHOUT_MAMBA).train(),
    }
    x = torch.randn(ROWS, int(100 * SECONDS), 80)
    before, seconds = torch.get_num_threads(), {name: [] for name in encoders}
    torch.set_num_threads(1)
    try:
        for turn in range(-1, ROUNDS):
            for name, encode in encoders.items():
                began = time.process_time()
                with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                    y = encode(x)
                assert y.shape[:2] == (ROWS, x.shape[1] // 6)
                y.float().square().mean().backward()
                if turn >= 0:
                    seconds[name].append(time.process_time() - began)
    finally:
        torch.set_num_threads(before)
    for name, each in seconds.items():
        print(f"{precision:9} {name:28} {ROWS * SECONDS / statistics.median(each):6.0f}")
