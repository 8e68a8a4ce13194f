"""The transducer loss, forward and backward, against plain autograd: time and memory.

Once on given logits, (B, T, U + 1, C), and once fused with the joint that makes them. Plain autograd is
what one writes first: a log-softmax, and the forward variable diagonal by diagonal in torch operations.
Both run in turns; `extra_info` has how many times as fast ours is, by the medians and by the best, and
the ratio of their peak memory, each in a process of its own above what inputs and libraries take.
"""

from __future__ import annotations

import multiprocessing
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from train.loss.transducer import joint_transducer_loss, transducer_loss

ROUNDS = 5
# B, T, U, classes, joint
SIZES = [(4, 100, 20, 256, 256), (8, 150, 40, 512, 256), (16, 150, 40, 1024, 512)]


def inputs(loss: Any, size: tuple[int, ...]) -> dict[str, Any]:
    """Return what a loss wants: encoder and prediction outputs or logits, and full-length rows."""
    rows, steps, labels, classes, units = size
    torch.manual_seed(0)
    leaves = {
        "f": torch.randn(rows, steps, units),
        "g": torch.randn(rows, labels + 1, units),
        "weight": torch.randn(classes, units) / units**0.5,
        "bias": torch.zeros(classes),
    }
    if loss in (on_logits, plain_on_logits):
        leaves = {"logits": joint(leaves).detach()}
    for leaf in leaves.values():
        leaf.requires_grad_()
    return {
        **leaves,
        "targets": torch.randint(0, classes - 1, (rows, labels)),
        "steps": torch.full((rows,), steps),
        "labels": torch.full((rows,), labels),
    }


def joint(z: dict[str, Any]) -> Any:
    """Return the logits, (B, T, U + 1, C)."""
    return torch.relu(z["f"][:, :, None] + z["g"][:, None]) @ z["weight"].t() + z["bias"]


def fused(z: dict[str, Any]) -> Any:
    return joint_transducer_loss(
        z["f"], z["g"], z["weight"], z["bias"], z["targets"], z["steps"], z["labels"]
    )


def plain_joint(z: dict[str, Any]) -> Any:
    return _plain(joint(z), z)


def on_logits(z: dict[str, Any]) -> Any:
    blank = z["logits"].shape[-1] - 1
    return transducer_loss(
        z["logits"], z["targets"], z["steps"], z["labels"], blank, overwrite=True
    )


def plain_on_logits(z: dict[str, Any]) -> Any:
    return _plain(z["logits"], z)


def _plain(logits: Any, z: dict[str, Any]) -> Any:
    """Compute the losses of rows of full length by autograd alone, (B,)."""
    log_probabilities = logits.log_softmax(-1)
    rows, steps, nodes = log_probabilities.shape[:3]
    blank = log_probabilities[..., -1]
    ids = z["targets"][:, None, :, None].expand(rows, steps, nodes - 1, 1)
    label = log_probabilities[:, :, :-1].gather(-1, ids)[..., 0]
    nothing = blank.new_full((rows, 1), -1e30)
    alpha = torch.cat([blank.new_zeros(rows, 1), nothing.expand(rows, nodes - 1)], 1)  # t = -u
    u = torch.arange(nodes)
    for diagonal in range(1, steps + nodes - 1):
        t = diagonal - u
        inside = (t >= 0) & (t < steps)
        stay = alpha + blank[:, (t - 1).clamp(0, steps - 1), u].where(t >= 1, nothing)
        emit = alpha[:, :-1] + label[:, t[1:].clamp(0, steps - 1), u[:-1]]
        alpha = torch.logaddexp(stay, torch.cat([nothing, emit], 1)).where(inside, nothing)
    return -(alpha[:, -1] + blank[:, -1, -1])


def training_step(loss: Callable[[dict[str, Any]], Any], z: dict[str, Any]) -> Any:
    for value in z.values():
        value.grad = None
    losses = loss(z)
    losses.sum().backward()
    return losses.detach()


def _peak(loss: Callable[[dict[str, Any]], Any], size: tuple[int, ...], answer: Any) -> None:
    training_step(loss, inputs(loss, (1, 4, 2, 8, 8)))  # compiles, loads
    z = inputs(loss, size)
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak back to what is in use
    before = _high_water()
    training_step(loss, z)
    answer.send(_high_water() - before)


def _high_water() -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1])


def peak_kilobytes(loss: Callable[[dict[str, Any]], Any], size: tuple[int, ...]) -> int:
    """Return by how much a step raises a fresh process's memory, gradients included; Linux only."""
    context = multiprocessing.get_context("spawn")
    answer, child = context.Pipe(duplex=False)
    process = context.Process(target=_peak, args=(loss, size, child))
    process.start()
    peak = int(answer.recv())
    process.join()
    return peak


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(
    ("ours", "plain"),
    [(on_logits, plain_on_logits), (fused, plain_joint)],
    ids=["on given logits", "fused with the joint"],
)
def test_loss(benchmark: Any, capsys: Any, ours: Any, plain: Any, size: tuple[int, ...]) -> None:
    z = inputs(ours, size)
    leaf = "logits" if "logits" in z else "f"
    reference = training_step(plain, z)
    gradient = z[leaf].grad.clone()
    torch.testing.assert_close(training_step(ours, z), reference, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(z[leaf].grad, gradient, rtol=1e-3, atol=1e-4)
    seconds: list[float] = []
    original = z[leaf].detach().clone()

    def time_plain() -> None:
        z[leaf].detach().copy_(original)  # ours writes the gradient there
        began = time.perf_counter()
        training_step(plain, z)
        seconds.append(time.perf_counter() - began)

    benchmark.pedantic(training_step, args=(ours, z), setup=time_plain, rounds=ROUNDS)
    if benchmark.disabled:
        return
    own_seconds = benchmark.stats.stats
    ratio, best = statistics.median(seconds) / own_seconds.median, min(seconds) / own_seconds.min
    megabytes = [peak_kilobytes(loss, size) / 1024 for loss in (ours, plain)]
    benchmark.extra_info["times_as_fast_as_autograd"] = ratio
    benchmark.extra_info["times_as_fast_as_autograd_best"] = best
    benchmark.extra_info["megabytes"] = megabytes[0]
    benchmark.extra_info["megabytes_of_autograd"] = megabytes[1]
    benchmark.extra_info["memory_of_autograds"] = megabytes[0] / megabytes[1]
    with capsys.disabled():
        print(
            f"\n{ours.__name__} {size}: {ratio:.1f} x as fast as autograd (best {best:.1f}), "
            f"in {megabytes[0]:.0f} MB where that takes {megabytes[1]:.0f}"
        )
