"""The graph that asks the machine, and what is made of its answer."""

from __future__ import annotations

import onnxruntime
import pytest

from stream.backends import integer_products
from stream.backends.integer_products import PRECISION, product_graph, products_are_exact
from stream.backends.onnx import session_options


def test_the_graph_is_a_product_of_the_largest_weights() -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(product_graph())
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["MatMulInteger"]
    (weight,) = map(onnx.numpy_helper.to_array, model.graph.initializer)
    assert weight.shape == (64, 64) and (weight == 127).all() and weight.dtype == "int8"


def test_with_the_option_products_are_exact_on_every_machine() -> None:
    assert products_are_exact("1")


@pytest.mark.parametrize(("exact", "option"), [(True, "0"), (False, "1")])
def test_the_option_is_set_where_products_saturate(
    monkeypatch: pytest.MonkeyPatch, exact: bool, option: str
) -> None:
    monkeypatch.setattr("stream.backends.onnx.products_are_exact", lambda: exact)
    assert session_options().get_session_config_entry(PRECISION) == option


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
