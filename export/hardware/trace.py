"""Everything that a stream of samples becomes, in integers: the vectors of a hardware bundle.

The computation is the house's own: the fixed front end, the layers and the greedy decoder of the integer backend,
segments as `stream.engine.mute` cuts them. Here its values are only written down.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwckpt.hardware_bundle import ArrayEntry, Type
from stream.backends.integer import BlasLayer, BlasLinear, IntegerBackend
from stream.decoding.greedy import Greedy, Token
from stream.engine.front_end import front_end_stages
from stream.engine.mute import unmuted
from stream.front_end.log_mel import BINS, streamed_log_mel
from stream.integer.fixed import best_class, joint_hidden
from stream.integer.front_end import FixedFrontEnd
from stream.integer.gain_control import FixedGain
from stream.integer.log_mel import FRACTION
from stream.integer.network import CELL_EXPONENT, HIDDEN_EXPONENT, IntegerLayer, IntegerNetwork
from stream.integer.normaliser import FixedNormaliser
from stream.model.network import Network
from stream.stage import Floats, State

Ints = NDArray[Any]  # of integers


def stream_arrays(integers: IntegerNetwork) -> tuple[ArrayEntry, ...]:
    """Return the arrays of a stream in the order of computation, without their numbers of rows."""
    specification = integers.specification
    hidden, joint = specification.hidden, specification.joint
    unit = specification.prediction_hidden
    exponent = integers.joint_encoder.exponent
    found = [
        _entry("pcm", "i16", (), "samples, 16 kHz"),
        _entry("log2_mel", "i32", (BINS,), "log2 of mel power of each frame, 10.11", FRACTION),
        _entry("frames", "i32", (BINS,), "the same after gain control, 10.19", FRACTION),
        _entry(
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
            found.append(_entry("e", "i16", (joint,), "projected encoder frames, rule 5", exponent))
        for n in range(len(layers)):
            name = f"{stack}.{n}"
            found += [
                _entry(f"{name}.c", "i16", (size,), "cell after each step", CELL_EXPONENT),
                _entry(f"{name}.h", "i8", (size,), "hidden state after each step", HIDDEN_EXPONENT),
            ]
    output = integers.joint_output.exponent
    return (
        *found,
        _entry("g", "i16", (joint,), "projected prediction network, rule 5", exponent),
        _entry("joints", "u32", (), "evaluations of the joint before each row of g"),
        _entry(
            "a", "u8", (joint,), "the joint's hidden vector, rule 6", integers.quantisation.joint
        ),
        _entry("logits", "i32", (specification.blank + 1,), "logits, rule 7", output),
        _entry("best", "u16", (), "class of the largest, the lowest of equals, rule 7"),
        _entry("tokens", "u16", (), "tokens of the stream"),
        _entry("steps", "u32", (), "encoder frame of each token, muted ones counted"),
    )


def _entry(
    name: str, kind: Type, row: tuple[int, ...], meaning: str, exponent: int | None = None
) -> ArrayEntry:
    return ArrayEntry(name=name, type=kind, shape=(0, *row), exponent=exponent, meaning=meaning)


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
    log2_mel, frames, x = _inputs(network, kept.samples)
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
        "log2_mel": log2_mel,
        "frames": frames,
        "x": x,
        **recorder.arrays(),
        "tokens": np.array([token.id for token in tokens], np.int64),
        "steps": np.array([token.step for token in tokens], np.int64),
    }


def _inputs(network: Network, samples: Floats) -> tuple[Ints, Ints, Ints]:
    """Return log2-mel frames before and after gain control, (F, 80), and the encoder's input, (S, 240)."""
    specification = network.specification
    front_end, normaliser = front_end_stages(network, "fixed")
    if not (isinstance(front_end, FixedFrontEnd) and isinstance(normaliser, FixedNormaliser)):
        raise TypeError("the fixed front end is of another type")
    control = specification.gain_control
    if control is not None:
        lowest = control.lowest(specification.floor)
        front_end = replace(front_end, floor=lowest, gain_control=None)
    log2_mel = frames = streamed_log_mel(samples[None], front_end)
    if control is not None:
        gain = FixedGain(control, specification.floor)
        frames, _ = gain.step(log2_mel, gain.initial_state(1))
    x, _ = normaliser.quantised(frames.astype(np.int64), normaliser.initial_state(1))
    stack = specification.encoder.stack
    stacked = np.pad(x[0], ((0, -len(x[0]) % stack), (0, 0))).reshape(-1, stack * BINS)
    return log2_mel[0], frames[0], stacked


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
