"""The graph that asks the machine, and what is made of its answer."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from stream.backends import integer_products
from stream.backends.integer_products import product_graph, products_are_exact
from stream.backends.session import open_session
from stream.backends.unsigned_weights import unsigned_weights


def test_the_graph_is_a_product_of_the_largest_weights() -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(product_graph())
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["MatMulInteger"]
    (weight,) = map(onnx.numpy_helper.to_array, model.graph.initializer)
    assert weight.shape == (64, 64) and (weight == 127).all() and weight.dtype == "int8"


def test_with_u8_weights_products_are_exact_on_every_machine() -> None:
    assert products_are_exact(unsigned=True)


def test_a_session_is_exact_whatever_the_machine_says() -> None:
    x = np.full((8, 64), 255, np.uint8)
    for graph in (product_graph(), unsigned_weights(product_graph())):
        (y,) = open_session(graph).run(["y"], {"x": x})
        assert (y == 255 * 127 * 64).all()


def test_one_wrong_sum_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    real = onnxruntime.InferenceSession

    class Saturating:
        def __init__(self, *arguments: object, **named: object) -> None:
            self._session = real(*arguments, **named)

        def run(self, *arguments: object) -> list[object]:
            (y,) = self._session.run(*arguments)
            y[-1, 5] -= len(y) == 33  # in one kernel only
            return [y]

    monkeypatch.setattr(integer_products.onnxruntime, "InferenceSession", Saturating)
    assert not products_are_exact.__wrapped__()
