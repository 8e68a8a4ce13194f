"""Everything that a stream of samples becomes, in integers: the vectors of a hardware bundle.

The computation is the house's own: the fixed front end, the layers and the greedy decoder of the integer backend,
segments as `stream.engine.mute` cuts them. Here its values are only written down.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.hardware.front_end import entry, front_end_entries, front_end_values
from hwckpt.hardware_bundle import ArrayEntry
from stream.backends.integer import BlasLayer, BlasLinear, IntegerBackend
from stream.decoding.greedy import Greedy, Token
from stream.engine.mute import unmuted
from stream.front_end.log_mel import BINS
from stream.integer.fixed import best_class, joint_hidden
from stream.integer.network import CELL_EXPONENT, HIDDEN_EXPONENT, IntegerLayer, IntegerNetwork
from stream.model.network import Network
from stream.stage import State

Ints = NDArray[Any]  # of integers


def stream_arrays(integers: IntegerNetwork) -> tuple[ArrayEntry, ...]:
    """Return the arrays of a stream in the order of computation, without their numbers of rows."""
    specification = integers.specification
    hidden, joint = specification.hidden, specification.joint
    unit = specification.prediction_hidden
    exponent = integers.joint_encoder.exponent
    found = [
        entry("pcm", "i16", (), "samples, 16 kHz"),
        *front_end_entries(specification),
        entry(
            "x",
            "i8",
            (3 * BINS,),
            "normalised frames in threes, 10.16; zeros past the end",
            integers.quantisation.input,
        ),
    ]
    for stack, layers, size in (
        ("encoder.pre", integers.pre, hidden),
        ("encoder.post", integers.post, hidden),
        ("prediction.lstm", integers.prediction, unit),
    ):
        if stack == "prediction.lstm":
            found.append(entry("e", "i16", (joint,), "projected encoder frames, rule 5", exponent))
        for n in range(len(layers)):
            name = f"{stack}.{n}"
            found += [
                entry(f"{name}.c", "i16", (size,), "cell after each step", CELL_EXPONENT),
                entry(f"{name}.h", "i8", (size,), "hidden state after each step", HIDDEN_EXPONENT),
            ]
    output = integers.joint_output.exponent
    return (
        *found,
        entry("g", "i16", (joint,), "projected prediction network, rule 5", exponent),
        entry("joints", "u32", (), "evaluations of the joint before each row of g"),
        entry(
            "a", "u8", (joint,), "the joint's hidden vector, rule 6", integers.quantisation.joint
        ),
        entry("logits", "i32", (specification.blank + 1,), "logits, rule 7", output),
        entry("best", "u16", (), "class of the largest, the lowest of equals, rule 7"),
        entry("tokens", "u16", (), "tokens of the stream"),
        entry("steps", "u32", (), "encoder frame of each token, muted ones counted"),
    )


def trace_stream(
    network: Network, integers: IntegerNetwork, pcm: NDArray[np.int16]
) -> dict[str, Ints]:
    """Return every value of a whole stream, by the names of `stream_arrays`.

    Args:
        pcm: (samples,) at 16 kHz.
    """
    specification = integers.specification
    encoder = specification.encoder
    kept = unmuted(
        np.ldexp(
            pcm.astype(np.float32), -15
        ),  # exact, and what the fixed front end takes back to integers
        encoder.chunk_samples,
        specification.mute_chunks,
        specification.front_end.lead,
        specification.sound_chunks,
    )
    values = front_end_values(network, kept.samples)
    x = values["x"]
    recorder = Recorder(integers)
    tokens: list[Token] = []
    for part in kept.parts(encoder, len(x)):
        e = recorder.encode_segment(x[part.begin : part.end])
        greedy = Greedy(recorder)
        state = greedy.initial_state(1)
        state.step[:] = part.step
        heard = np.ldexp(e[None, part.silent :].astype(np.float32), -recorder.exponent)
        tokens += greedy.step(heard, state)[0][0]
    return {
        "pcm": pcm,
        **values,
        **recorder.arrays(),
        "tokens": np.array([token.id for token in tokens], np.int64),
        "steps": np.array([token.step for token in tokens], np.int64),
    }


class Recorder(IntegerBackend):
    """The integer backend for one stream; it writes down what it computes.

    Attributes:
        exponent: of e and g.
    """

    def __init__(self, integers: IntegerNetwork) -> None:
        super().__init__(integers)
        self.exponent = integers.joint_encoder.exponent
        self._integers = integers
        self._project_encoder = BlasLinear(integers.joint_encoder)
        entries = stream_arrays(integers)
        names = [entry.name for entry in entries]
        computed = entries[names.index("x") + 1 : names.index("tokens")]
        self._rows: dict[str, list[Ints]] = {entry.name: [] for entry in computed}
        self._shapes = {entry.name: entry.shape for entry in computed}

    def encode_segment(self, x: Ints) -> Ints:
        """Encode the inputs of a segment, (S, 240) int8, from the initial state; returns e, (E, J)."""
        h = self._layers("encoder.pre", self._integers.pre, x)
        paired = np.pad(h, ((0, len(h) % 2), (0, 0))).reshape(-1, 2 * h.shape[1])
        h = self._layers("encoder.post", self._integers.post, paired)
        e = self._project_encoder.project(h)
        self._rows["e"].extend(e)
        return e

    def _layers(self, stack: str, layers: tuple[IntegerLayer, ...], x: Ints) -> Ints:
        for n, layer in enumerate(layers):
            computed, rows = BlasLayer(layer), []
            state = computed.initial_state(1)
            for frame in x:
                h, state = computed.step(frame[None, None], state)
                rows.append(h[0, 0])
                self._record(f"{stack}.{n}", state)
            x = np.array(rows, np.int8).reshape(-1, layer.weight_hh.shape[1])
        return x

    def _record(self, layer: str, state: State) -> None:
        for leaf, value in zip("hc", state, strict=True):
            self._rows[f"{layer}.{leaf}"].append(value[0])

    def predict(self, tokens: NDArray[np.int64], state: State) -> tuple[NDArray[np.float32], State]:
        g, after = super().predict(tokens, state)
        for n, layer in enumerate(after):
            self._record(f"prediction.lstm.{n}", layer)
        self._rows["joints"].append(np.array(len(self._rows["best"])))
        self._rows["g"].append(np.ldexp(g[0], self.exponent).astype(np.int64))
        return g, after

    def join(self, f: NDArray[np.float32], g: NDArray[np.float32]) -> NDArray[Any]:
        e, of_g = (np.ldexp(each, self.exponent).astype(np.int64) for each in (f, g))
        logits = super().join(f, g)
        whole = np.ldexp(logits, self._integers.joint_output.exponent).astype(np.int64)
        self._rows["a"].append(joint_hidden(e, of_g)[0])
        self._rows["logits"].append(whole[0])
        self._rows["best"].append(best_class(whole)[0])
        return logits

    def arrays(self) -> dict[str, Ints]:
        """Return what was written down, a row for each step."""
        return {
            name: np.array(rows, np.int64).reshape(-1, *self._shapes[name][1:])
            for name, rows in self._rows.items()
        }
