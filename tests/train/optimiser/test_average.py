"""Averaged weights follow every tensor of a state."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from train.optimiser.average import Ema


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.995])
def test_the_average_is_the_weighted_sum_of_all_states(decay: float) -> None:
    module = torch.nn.Linear(3, 2, dtype=torch.float64)
    states = [module.weight.detach().numpy().copy()]
    average = Ema(module, decay)
    rng = np.random.default_rng(5)
    for _ in range(10):
        states.append(rng.normal(size=(2, 3)))
        with torch.no_grad():
            module.weight.copy_(torch.from_numpy(states[-1]))
        average.update(module)
    shares = np.array([decay**10, *((1 - decay) * decay ** np.arange(9, -1, -1.0))])
    assert shares.sum() == pytest.approx(1.0)
    got = average.state_dict()["weight"]
    np.testing.assert_allclose(got, np.tensordot(shares, states, 1), atol=1e-12)
    assert torch.equal(module.weight, torch.from_numpy(states[-1]))  # the module is only looked at


def test_averaged_weights_follow_every_tensor_of_the_state() -> None:
    module = torch.nn.BatchNorm1d(2, dtype=torch.float64)
    module.num_batches_tracked = torch.zeros(())  # the average wants floating tensors
    average = Ema(module, 0.9)
    start = {k: v.clone() for k, v in module.state_dict().items()}
    with torch.no_grad():
        module.weight.add_(1.0)
        module.running_mean.add_(2.0)
    average.update(module)
    average.update(module)
    now = average.state_dict()
    torch.testing.assert_close(now["weight"], start["weight"] + 1.0 - 0.9**2)
    torch.testing.assert_close(now["running_mean"], start["running_mean"] + 2.0 * (1.0 - 0.9**2))
    other = Ema(module, 0.9)
    other.load_state_dict(now)
    average.update(module)
    torch.testing.assert_close(other.state_dict()["weight"], start["weight"] + 1.0 - 0.9**2)
