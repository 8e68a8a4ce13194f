"""The ONNX backend: ONNX Runtime on the graphs of a model directory, one step of 60 ms a call.

Graphs are written by `export.build`; `export.onnx` lists their inputs and outputs. A
state is the tuple of a graph's inputs that come back as outputs of the same name and ".after", in
its order; uint8 ones have zero point 128.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from stream.backends.session import open_session
from stream.encoders.lstm import PAIR
from stream.model.directory import graph_names
from stream.model.network import Network
from stream.model.specification import ModelError
from stream.stage import State

__all__ = ["OnnxBackend", "located", "load"]

Floats = NDArray[np.float32]
AFTER = ".after"
TYPES = {  # of states, with their zeros
    "tensor(float)": (np.float32, 0),
    "tensor(int16)": (np.int16, 0),
    "tensor(uint8)": (np.uint8, 128),
}


def load(network: Network, threads: int = 1) -> OnnxBackend:
    """Build the backend from the graphs in the network's model directory.

    Raises:
        ModelError: the network does not come from a model directory with graphs.
    """
    graphs = located(
        network,
        graph_names(network.specification),
        "has no ONNX graphs; write them: python -m export.onnx --ckpt MODEL --output DIR, "
        "or use --backend numpy",
    )
    return OnnxBackend(network, graphs, threads, otherwise=". Use --backend numpy")


def located(network: Network, names: Sequence[str], otherwise: str) -> dict[str, str]:
    """Return the paths of files in the network's model directory, by name.

    Raises:
        ModelError: one is not there; the message is `otherwise`.
    """
    path = network.path
    if path is None or not all((path / name).is_file() for name in names):
        raise ModelError(otherwise, path)
    return {name: str(path / name) for name in names}


class _Step:
    """A session that takes inputs and a state, and gives outputs and the state after."""

    def __init__(self, graph: str | bytes, threads: int) -> None:
        self._session = open_session(graph, threads)
        outputs = [output.name for output in self._session.get_outputs()]
        inputs = {value.name: value for value in self._session.get_inputs()}
        self._states = {
            name: value for name, value in inputs.items() if f"{name}{AFTER}" in outputs
        }
        self._wanted = [name for name in outputs if not name.endswith(AFTER)]
        self._wanted += [f"{name}{AFTER}" for name in self._states]

    def initial_state(self, batch: int) -> State:
        """Return the state that stands for zeros."""
        leaves = []
        for value in self._states.values():
            dtype, zero = TYPES[value.type]
            leaves.append(np.full((batch, *value.shape[1:]), zero, dtype))
        return tuple(leaves)

    def run(
        self, inputs: dict[str, NDArray[np.generic]], state: State = ()
    ) -> tuple[Floats, State]:
        """Run the graph; returns its one output and the state after."""
        inputs.update(zip(self._states, state, strict=True))
        output, *after = self._session.run(self._wanted, inputs)
        return output, tuple(after)


class OnnxBackend:
    """A `Backend` of a session for each part of the model.

    Args:
        network: the model.
        graphs: path or bytes of each part by its file name: "encoder", and "prediction" and "joint", or
            "ctc", or all of them, before the first dot.
        threads: of one operator.
        otherwise: what to do where a graph cannot be run, for the message.
    Raises:
        ModelError: ONNX Runtime cannot run a graph.
    """

    def __init__(
        self,
        network: Network,
        graphs: Mapping[str, str | bytes],
        threads: int = 1,
        otherwise: str = "",
    ) -> None:
        self.specification = network.specification
        self._steps: dict[str, _Step] = {}
        for name, graph in graphs.items():
            try:
                self._steps[name.partition(".")[0]] = _Step(graph, threads)
            except Exception as error:  # ONNX Runtime's errors have no public common type
                why = " ".join(str(error).split())  # on one line
                raise ModelError(f"{name} cannot be run: {why}{otherwise}", network.path) from error
        self._encoder = self._steps["encoder"]

    def initial_state(self, batch: int) -> tuple[State, State]:
        """Return zeros, an array for each state input of the encoder and the prediction network."""
        prediction = self._steps.get("prediction")
        decoder = () if prediction is None else prediction.initial_state(batch)
        return self._encoder.initial_state(batch), decoder

    def encode(
        self, x: Floats, state: State, present: NDArray[np.bool_] | None = None
    ) -> tuple[Floats, State]:
        """Encode stacked frames; see `Backend`."""
        outputs = []
        batch, frames, _ = x.shape
        second = np.ones((batch, 1), np.float32)
        for begin in range(0, frames, PAIR):
            if present is not None:
                second = present[:, begin + 1, None].astype(np.float32)
            pair = np.ascontiguousarray(x[:, begin : begin + PAIR])
            f, state = self._encoder.run({"x": pair, "second": second}, state)
            outputs.append(f)
        if len(outputs) == 1:
            return outputs[0][:, None], state
        if not outputs:
            return np.zeros((batch, 0, self.specification.joint), np.float32), state
        return np.stack(outputs, axis=1), state

    def predict(self, tokens: NDArray[np.int64], state: State) -> tuple[Floats, State]:
        """Advance the prediction network by one token a row; see `Backend`."""
        return self._steps["prediction"].run({"token": tokens}, state)

    def join(self, f: Floats, g: Floats) -> Floats:
        """Return the logits; see `Backend`."""
        return self._steps["joint"].run({"f": f, "g": g})[0]

    def ctc(self, f: Floats) -> Floats:
        """Return CTC's log-probabilities; see `Backend`."""
        rows = np.ascontiguousarray(f.reshape(-1, f.shape[2]))
        scores, _ = self._steps["ctc"].run({"f": rows})
        return scores.reshape(*f.shape[:2], scores.shape[1])
