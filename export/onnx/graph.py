"""ONNX graphs under construction: nodes, weights, and the bytes of the file.

Graphs are written from a model's specification, not traced. Weights lie in a safetensors file beside the
graphs, or inside them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import onnx
import safetensors.numpy
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from stream.model.directory import FORMAT

OPSET = 18
IR_VERSION = 10
BOOL, FLOAT, DOUBLE = TensorProto.BOOL, TensorProto.FLOAT, TensorProto.DOUBLE
UINT8, INT16, INT32, INT64 = (
    TensorProto.UINT8,
    TensorProto.INT16,
    TensorProto.INT32,
    TensorProto.INT64,
)
MICROSOFT = "com.microsoft"  # ONNX Runtime's own operators

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class WeightFile:
    """Arrays, and the safetensors file that holds them for a graph.

    Attributes:
        arrays: by name.
        location: name of the file beside the graph; None: the arrays go into the graph itself, for a
            model that never touches a disk.
    """

    arrays: Arrays
    location: str | None

    @cached_property
    def content(self) -> bytes:
        """The bytes of the file."""
        arrays = {name: np.ascontiguousarray(array) for name, array in self.arrays.items()}
        return safetensors.numpy.save(arrays)

    @cached_property
    def _offsets(self) -> dict[str, tuple[int, int]]:
        """Begin and length of each array in the file, in bytes."""
        size = int.from_bytes(self.content[:8], "little")
        header = json.loads(self.content[8 : 8 + size])
        spans = {name: entry["data_offsets"] for name, entry in header.items()}
        return {name: (8 + size + begin, end - begin) for name, (begin, end) in spans.items()}

    def tensor(self, name: str) -> TensorProto:
        """Return an array as an initializer of a graph."""
        array = self.arrays[name]
        if self.location is None:
            return numpy_helper.from_array(np.ascontiguousarray(array), name)
        tensor = TensorProto(
            name=name,
            data_type=helper.np_dtype_to_tensor_dtype(array.dtype),
            dims=array.shape,
            data_location=TensorProto.EXTERNAL,
        )
        offset, length = self._offsets[name]
        for key, value in (("location", self.location), ("offset", offset), ("length", length)):
            tensor.external_data.add(key=key, value=str(value))
        return tensor


@dataclass
class Graph:
    """A graph under construction; names are made here.

    Attributes:
        files: where weights are looked up, the first file that has one first.
        standard: use operators of ONNX alone, for importers that know no others.
    """

    files: Sequence[WeightFile] = ()
    standard: bool = field(default=False, kw_only=True)
    nodes: list[onnx.NodeProto] = field(default_factory=list, init=False)
    inputs: list[onnx.ValueInfoProto] = field(default_factory=list, init=False)
    outputs: list[onnx.ValueInfoProto] = field(default_factory=list, init=False)
    initializers: dict[str, TensorProto] = field(default_factory=dict, init=False)
    _last: list[tuple[str, str, list[str | int], int]] = field(default_factory=list, init=False)

    def node(self, operator: str, inputs: list[str], outputs: int = 1, **attributes: Any) -> str:
        """Add a node; returns its output, or the first of several, which are numbered."""
        name = f"{operator.lower()}.{len(self.nodes)}"
        names = [name] + [f"{name}.{n}" for n in range(1, outputs)]
        self.nodes.append(helper.make_node(operator, inputs, names, name=name, **attributes))
        return name

    def split(self, value: str, parts: int) -> list[str]:
        """Add the equal parts of a value along axis 1."""
        first = self.node("Split", [value], outputs=parts, axis=1, num_outputs=parts)
        return [first, *(f"{first}.{n}" for n in range(1, parts))]

    def split_sizes(self, value: str, *sizes: int) -> list[str]:
        """Add the parts of a value along its last axis, of these sizes."""
        first = self.node("Split", [value, self.axes(*sizes)], outputs=len(sizes), axis=-1)
        return [first, *(f"{first}.{n}" for n in range(1, len(sizes)))]

    def reshape(self, value: str, *shape: int) -> str:
        """Add a value in another shape; 0 keeps an axis, -1 is what is left."""
        return self.node("Reshape", [value, self.axes(*shape)])

    def unsqueeze(self, value: str, *axes: int) -> str:
        """Add a value with more axes, of length 1, at these places."""
        return self.node("Unsqueeze", [value, self.axes(*axes)])

    def slice(self, value: str, begin: str, end: str, axis: int) -> str:
        """Add a part of a value along an axis.

        Args:
            begin, end: (1,) int64.
        """
        return self.node("Slice", [value, begin, end, self.axes(axis)])

    def axes(self, *axes: int) -> str:
        """Return a constant of axes, or of any short vector of integers."""
        name = "vector." + "_".join(map(str, axes))
        return self.constant(name, np.array(axes, np.int64))

    def number(self, value: float) -> str:
        """Return a float32 constant."""
        return self.constant(f"number.{value!r}", np.array(value, np.float32))

    def input(self, name: str, kind: int, shape: list[str | int]) -> str:
        """Add an input of the graph."""
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, value: str, name: str, shape: list[str | int], kind: int = FLOAT) -> None:
        """Add an output of the graph: a value under a name."""
        self.nodes.append(helper.make_node("Identity", [value], [name], name=f"output.{name}"))
        self.outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def output_last(self, value: str, name: str, shape: list[str | int], kind: int) -> None:
        """Add an output after all others."""
        self._last.append((value, name, shape, kind))

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """Add a small array, inside the file."""
        self.initializers[name] = numpy_helper.from_array(value, name)
        return name

    def has(self, name: str) -> bool:
        """Return whether a weight file has an array."""
        return any(name in file.arrays for file in self.files)

    def weight(self, name: str) -> str:
        """Add an array of the weight files."""
        if name not in self.initializers:
            file = next(file for file in self.files if name in file.arrays)
            self.initializers[name] = file.tensor(name)
        return name

    def zero_point(self, zero: int) -> str:
        """Add a zero point of u8."""
        return self.constant(f"zero.{zero}", np.array(zero, np.uint8))

    def scaled_product(
        self, x: str, weight: str, one: str, scale: str, zero: str, bias: str = ""
    ) -> str:
        """Add a product of u8 activations and s8 weights, as float32, scaled and with a bias.

        Args:
            x, zero: (B, I) u8, and the zero point of it.
            weight: (I, O) s8.
            one: the constant 1.0.
            scale: of the product.
            bias: float32, or "" for none.
        """
        if not self.standard:
            inputs = [x, weight, one, scale, zero, "", bias]
            return self.node("MatMulIntegerToFloat", inputs, domain=MICROSOFT)
        product = self.node("Cast", [self.node("MatMulInteger", [x, weight, zero])], to=FLOAT)
        scaled = self.node("Mul", [product, scale])
        return self.node("Add", [scaled, bias]) if bias else scaled

    def model(self, name: str) -> bytes:
        """Return the graph, serialised, under a name."""
        for output in self._last:
            self.output(*output)
        self._last.clear()
        used = {value for node in self.nodes for value in node.input}
        initializers = [tensor for each, tensor in self.initializers.items() if each in used]
        graph = helper.make_graph(self.nodes, name, self.inputs, self.outputs, initializers)
        domains = {node.domain for node in self.nodes} - {""}
        model = helper.make_model(
            graph,
            opset_imports=[
                helper.make_opsetid("", OPSET),
                *(helper.make_opsetid(domain, 1) for domain in domains),
            ],
            ir_version=IR_VERSION,
            producer_name="rill",
        )
        helper.set_model_props(model, {"format": FORMAT, "graph": name})
        if all(file.location is None for file in self.files):
            onnx.checker.check_model(model, full_check=True)  # wants external files to be there
        return bytes(model.SerializeToString())
