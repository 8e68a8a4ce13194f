"""One epoch of a run with our LSTM and one with torch.nn.LSTM in its place: seconds of audio learned a second.

    python -m tests.benchmarks.train.epoch --config configs/en-commands.toml

Both models learn the same batches in turn, so a busy machine slows both. Each update is a whole one: features,
normalisation, encoder, loss, gradients, optimiser and average, in the precision that is faster for the layer.
torch.nn.LSTM has no hard activations, so the configuration's have to be soft. Augmentation is drawn before and
counts for neither.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor

from stream.process import reports_errors, run_main
from stream.progress import show_count
from train.config.file import load_config
from train.config.run import ConfigError
from train.encoders.lstm_layer import LSTM
from train.run.beginning import start_of
from train.run.learned import Learned
from train.run.learner import Learner
from train.run.material import material_of

WARM_UP = 3  # updates that are not counted


def by_torch(
    self: LSTM, x: Tensor, h: Tensor, c: Tensor, exponent: int, lengths: object
) -> tuple[Tensor, Tensor, Tensor]:
    """Run a layer by the function that torch.nn.LSTM calls."""
    weights: list[Tensor] = [self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh]
    state = h[None], c[None]
    y, h, c = torch.lstm(x, state, weights, True, 1, 0.0, self.training, False, False)
    return y, h[0], c[0]


class TorchLSTM(LSTM):
    """Our layer's weights, computed by torch."""

    _recur = by_torch


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.train.epoch", allow_abbrev=False
    )
    parser.add_argument("--config", default="configs/en-commands.toml", metavar="TOML")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--updates", type=int, metavar="N", help="(default: those of an epoch)")
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
    config = load_config(arguments.config, arguments.set)
    if config.model.get("activation") != "soft":
        raise ConfigError("model.activation is not soft, and torch.nn.LSTM has no other")
    torch.set_flush_denormal(True)
    with tempfile.TemporaryDirectory() as folder:
        start = start_of(config, None, None, Path(folder))
        material = material_of(config, start)
    learners = {"ours": Learner(config, start, material)}
    with mock.patch.object(LSTM, "_recur", by_torch):
        learners["torch.nn.LSTM"] = Learner(config, start, material)
    for module in learners["torch.nn.LSTM"].model.modules():
        if type(module) is LSTM:
            module.__class__ = TorchLSTM
    updates = arguments.updates or math.ceil(
        material.recordings.hours * 3600 / config.batches.seconds
    )
    seconds: dict[str, list[float]] = {name: [] for name in learners}
    learned: dict[str, Learned] = {}
    audio = 0.0
    for update in range(WARM_UP + updates):
        batch = material.batches.batch(update)
        for name in list(learners) if update % 2 else list(reversed(learners)):
            began = time.perf_counter()
            learned[name] = learners[name].learn([batch])
            if update >= WARM_UP:
                seconds[name].append(time.perf_counter() - began)
        audio += learned["ours"].seconds if update >= WARM_UP else 0.0
        show_count(update + 1, WARM_UP + updates)
    print(f"{updates} updates, {audio / 3600:.2f} h of audio, {torch.get_num_threads()} threads")
    for name, each in seconds.items():
        print(
            f"{name:14} {learners[name].config.precision:9} {audio / sum(each):5.0f} s of audio a second, loss "
            f"{learned[name].losses.total:.3f} at the end"
        )
    ratios = [theirs / ours for ours, theirs in zip(*seconds.values(), strict=True)]
    print(f"ours is {statistics.median(ratios):.2f} times as fast (median over the updates)")
    return 0


if __name__ == "__main__":
    run_main(main)
