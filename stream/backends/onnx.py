"""The ONNX backend: ONNX Runtime on the graphs of a model directory, a graph for each role.

It knows no family: a graph says what it needs, by its inputs and outputs. `export.build` writes graphs.

1. A graph's role is its file's name up to the first dot: encoder, prediction, joint, ctc.
2. A state is the tuple of a graph's inputs that come back as outputs of the same name and ".after", in the
   graph's order, of the types and shapes that it declares. At the start of a stream it is filled with the
   graph's metadata "zero.NAME", or with 0, which is 128 for uint8.
3. A cache is a state of the last L entries, the oldest first, (B, ..., L, width). A graph takes the whole cache,
   and gives the entries that a step adds under the name and ".new", (B, ..., added, width): they come after
   the others, and as many of the oldest drop out (`stream.backends.states`).
4. The encoder takes a chunk of input frames, x (B, n, inputs), and gives f, (B, J) or (B, frames, J). Where n
   is no number in the graph, the graph serves every chunk length of the family. A further input, (B, k)
   float32, says which of the last k frames of the chunk are present: 1, else 0.
5. The prediction network takes token, (B,) int64, and gives g; the joint takes f and g and gives logits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from stream.backends import Backend
from stream.backends.session import open_session
from stream.encoders.family import appended
from stream.model.directory import graph_names
from stream.model.network import Network
from stream.model.specification import ModelError
from stream.stage import Floats, Integers, Mask, State

AFTER, NEW = ".after", ".new"
TYPES: dict[str, tuple[type, int]] = {  # of states, with their zeros
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
        self.inputs = {value.name: value for value in self._session.get_inputs()}
        # Each state with the output that follows from it.
        self.states, following = {}, {}
        for name in list(self.inputs):
            for ending in (AFTER, NEW):
                if (output := f"{name}{ending}") in outputs:
                    self.states[name], following[name] = self.inputs.pop(name), output
        self.caches = tuple(following[name].endswith(NEW) for name in self.states)
        self._wanted = [name for name in outputs if name not in following.values()]
        self._wanted += following.values()
        self._zeros = self._session.get_modelmeta().custom_metadata_map

    def initial_state(self, batch: int) -> State:
        """Return the state at the start of a stream."""
        leaves = []
        for name, value in self.states.items():
            dtype, zero = TYPES[value.type]
            zero = self._zeros.get(f"zero.{name}", zero)
            leaves.append(np.full((batch, *value.shape[1:]), dtype(zero), dtype))
        return tuple(leaves)

    def run(
        self, inputs: dict[str, NDArray[np.generic]], state: State = ()
    ) -> tuple[Floats, State]:
        """Run the graph; returns its one output, and of each state what the graph gives of it (rule 3)."""
        inputs.update(zip(self.states, state, strict=True))
        output, *following = self._session.run(self._wanted, inputs)
        return output, tuple(following)


class OnnxBackend(Backend):
    """A backend of a session for each role.

    Args:
        graphs: path or bytes of each graph by the name of its file: encoder, and prediction and joint, or
            ctc, or all of them.
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
        self.caches = self._encoder.caches if any(self._encoder.caches) else None
        chunk = network.specification.encoder.chunk_inputs
        # A length that is a name in the graph is that of the chunk (rule 4).
        lengths = {
            name: length if isinstance(length := value.shape[1], int) else chunk
            for name, value in self._encoder.inputs.items()
        }
        self._chunk = lengths.pop("x")
        self._present = lengths

    @property
    def state_names(self) -> tuple[str, ...]:
        """The names of the leaves of the encoder's state."""
        return tuple(self._encoder.states)

    def initial_state(self, batch: int) -> tuple[State, State]:
        """Return an array for each state input of the encoder and the prediction network."""
        prediction = self._steps.get("prediction")
        decoder = () if prediction is None else prediction.initial_state(batch)
        return self._encoder.initial_state(batch), decoder

    def encode(self, x: Floats, state: State, present: Mask | None = None) -> tuple[Floats, State]:
        outputs = []
        for begin in range(0, x.shape[1], self._chunk):
            chunk = slice(begin, begin + self._chunk)
            there = None if present is None else present[:, chunk]
            f, new = self.advance(x[:, chunk], state, there)
            state = new if self.caches is None else appended(self.caches, state, new)
            outputs.append(f)
        if len(outputs) == 1:
            return outputs[0], state
        if not outputs:
            return np.zeros((len(x), 0, self.specification.joint), np.float32), state
        return np.concatenate(outputs, axis=1), state

    def advance(self, x: Floats, state: State, present: Mask | None = None) -> tuple[Floats, State]:
        """Encode a chunk; see `stream.encoders.family.Encoder.advance`."""
        if present is None:
            present = np.ones(x.shape[:2], np.bool_)
        there = {
            name: present[:, self._chunk - last :].astype(np.float32)
            for name, last in self._present.items()
        }
        f, new = self._encoder.run({"x": np.ascontiguousarray(x), **there}, state)
        return f.reshape(len(x), -1, f.shape[-1]), new

    def predict(self, tokens: Integers, state: State) -> tuple[Floats, State]:
        return self._steps["prediction"].run({"token": tokens}, state)

    def join(self, f: Floats, g: Floats) -> Floats:
        return self._steps["joint"].run({"f": f, "g": g})[0]

    def ctc(self, f: Floats) -> Floats:
        rows = np.ascontiguousarray(f.reshape(-1, f.shape[2]))
        scores, _ = self._steps["ctc"].run({"f": rows})
        return scores.reshape(*f.shape[:2], scores.shape[1])
