"""An exporter broken on purpose is refused, whichever of the three kinds of graphs it breaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs onnx: pip install 'rill-asr[train]'")

import onnx

from export import build as builder
from export.checks.verification import verify
from export.errors import ExportError
from export.model_directory import export
from export.onnx.__main__ import main
from export.onnx.ranges import Ranges
from stream.backends.integer import IntegerBackend
from stream.backends.onnx import OnnxBackend
from stream.bundled import recordings
from stream.causality import CausalityError
from stream.integer import network as integer
from stream.integer.network import IntegerNetwork
from stream.model import directory
from stream.model.network import Network, NgramFile
from tests.tiny import quantised, tiny_network

build, build_integers, int8_arrays = builder.build, builder.build_integers, builder.int8_arrays
to_integers = integer.to_integers
ANY_LOSS = 1e9
Files = dict[str, bytes]


def quiet_network() -> Network:
    """Return a random model for integers that emits a token now and then."""
    network = tiny_network()
    bias = network.arrays["joint.output.bias"].copy()
    bias[-1] += 1.5
    return quantised(replace(network, arrays={**network.arrays, "joint.output.bias": bias}))


@pytest.fixture(autouse=True)
def two_recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify on two of the bundled recordings, of a second each, for speed."""
    for name in ("export.model_directory", "export.checks.verification"):
        monkeypatch.setattr(f"{name}.recordings", lambda: recordings()[-2:])


def refused(tmp_path: Path, message: str, kind: str = "") -> None:
    """Export with whatever is broken: it is refused, and nothing is left."""
    with pytest.raises(ExportError, match=message):
        export(quiet_network(), tmp_path / "model", int8=kind == "int8")
    assert not list(tmp_path.iterdir())


def test_all_three_kinds_of_graphs_are_written_and_verified(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = replace(quiet_network(), ngram=NgramFile(b"of KenLM", 0.1))
    directory.write(network, tmp_path / "given", {})
    arguments = ["--ckpt", str(tmp_path / "given"), "--output", str(tmp_path / "model")]
    assert main([*arguments, "--most-loss", "100"]) == 0
    assert "graphs and NumPy integers are equal bit for bit" in capsys.readouterr().out
    found = {file.name for file in (tmp_path / "model").iterdir()}
    assert found == {"model.json", *directory.NAMES - {directory.CTC_GRAPH}}
    assert verify(network, tmp_path / "model") <= 1e-4


def test_an_ngram_model_that_was_lost_is_noticed(tmp_path: Path) -> None:
    directory.write(quiet_network(), tmp_path / "model", {})
    with pytest.raises(ExportError, match="ngram is not the model's"):
        verify(replace(quiet_network(), ngram=NgramFile(b"of KenLM", 0.1)), tmp_path / "model")


def test_a_model_without_a_quantisation_has_no_integer_graphs(tmp_path: Path) -> None:
    network = quiet_network()
    plain = msgspec.structs.replace(network.specification, quantisation=None)
    exported = export(replace(network, specification=plain), tmp_path / "model", int8=False)
    assert not exported.integers
    assert not directory.INTEGER & {file.name for file in (tmp_path / "model").iterdir()}


def break_graph(monkeypatch: pytest.MonkeyPatch, name: str, change: Callable[[Any], None]) -> None:
    """Let the exporter write a graph that is changed."""

    def broken(*given: Any, **formats: Any) -> Files:
        files = build(*given, **formats)
        model = onnx.load_from_string(files[name])
        change(model.graph)
        return {**files, name: model.SerializeToString()}

    monkeypatch.setattr(builder, "build", broken)


def drop_state(kind: str) -> Callable[[Any], None]:
    """Give out a state as it came in."""

    def change(graph: Any) -> None:
        changed = 0
        for node in graph.node:
            for name in (f"{kind}.pre", f"{kind}.pre.0", kind, f"{kind}.0"):
                if list(node.output) == [f"{name}.after"]:
                    node.input[0], changed = name, changed + 1
        assert changed == 1

    return change


def repeat_frame(graph: Any) -> None:
    """Take the first frame of a pair for the second one too."""
    found = [n for n in graph.node if n.op_type == "Gather" and n.input[1] == "index.1"]
    assert len(found) == 1
    found[0].input[1] = "index.0"


GRAPH_FAULTS = [
    ("encoder", drop_state("h")),
    ("encoder", drop_state("c")),
    ("prediction", drop_state("h")),
    ("prediction", drop_state("c")),
    ("encoder", repeat_frame),
]
IDS = ["encoder h", "encoder c", "prediction h", "prediction c", "frame"]


@pytest.mark.parametrize(("part", "fault"), GRAPH_FAULTS, ids=IDS)
def test_a_dropped_state_or_a_wrong_frame_in_float32_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, fault: Any
) -> None:
    break_graph(monkeypatch, f"{part}.onnx", fault)
    refused(tmp_path, f"random frames: {part} output differs by")


@pytest.mark.parametrize(("part", "fault"), GRAPH_FAULTS, ids=IDS)
def test_a_dropped_state_or_a_wrong_frame_in_int8_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, fault: Any
) -> None:
    break_graph(monkeypatch, f"{part}.int8.onnx", fault)
    refused(tmp_path, "int8: random frames: .* differs by", "int8")


@pytest.mark.parametrize(("part", "fault"), GRAPH_FAULTS, ids=IDS)
def test_a_dropped_state_or_a_wrong_frame_in_integers_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, fault: Any
) -> None:
    break_graph(monkeypatch, f"{part}.integer.onnx", fault)
    refused(tmp_path, f"integers: .*{part}.integer.onnx: .* differs from the integers")


def swap_gates(array: Any) -> Any:
    """Exchange the input and forget gates' rows."""
    i, f, g, o = np.split(array, 4)
    return np.concatenate([f, i, g, o])


def zero_one(array: Any) -> Any:
    changed = array.copy()
    changed.flat[np.abs(array.astype(float)).argmax()] = 0
    return changed


def zero_smallest(array: Any) -> Any:
    changed = array.copy()
    magnitude = np.where(array == 0, np.inf, np.abs(array.astype(float)))
    changed.flat[magnitude.argmin()] = 0
    return changed


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("encoder.pre.0.input.weight", zero_one),
        ("encoder.pre.0.weight", lambda a: swap_gates(a.T).T),
        ("encoder.post.0.weight", zero_one),
        ("encoder.post.0.bias", swap_gates),
        ("encoder.post.0.scale", lambda a: 2 * a),
        ("x.scale", lambda a: a / 2),
        ("prediction.embedding", zero_one),
        ("prediction.lstm.0.input.scale", lambda a: a / 2),
        ("joint.encoder.weight", zero_one),
        ("joint.output.bias", zero_one),
        ("joint.output.scale", lambda a: 2 * a),
        ("joint.scale", lambda a: 2 * a),
    ],
)
def test_an_array_of_int8_that_is_not_the_models_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, change: Any
) -> None:

    def broken(*given: Any) -> Any:
        arrays = int8_arrays(*given)
        return {**arrays, name: change(arrays[name])}

    monkeypatch.setattr(builder, "int8_arrays", broken)
    refused(tmp_path, r"int8: \S+ at \[.*\] stands for", "int8")


def test_scales_of_int8_that_are_not_those_of_the_models_integers_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        builder,
        "build",
        lambda *given, **form: build(*given, **{**form, "ranges": Ranges(7.0, 8.0)}),
    )
    refused(tmp_path, r"int8: x.scale is 0.05\d*, the model's is 2\^-4", "int8")


@pytest.mark.parametrize("name", ["encoder.pre.0.weight_ih", "joint.output.bias"])
def test_another_weight_in_a_layer_in_float_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The graph takes the layer's weights from a place that has others."""
    plain = msgspec.structs.replace(quiet_network().specification, quantisation=None)
    network = replace(quiet_network(), specification=plain)

    def shift(graph: Any) -> None:
        (place,) = (each for each in graph.initializer if each.name == name)
        (offset,) = (entry for entry in place.external_data if entry.key == "offset")
        offset.value = str(int(offset.value) + 64)

    layer = name.rpartition(".")[0]
    break_graph(monkeypatch, f"{layer.partition('.')[0]}.int8.onnx", shift)
    with pytest.raises(ExportError, match="int8: .* differs by .* from float32 with the same"):
        export(network, tmp_path / "model", float_layers=[layer])
    assert not list(tmp_path.iterdir())


def changed_layer(integers: IntegerNetwork, stack: str, **fields: Any) -> IntegerNetwork:
    first, *others = getattr(integers, stack)
    new = {name: change(getattr(first, name)) for name, change in fields.items()}
    return replace(integers, **{stack: (replace(first, **new), *others)})


def changed_linear(integers: IntegerNetwork, name: str, **fields: Any) -> IntegerNetwork:
    of = getattr(integers, name)
    new = {field: change(getattr(of, field)) for field, change in fields.items()}
    return replace(integers, **{name: replace(of, **new)})


def changed_input(integers: IntegerNetwork) -> IntegerNetwork:
    one_more = msgspec.structs.replace(integers.quantisation, input=5)
    return replace(integers, quantisation=one_more)


FAULTS: dict[str, Callable[[IntegerNetwork], IntegerNetwork]] = {
    "a zeroed weight": lambda n: changed_layer(n, "pre", weight_ih=zero_one),
    "a small weight zeroed": lambda n: changed_layer(n, "post", weight_hh=zero_smallest),
    "swapped gates": lambda n: changed_layer(n, "post", weight_ih=swap_gates),
    "swapped gates of a bias": lambda n: changed_layer(n, "prediction", bias=swap_gates),
    "a shift of one more": lambda n: changed_layer(n, "pre", shift=lambda s: s + 1),
    "a shift of x of one more": lambda n: changed_layer(n, "post", shift_x=lambda s: s + 1),
    "a shift of h of one more": lambda n: changed_layer(n, "prediction", shift_h=lambda s: s + 1),
    "a zeroed weight of the joint": lambda n: changed_linear(n, "joint_encoder", weight=zero_one),
    "a bias of one more": lambda n: changed_linear(n, "joint_output", bias=lambda b: b + 1),
    "a projection's shift": lambda n: changed_linear(
        n, "joint_prediction", shift_out=lambda s: s + 1
    ),
    "the exponent of the logits": lambda n: changed_linear(
        n, "joint_output", exponent=lambda e: e - 1
    ),
    "the input's exponent": changed_input,
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_integer_graphs_of_other_integers_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Any
) -> None:
    monkeypatch.setattr(
        builder, "build_integers", lambda n, **form: build_integers(fault(n), **form)
    )
    refused(tmp_path, "integers: ")


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_integers_that_are_not_the_models_are_refused_though_all_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Any
) -> None:
    """The graphs and the NumPy backend compute the same, but not the model."""
    for name in (
        "export.build",
        "export.checks.verification",
        "stream.backends.integer_onnx",
    ):
        monkeypatch.setattr(f"{name}.to_integers", lambda network: fault(to_integers(network)))
    refused(tmp_path, "integers: ")


def test_a_chunk_that_begins_one_frame_late_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = OnnxBackend.encode

    def late(self: Any, x: Any, state: Any, present: Any = None) -> Any:
        return real(self, np.concatenate([x[:, 1:], x[:, -1:]], axis=1), state, present)

    monkeypatch.setattr(OnnxBackend, "encode", late)
    with pytest.raises((ExportError, CausalityError)):
        export(quiet_network(), tmp_path / "model", int8=False)
    monkeypatch.setattr("export.checks.verification.check_causal", lambda *_: None)
    refused(tmp_path, "random frames: encoder output differs")


STATES = {  # types of h and c
    "onnx": ("float32", "float32"),
    "int8": ("uint8", "float32"),
    "integer-onnx": ("uint8", "int16"),
}


@pytest.mark.parametrize("kind", STATES)
def test_a_state_that_is_lost_between_chunks_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path = tmp_path / "model"
    exported = export(quiet_network(), path, most_loss=ANY_LOSS)
    assert exported.int8 and exported.integers
    real, kept = OnnxBackend.encode, 4  # frames of the call at load, which must pass

    def forgetful(self: Any, x: Any, state: Any, present: Any = None) -> Any:
        f, after = real(self, x, state, present)
        mine = tuple(leaf.dtype.name for leaf in state[:2]) == STATES[kind]
        return f, self.initial_state(len(x))[0] if mine and x.shape[1] != kept else after

    monkeypatch.setattr(OnnxBackend, "encode", forgetful)
    with pytest.raises(ExportError, match="random frames: "):
        verify(quiet_network(), path)


def test_integers_cannot_be_exported_where_products_are_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "stream.backends.integer_onnx.products_are_exact", lambda unsigned=False: False
    )
    refused(tmp_path, "this machine's integer products are wrong")


def test_cells_that_the_integers_compute_otherwise_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both integer backends agree here; float32 with the same weights does not."""
    real = IntegerBackend.encode

    def doubled(self: Any, x: Any, *state: Any) -> Any:
        f, after = real(self, x, *state)
        return 2 * f, after

    monkeypatch.setattr(IntegerBackend, "encode", doubled)
    monkeypatch.setattr("export.checks.verification.check_equal", lambda *_, **__: None)
    monkeypatch.setattr("stream.backends.integer_onnx.check_equal", lambda *_, **__: None)
    refused(tmp_path, r"output differs by .* from float32 with the same weights")
