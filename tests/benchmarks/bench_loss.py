"""The transducer loss with its joint, forward and backward, against plain autograd: time and memory.

Plain autograd is what one writes first: the joint's logits as one tensor (B, T, U + 1, C), a
log-softmax, and the forward variable diagonal by diagonal in torch operations. Both run in turns;
`extra_info` has how many times as fast ours is, by the medians, and the ratio of their peak memory,
each measured in a process of its own above what inputs and libraries take.
"""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from train.loss import joint_transducer_loss  # noqa: E402

ROUNDS = 5
SIZES = [(4, 100, 20, 256, 256), (8, 150, 40, 512, 256)]  # B, T, U, classes, joint


def inputs(size: tuple[int, ...]) -> dict[str, Any]:
    """Return random encoder and prediction outputs, the output layer, and full-length rows."""
    rows, steps, labels, classes, joint = size
    torch.manual_seed(0)
    leaves = {
        "f": torch.randn(rows, steps, joint),
        "g": torch.randn(rows, labels + 1, joint),
        "weight": torch.randn(classes, joint) / joint**0.5,
        "bias": torch.zeros(classes),
    }
    for leaf in leaves.values():
        leaf.requires_grad_()
    return {
        **leaves,
        "targets": torch.randint(0, classes - 1, (rows, labels)),
        "steps": torch.full((rows,), steps),
        "labels": torch.full((rows,), labels),
    }


def ours(z: dict[str, Any]) -> Any:
    return joint_transducer_loss(
        z["f"], z["g"], z["weight"], z["bias"], z["targets"], z["steps"], z["labels"]
    )


def plain(z: dict[str, Any]) -> Any:
    """Compute the losses of rows of full length by autograd alone, (B,)."""
    hidden = torch.relu(z["f"][:, :, None] + z["g"][:, None])
    log_probabilities = (hidden @ z["weight"].t() + z["bias"]).log_softmax(-1)
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
    training_step(loss, inputs((1, 4, 2, 8, 8)))  # compiles, loads
    z = inputs(size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    training_step(loss, z)
    answer.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)


def peak_kilobytes(loss: Callable[[dict[str, Any]], Any], size: tuple[int, ...]) -> int:
    """Return by how much a step raises a fresh process's peak memory."""
    context = multiprocessing.get_context("spawn")
    answer, child = context.Pipe(duplex=False)
    process = context.Process(target=_peak, args=(loss, size, child))
    process.start()
    peak = int(answer.recv())
    process.join()
    return peak


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_loss(benchmark: Any, size: tuple[int, ...]) -> None:
    z = inputs(size)
    reference = training_step(plain, z)
    gradient = z["f"].grad.clone()
    torch.testing.assert_close(training_step(ours, z), reference, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(z["f"].grad, gradient, rtol=1e-3, atol=1e-4)
    seconds: list[float] = []

    def time_plain() -> None:
        began = time.perf_counter()
        training_step(plain, z)
        seconds.append(time.perf_counter() - began)

    benchmark.pedantic(training_step, args=(ours, z), setup=time_plain, rounds=ROUNDS)
    ratio = statistics.median(seconds) / benchmark.stats.stats.median
    memory = peak_kilobytes(plain, size) / max(peak_kilobytes(ours, size), 1)
    benchmark.extra_info["times_as_fast_as_autograd"] = ratio
    benchmark.extra_info["memory_of_autograd_over_ours"] = memory
    print(f"\n{size}: {ratio:.1f} x as fast as autograd, which takes {memory:.1f} x the memory")
