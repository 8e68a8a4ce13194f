"""The ONNX backend: ONNX Runtime on the graphs of a model directory, one step of 60 ms a call.

Graphs are written by `export.graphs`; their inputs and outputs are listed there.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from stream.directory import GRAPHS
from stream.network import TIME_STACK, ModelError, Network
from stream.stage import State

__all__ = ["OnnxBackend", "load", "session_options"]

Floats = NDArray[np.float32]


def load(network: Network) -> OnnxBackend:
    """Build the backend from the graphs in the network's model directory.

    Raises:
        ModelError: the network does not come from a model directory with graphs.
    """
    path = network.path
    if path is None or not all((path / name).is_file() for name in GRAPHS):
        raise ModelError(
            "has no ONNX graphs; write them: python -m export.onnx --ckpt MODEL --output DIR, "
            "or use the numpy backend",
            path,
        )
    return OnnxBackend(network, {name: str(path / name) for name in GRAPHS})


def session_options(threads: int = 1) -> onnxruntime.SessionOptions:
    """Return the options of every session of ours.

    Args:
        threads: of one operator; more than one pays at large batches only.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Integer products are exact on every CPU, not only where it has VNNI.
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.log_severity_level = 3
    return options


class OnnxBackend:
    """A `Backend` of three sessions.

    Args:
        network: the model.
        graphs: path or bytes of each graph, by the names of `stream.directory.GRAPHS`.
        threads: of one operator.
    """

    def __init__(
        self, network: Network, graphs: Mapping[str, str | bytes], threads: int = 1
    ) -> None:
        self.specification = network.specification
        sessions = []
        for name in GRAPHS:
            try:
                sessions.append(
                    onnxruntime.InferenceSession(
                        graphs[name], session_options(threads), providers=["CPUExecutionProvider"]
                    )
                )
            except Exception as error:  # ONNX Runtime's errors have no public common type
                raise ModelError(f"{name} cannot be run: {error}", network.path) from error
        self._encoder, self._prediction, self._joint = sessions

    def initial_state(self, batch: int) -> tuple[State, State]:
        """Return zeros, (batch, layers, size) each: h and c of both encoder stacks; h and c."""
        spec = self.specification

        def zeros(layers: int, size: int) -> Floats:
            return np.zeros((batch, layers, size), np.float32)

        encoder = tuple(
            zeros(layers, spec.hidden)
            for layers in (spec.pre_layers, spec.pre_layers, spec.post_layers, spec.post_layers)
        )
        prediction = tuple(zeros(spec.prediction_layers, spec.prediction_hidden) for _ in range(2))
        return encoder, prediction

    def encode(
        self, x: Floats, state: State, present: NDArray[np.bool_] | None = None
    ) -> tuple[Floats, State]:
        """Encode stacked frames; see `Backend`."""
        outputs = []
        batch, frames, _ = x.shape
        second = np.ones((batch, 1), np.float32)
        for begin in range(0, frames, TIME_STACK):
            if present is not None:
                second = present[:, begin + 1, None].astype(np.float32)
            h_pre, c_pre, h_post, c_post = state
            inputs = {
                "x": np.ascontiguousarray(x[:, begin : begin + TIME_STACK]),
                "second": second,
                "h.pre": h_pre,
                "c.pre": c_pre,
                "h.post": h_post,
                "c.post": c_post,
            }
            names = ["f", "h.pre.after", "c.pre.after", "h.post.after", "c.post.after"]
            f, *after = self._encoder.run(names, inputs)
            state = tuple(after)
            outputs.append(f)
        if not outputs:
            return np.zeros((batch, 0, self.specification.joint), np.float32), state
        return np.stack(outputs, axis=1), state

    def predict(self, tokens: NDArray[np.int64], state: State) -> tuple[Floats, State]:
        """Advance the prediction network by one token a row; see `Backend`."""
        inputs = {"token": tokens, "h": state[0], "c": state[1]}
        g, h, c = self._prediction.run(["g", "h.after", "c.after"], inputs)
        return g, (h, c)

    def join(self, f: Floats, g: Floats) -> Floats:
        """Return the logits; see `Backend`."""
        (logits,) = self._joint.run(["logits"], {"f": f, "g": g})
        return np.asarray(logits)
