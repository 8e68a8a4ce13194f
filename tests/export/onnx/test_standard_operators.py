"""int8 and integer graphs of ONNX' own operators: what they compute, also in onnx's reference evaluator.

Integers are the same bits. int8 scales and adds in float32, which a CPU may do with one rounding or two.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs onnx: pip install 'rill-asr[train]'")

import onnx
from onnx.reference import ReferenceEvaluator

from export.build import build
from export.onnx.__main__ import main
from export.onnx.ranges import Ranges
from stream.backends.session import open_session
from stream.bundled import recordings
from stream.model import directory
from stream.model.directory import INT8_GRAPHS, INTEGER_GRAPHS
from tests.stream.backends.test_unsigned_weights import random_inputs
from tests.tiny import quantised, tiny_network


def domains(path: Path) -> set[str]:
    model = onnx.load(path, load_external_data=False)
    return {node.domain for node in model.graph.node} | {each.domain for each in model.opset_import}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Model directories with and without ONNX Runtime's own operators."""
    network = quantised(tiny_network(3, pre_layers=2, hidden=24, joint=7))
    made = []
    for standard in (False, True):
        files = build(network, ranges=Ranges(8.0, 8.0), integers=True, standard=standard)
        made.append(tmp_path_factory.mktemp("models") / f"standard-{standard}")
        directory.write(network, made[-1], files)
    return made[0], made[1]


@pytest.mark.parametrize("name", [*INT8_GRAPHS, *INTEGER_GRAPHS])
def test_they_compute_what_onnx_runtimes_own_operators_do(
    folders: tuple[Path, Path], name: str
) -> None:
    own, standard = folders
    assert domains(own / name) == {"", "com.microsoft"}
    assert domains(standard / name) == {""}
    fast, spelt_out = (open_session(str(folder / name)) for folder in folders)
    reference = ReferenceEvaluator(onnx.load(standard / name))
    for rows in (1, 2, 33):
        inputs = random_inputs(fast, rows)
        inputs |= {"token": inputs["token"] % 21} if "token" in inputs else {}
        want = fast.run(None, inputs)
        for got in (spelt_out.run(None, inputs), reference.run(None, inputs)):
            for a, b in zip(want, got, strict=True):
                assert a.dtype == b.dtype
                if name in INTEGER_GRAPHS:
                    np.testing.assert_array_equal(a, b)
                else:
                    step = 1 if a.dtype == np.uint8 else 1e-5
                    np.testing.assert_allclose(a.astype(np.float64), b, rtol=0, atol=step)


def test_weights_and_float32_are_the_same_files(folders: tuple[Path, Path]) -> None:
    own, standard = folders
    changed = {*INT8_GRAPHS, *INTEGER_GRAPHS, directory.INDEX}
    same = {file.name for file in own.iterdir()} - changed
    assert len(same) == 7
    for name in same:
        assert (own / name).read_bytes() == (standard / name).read_bytes()


def test_the_command_writes_them_where_it_is_asked_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("export.model_directory", "export.checks.verification"):
        monkeypatch.setattr(f"{module}.recordings", lambda: recordings()[-2:])
    network = quantised(tiny_network(3))
    directory.write(network, tmp_path / "given", {})
    argv = ["--ckpt", str(tmp_path / "given"), "--most-loss", "100", "--standard-operators"]
    assert main([*argv, "--output", str(tmp_path / "model")]) == 0
    for name in (*INT8_GRAPHS, *INTEGER_GRAPHS):
        assert domains(tmp_path / "model" / name) == {""}
