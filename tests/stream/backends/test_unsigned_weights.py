"""Weights as u8: the same integers as with s8, on every machine, from the same file of weights."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stream.backends.integer_products import product_graph, products_are_exact
from stream.backends.session import open_session
from stream.backends.unsigned_weights import unsigned_weights
from stream.bundled import model_path
from stream.model.directory import GRAPHS, INT8_GRAPHS, INTEGER_GRAPHS

SATURATES = "stream.backends.session.products_are_exact"


def random_inputs(session: Any, batch: int) -> dict[str, NDArray[Any]]:
    """Return values of the whole range of each integer input, and normal ones of the others."""
    rng = np.random.default_rng(batch)
    draw = {
        "tensor(int64)": lambda shape: rng.integers(0, 100, shape),
        "tensor(uint8)": lambda shape: rng.integers(0, 256, shape, np.uint8),
        "tensor(int16)": lambda shape: rng.integers(-(1 << 15), 1 << 15, shape, np.int16),
        "tensor(float)": lambda shape: rng.standard_normal(shape, np.float32),
    }
    return {
        value.name: draw[value.type]([batch, *value.shape[1:]]) for value in session.get_inputs()
    }


@pytest.mark.parametrize("name", [*INT8_GRAPHS, *INTEGER_GRAPHS])
def test_a_graph_of_a_model_directory_computes_the_same_bits(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not products_are_exact():
        pytest.skip("this CPU's products of u8 and s8 saturate: there is nothing to compare with")
    graph = str(model_path() / name)
    signed = open_session(graph)
    monkeypatch.setattr(SATURATES, lambda: False)
    unsigned = open_session(graph)
    for batch in (1, 2, 8, 33):
        inputs = random_inputs(signed, batch)
        for a, b in zip(signed.run(None, inputs), unsigned.run(None, inputs), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", [*INT8_GRAPHS, *INTEGER_GRAPHS])
def test_onnx_takes_the_model_and_its_products_have_a_zero_point(name: str) -> None:
    onnx = pytest.importorskip("onnx", reason="needs onnx: pip install 'rill-asr[train]'")
    whole = onnx.load(model_path() / name).SerializeToString()
    model = onnx.load_from_string(unsigned_weights(whole))
    onnx.checker.check_model(model)
    arrays = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    assert not [name for name, array in arrays.items() if array.dtype == np.int8]
    assert arrays["highest_bit"] == 128 and arrays["highest_bit"].dtype == np.uint8
    before = {
        each.name: onnx.numpy_helper.to_array(each)
        for each in onnx.load_from_string(whole).graph.initializer
    }
    flips = [node for node in model.graph.node if node.op_type == "BitwiseXor"]
    assert flips
    for node in flips:
        signed, bit = (arrays[each] for each in node.input)
        np.testing.assert_array_equal((signed ^ bit).astype(int) - 128, before[node.output[0]])
    products = [node for node in model.graph.node if node.op_type.startswith("MatMulInteger")]
    assert products and all("highest_bit" in node.input for node in products)


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_without_s8_weights_stays_as_it_is(name: str) -> None:
    content = (model_path() / name).read_bytes()
    assert unsigned_weights(content) == content


@pytest.mark.parametrize("name", [*GRAPHS, *INT8_GRAPHS, *INTEGER_GRAPHS])
def test_files_may_be_links_as_in_the_cache_of_a_model_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    snapshot, blobs = tmp_path / "snapshot", tmp_path / "blobs"
    snapshot.mkdir()
    blobs.mkdir()
    for n, file in enumerate(sorted(model_path().iterdir())):
        shutil.copy(file, blobs / str(n))
        (snapshot / file.name).symlink_to(f"../blobs/{n}")
    monkeypatch.setattr(SATURATES, lambda: False)
    linked, plain = open_session(str(snapshot / name)), open_session(str(model_path() / name))
    inputs = random_inputs(plain, 2)
    for a, b in zip(plain.run(None, inputs), linked.run(None, inputs), strict=True):
        np.testing.assert_array_equal(a, b)


def test_u8_weights_are_not_changed_again() -> None:
    once = unsigned_weights(product_graph())
    assert once != product_graph()
    assert unsigned_weights(once) == once


def test_weights_are_flipped_at_load_and_their_s8_form_is_let_go(tmp_path: Path) -> None:
    """Else every step would flip them, and both forms would stay in memory."""
    onnx = pytest.importorskip("onnx", reason="needs onnx: pip install 'rill-asr[train]'")
    import onnxruntime

    whole = onnx.load(model_path() / INT8_GRAPHS[0]).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(
        unsigned_weights(whole), options, providers=["CPUExecutionProvider"]
    )
    graph = onnx.load(tmp_path / "optimised.onnx").graph
    assert "BitwiseXor" not in {node.op_type for node in graph.node}
    assert not [each.name for each in graph.initializer if each.name.endswith(".signed")]


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("qemu-x86_64") is None, reason="needs qemu-x86_64: apt install qemu-user"
)
def test_a_cpu_without_vnni_says_what_this_one_says() -> None:
    """Emulated: AVX2, where products of u8 and s8 saturate."""
    program = """
import hashlib, sys
from stream.backends.integer_products import products_are_exact
from stream.backends.session import open_session
from tests.stream.backends.test_unsigned_weights import random_inputs
print(products_are_exact(), products_are_exact(unsigned=True))
for graph in sys.argv[1:]:
    session = open_session(graph)
    outputs = session.run(None, random_inputs(session, 3))
    print(hashlib.sha256(b"".join(output.tobytes() for output in outputs)).hexdigest())
"""
    graphs = [str(model_path() / name) for name in (*INT8_GRAPHS, *INTEGER_GRAPHS)]
    command = [sys.executable, "-c", program, *graphs]
    emulated, here = (
        subprocess.run(
            [*emulator, *command], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        for emulator in (["qemu-x86_64", "-cpu", "Haswell"], [])
    )
    assert emulated[0] == "False True"
    assert len(emulated) == 1 + len(graphs)
    assert emulated[1:] == here[1:]
