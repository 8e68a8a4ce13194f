"""Products of linear layers: all vectors at once, each as alone."""

from __future__ import annotations

import numpy as np
import pytest

from stream.encoders.linear import linear


@pytest.mark.parametrize("shape", [(7,), (3, 7), (2, 3, 7), (2, 0, 7), (2, 3, 4, 7)])
def test_each_vector_is_multiplied_by_the_weights(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal(shape), rng.standard_normal((5, 7))
    y = linear(x, weight)
    assert y.shape == (*shape[:-1], 5)
    for index in np.ndindex(shape[:-1]):
        np.testing.assert_allclose(y[index], weight @ x[index], rtol=0, atol=1e-12)
