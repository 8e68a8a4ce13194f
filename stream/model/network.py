"""Network: the neutral model between all formats, and `open_model`, which reads any of them.

A `Network` is a value: a frozen specification, arrays by the names below, the tokenizer's bytes. No
torch, no ONNX, nothing executed on load. A format is a pair of functions, file -> Network and
Network -> file; this file knows none of them except by name (`READERS`).

Arrays, float32; H hidden, P prediction hidden, J joint, V pieces, C = V + 1 classes, blank = V:

    encoder.pre.N.{weight_ih, weight_hh, bias_ih, bias_hh}    (4H, I), (4H, H), (4H,), (4H,)
    encoder.post.N.…                                          I = 2H for N = 0, else H
    prediction.embedding                                      (V, P); start of sequence is a zero vector
    prediction.lstm.N.…                                       as encoder, of size P
    joint.encoder.{weight, bias}, joint.prediction.…, joint.output.…    (J, H), (J, P), (C, J)
    normaliser.{mean, variance}                               (80,)

Gate order i, f, g, o. The arithmetic is NUMERICS 3, by `stream.backends`.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.front_end.gain_control import GainControl
from stream.front_end.gate import Gate
from stream.front_end.log_mel import BINS, STACK, FrontEnd
from stream.front_end.normaliser import Normaliser
from stream.model.quantisation import Quantisation
from stream.vocabulary import Vocabulary
from stream.words import WordDelay

__all__ = [
    "TIME_STACK",
    "ModelError",
    "Network",
    "NgramFile",
    "Specification",
    "layer_shapes",
    "open_model",
]

TIME_STACK = 2  # encoder frames joined between the pre- and the post-RNN: 30 ms -> 60 ms
Activation = Literal["hard", "soft"]
NumberFormat = Literal["float32", "bfp16"]


class ModelError(ValueError):
    """A file or array that is not the model it should be; `path` names the file where there is one."""

    def __init__(self, message: str, path: Path | None = None) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path


class Specification(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything of a model that is not an array.

    Attributes:
        window: analysis window of the front end, samples.
        floor: smallest mel power before the log.
        initial_padding: whether window - 160 zeros stand before the first sample (NUMERICS 1.1 #4).
        final_padding: zeros at the end of an utterance, samples.
        alpha: weight of a new frame in the running statistics; 0 = global statistics.
        pre_layers, post_layers, hidden: encoder layers before and after pair stacking, their size.
        prediction_layers, prediction_hidden: of the prediction network.
        joint: size of the joint.
        vocabulary: number of pieces V; blank is V.
        activation: of all LSTM layers.
        number_format: of the LSTM layers.
        gain_control: how quiet channels are lifted and tones taken out (`stream.front_end.gain_control`), or None.
        gate: which frames teach the running statistics (`stream.front_end.gate`), or None: all.
        mute_chunks: chunks of exact zeros after which a channel is muted (`stream.engine.mute`); 0 = never.
        word_delay: of the tokens, for the times of words (`stream.engine.alignment`), or None: not measured.
        sound_chunks: chunks with sound from which on a segment is decoded (`stream.engine.mute`); 0 = at once.
        quantisation: the integer formats that the weights are for (`stream.integer.network`), or None.
    """

    window: int = 400
    floor: float = 2.0**-23
    initial_padding: bool = False
    final_padding: int = 0
    alpha: float = 0.001
    pre_layers: int = 2
    post_layers: int = 2
    hidden: int = 256
    prediction_layers: int = 1
    prediction_hidden: int = 128
    joint: int = 256
    vocabulary: int
    activation: Activation = "hard"
    number_format: NumberFormat = "float32"
    gain_control: GainControl | None = None
    gate: Gate | None = None
    mute_chunks: int = 0
    word_delay: WordDelay | None = None
    sound_chunks: int = 0
    quantisation: Quantisation | None = None

    def __post_init__(self) -> None:
        positive = (
            "pre_layers",
            "post_layers",
            "hidden",
            "prediction_layers",
            "prediction_hidden",
        )
        for name in (*positive, "joint", "vocabulary"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, wants at least 1")
        if not 160 < self.window <= 512:
            raise ValueError(f"window is {self.window} samples, wants 161 to 512")
        if not 0.0 < self.floor < 1.0:
            raise ValueError(f"floor is {self.floor}, wants 0 < floor < 1")
        if not 0.0 <= self.alpha < 1.0:
            raise ValueError(f"alpha is {self.alpha}, wants 0 <= alpha < 1")
        if self.final_padding < 0:
            raise ValueError(f"final_padding is {self.final_padding} samples, wants at least 0")
        for name in ("mute_chunks", "sound_chunks"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, wants at least 0")
        if self.quantisation is not None:
            self._check_quantisation(self.quantisation)

    def _check_quantisation(self, quantisation: Quantisation) -> None:
        if self.activation != "hard":
            raise ValueError(
                f"quantisation: activation is {self.activation}, integers want hard; fine-tune the "
                "model with hard activations first"
            )
        if self.number_format != "float32":
            raise ValueError(
                f"quantisation: number_format is {self.number_format}, wants float32: a model is for "
                "integers or for block floating point"
            )
        self.check_layers(quantisation.weight_bits, "quantisation: weight_bits")

    def check_layers(self, names: Iterable[str], whose: str) -> None:
        """Refuse names that are none of `layer_names`.

        Raises:
            ValueError: a name is; the message begins with `whose`.
        """
        for name in names:
            if name not in self.layer_names:
                raise ValueError(
                    f"{whose} names {name!r}, the layers are {', '.join(self.layer_names)}"
                )

    @property
    def blank(self) -> int:
        """The id that moves time on: the last class. As a prediction network's input: start."""
        return self.vocabulary

    @property
    def front_end(self) -> FrontEnd:
        """The front end that this specification describes."""
        return FrontEnd(
            self.window, self.floor, self.initial_padding, self.final_padding, self.gain_control
        )

    @property
    def generation(self) -> Literal["1.4", "1.14"] | None:
        """The hardware generation whose arithmetic this is, the log floor left aside, or None."""
        if self.activation == "hard" and self.alpha > 0.0:
            return None if self.initial_padding else "1.4"
        if self.activation == "soft" and self.alpha == 0.0:
            return "1.14" if self.initial_padding else None
        return None

    @property
    def rounded(self) -> bool:
        """Whether weights are rounded where they are used, so that what folds is folded before."""
        return self.quantisation is not None or self.number_format != "float32"

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The names of the LSTM layers and of the joint's linear layers, in the order of `shapes`."""
        first = (".weight_ih", ".weight")
        return tuple(n.rpartition(".")[0] for n in self.shapes() if n.endswith(first))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every array by name, in the order of the signal's way."""
        shapes: dict[str, tuple[int, ...]] = {
            "normaliser.mean": (BINS,),
            "normaliser.variance": (BINS,),
        }
        for stack_name, first, layers, size in (
            ("encoder.pre", BINS * STACK, self.pre_layers, self.hidden),
            ("encoder.post", TIME_STACK * self.hidden, self.post_layers, self.hidden),
            (
                "prediction.lstm",
                self.prediction_hidden,
                self.prediction_layers,
                self.prediction_hidden,
            ),
        ):
            if stack_name == "prediction.lstm":
                shapes["prediction.embedding"] = (
                    self.vocabulary,
                    self.prediction_hidden,
                )
            for n in range(layers):
                inputs = first if n == 0 else size
                shapes |= {
                    f"{stack_name}.{n}.{k}": s for k, s in layer_shapes(inputs, size).items()
                }
        for name, rows, columns in (
            ("joint.encoder", self.joint, self.hidden),
            ("joint.prediction", self.joint, self.prediction_hidden),
            ("joint.output", self.vocabulary + 1, self.joint),
        ):
            shapes[f"{name}.weight"] = (rows, columns)
            shapes[f"{name}.bias"] = (rows,)
        return shapes


def layer_shapes(inputs: int, hidden: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of one LSTM layer's four arrays."""
    rows = 4 * hidden
    return {
        "weight_ih": (rows, inputs),
        "weight_hh": (rows, hidden),
        "bias_ih": (rows,),
        "bias_hh": (rows,),
    }


@dataclass(frozen=True)
class NgramFile:
    """The n-gram language model that a model carries, as `stream.language_model.files` reads it.

    Attributes:
        binary: content of a KenLM binary over the model's pieces.
        weight: factor of its log-probabilities; None: the model does not say.
    """

    binary: bytes
    weight: float | None


@dataclass(frozen=True)
class Network:
    """A model: specification, arrays, tokenizer, and its language model where it carries one.

    Attributes:
        specification: everything that is not an array.
        arrays: float32 arrays by the names of `Specification.shapes`.
        tokenizer: bytes of a SentencePiece model of `vocabulary` pieces.
        notes: provenance in free text: corpus, licence, updates, WER.
        path: where it was read from, for messages and for backends with files of their own.
        ngram: the n-gram model for beam search, or None. It is not parsed until a decoder asks for it.
    Raises:
        ModelError: an array is missing, superfluous, of another shape, or not finite; or the
            tokenizer has another number of pieces than the specification.
    """

    specification: Specification
    arrays: Mapping[str, NDArray[np.float32]]
    tokenizer: bytes
    notes: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None
    ngram: NgramFile | None = None

    def __post_init__(self) -> None:
        shapes = self.specification.shapes()
        for name in sorted(shapes.keys() ^ self.arrays.keys()):
            state = "missing" if name in shapes else "unknown to the specification"
            raise ModelError(f"array {name} is {state}", self.path)
        for name, shape in shapes.items():
            array = self.arrays[name]
            if array.shape != shape or array.dtype != np.float32:
                raise ModelError(
                    f"{name} is {array.dtype} {array.shape}, the specification wants float32 {shape}",
                    self.path,
                )
            if not np.isfinite(array).all():
                at = np.argwhere(~np.isfinite(array))[0].tolist()
                raise ModelError(f"{name} is not finite at {at}", self.path)
        if np.any(self.arrays["normaliser.variance"] <= 0.0):
            raise ModelError("normaliser.variance has a bin that is not positive", self.path)
        if len(self.vocabulary) != self.specification.vocabulary:
            raise ModelError(
                f"the tokenizer has {len(self.vocabulary)} pieces, "
                f"the specification {self.specification.vocabulary}",
                self.path,
            )

    def in_float(self) -> Network:
        """Return this model without a quantisation."""
        if self.specification.quantisation is None:
            return self
        specification = msgspec.structs.replace(self.specification, quantisation=None)
        return replace(self, specification=specification)

    def in_bfp16(self) -> Network:
        """Return this model with LSTM layers in block floating point, without a quantisation."""
        specification = msgspec.structs.replace(
            self.specification, quantisation=None, number_format="bfp16"
        )
        return replace(self, specification=specification)

    @functools.cached_property
    def vocabulary(self) -> Vocabulary:
        """The pieces, their texts, and the encoder of texts."""
        return Vocabulary(self.tokenizer)

    @functools.cached_property
    def normaliser(self) -> Normaliser:
        """The normaliser with this model's statistics."""
        return Normaliser(
            self.arrays["normaliser.mean"],
            self.arrays["normaliser.variance"],
            self.specification.alpha,
            self.specification.gate,
        )

    def layers(self, stack_name: str) -> Iterator[dict[str, NDArray[np.float32]]]:
        """Yield the arrays of each LSTM layer of "encoder.pre", "encoder.post" or "prediction.lstm"."""
        n = 0
        while f"{stack_name}.{n}.weight_ih" in self.arrays:
            yield {key: self.arrays[f"{stack_name}.{n}.{key}"] for key in layer_shapes(0, 0)}
            n += 1


class _Reader(Protocol):
    def recognises(self, path: Path) -> bool: ...
    def read(self, path: Path) -> Network: ...


# Modules with `recognises(path)` and `read(path)`, asked in this order. By name, because stream stands
# on nothing of ours. Recognising needs no library; reading a training checkpoint needs torch.
READERS = {
    "model directory": "stream.model.directory",
    "hardware checkpoint": "hwckpt.reader",
    "training checkpoint": "train.checkpoint",
}


def open_model(path: str | Path) -> Network:
    """Read a model directory, a hardware checkpoint or a training checkpoint, told apart by content.

    Raises:
        ModelError: the file is none of the three, or a broken one.
        FileNotFoundError: there is no such file.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such model. Name a model directory or a checkpoint.")
    for kind, module in READERS.items():
        reader = cast(_Reader, importlib.import_module(module))
        if not reader.recognises(path):
            continue
        try:
            return reader.read(path)
        except ModuleNotFoundError as error:
            raise ModelError(
                f"reading a {kind} needs {error.name}: pip install 'rill-asr[train]'", path
            ) from error
    raise ModelError(f"is none of: {', '.join(READERS)}", path)
