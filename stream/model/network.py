"""Network: the neutral model between all formats, and `open_model`, which reads any of them.

A `Network` is a value: a frozen specification, arrays by the names below, the tokenizer's bytes. No
torch, no ONNX, nothing executed on load. A format is a pair of functions, file -> Network and
Network -> file; this file knows none of them except by name (`READERS`).

Arrays, float32; E size of the encoder, P of the prediction network, J of the joint, C = V + 1 classes:

    encoder.…, prediction.…                                             of their families
    joint.encoder.{weight, bias}, joint.prediction.…, joint.output.…    (J, E), (J, P), (C, J)
    ctc.{weight, bias}                                                  (C, J), where there is a CTC head
    normaliser.{mean, variance}                                         (80,), where frames are normalised by statistics
    front_end.mel                                                       (80, 257), where the filters are learned

The arithmetic is NUMERICS 3, by `stream.backends`.
"""

from __future__ import annotations

import functools
import importlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream import bundled
from stream.extras import explain_missing_extras
from stream.front_end.filterbank import MEL, check_bank
from stream.front_end.frame_normaliser import AboveFloor, LayerNormaliser
from stream.front_end.log_mel import FrontEnd
from stream.front_end.normaliser import Normaliser
from stream.model.specification import ModelError, Specification
from stream.stage import Stage
from stream.vocabulary import Vocabulary


@dataclass(frozen=True)
class NgramFile:
    """The n-gram language model that a model carries, as `stream.language_model.files` reads it.

    Attributes:
        binary: content of a KenLM binary over the model's pieces, or words.
        weight: factor of its log-probabilities; None: the model does not say.
        word_bonus, unknown_penalty, internal_weight: of `stream.language_model.fusion.Fusion`.
    """

    binary: bytes
    weight: float | None
    word_bonus: float = 0.0
    unknown_penalty: float = 0.0
    internal_weight: float = 0.0


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
        if self.specification.has_statistics and np.any(self.arrays["normaliser.variance"] <= 0.0):
            raise ModelError("normaliser.variance has a bin that is not positive", self.path)
        if self.specification.front_end.learned:
            try:
                check_bank(self.arrays[MEL])
            except ValueError as error:
                raise ModelError(str(error), self.path) from None
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

    def with_chunk(self, ms: float) -> Network:
        """Return this model with chunks of another length, one that it was trained with.

        Raises:
            ArgumentError: it was not trained with such chunks.
        """
        specification = self.specification.with_chunk(ms)
        if specification is self.specification:
            return self
        return replace(self, specification=specification)

    @property
    def weights(self) -> int:
        """Number of trained weights."""
        return sum(a.size for name, a in self.arrays.items() if not name.startswith("normaliser."))

    @functools.cached_property
    def vocabulary(self) -> Vocabulary:
        """The pieces, their texts, and the encoder of texts."""
        return Vocabulary(self.tokenizer)

    @functools.cached_property
    def front_end(self) -> FrontEnd:
        """The front end, with this model's filters where they are learned."""
        return replace(self.specification.front_end, mel=self.arrays.get(MEL))

    @functools.cached_property
    def normaliser(self) -> Stage:
        """The normaliser, with this model's statistics where it has any."""
        return normaliser_of(self.specification, self.arrays)

    def layer(self, name: str) -> dict[str, NDArray[np.float32]]:
        """Return the arrays of a layer by what their names add to the layer's."""
        prefix = f"{name}."
        return {
            key.removeprefix(prefix): array
            for key, array in self.arrays.items()
            if key.startswith(prefix)
        }

    def layers(self, stack: str) -> Iterator[dict[str, NDArray[np.float32]]]:
        """Yield the arrays of each layer of a stack, such as "encoder.pre", as `layer` returns them."""
        for n in itertools.count():
            if not (layer := self.layer(f"{stack}.{n}")):
                return
            yield layer


def normaliser_of(specification: Specification, arrays: Mapping[str, NDArray[np.float32]]) -> Stage:
    """Return the normaliser that a specification describes, with the statistics among the arrays."""
    if specification.normaliser == "layer":
        return LayerNormaliser()
    if specification.normaliser == "none":
        return AboveFloor(specification.floor)
    return Normaliser(
        arrays["normaliser.mean"],
        arrays["normaliser.variance"],
        specification.alpha,
        specification.gate,
    )


# Modules with `recognises(path)` and `read(path)`, asked in this order. By name, because stream stands
# on nothing of ours. Recognising needs no library; reading a training checkpoint needs torch.
READERS = {
    "model directory": "stream.model.directory",
    "hardware checkpoint": "hwckpt.reader",
    "training checkpoint": "train.checkpoint",
}


def models_in(path: str | Path) -> list[Path]:
    """Return the models that a path names: the one that it is, or those of a folder of checkpoints.

    Raises:
        ModelError: it is a folder in which no file is a checkpoint.
    """
    folder = find_model(path)
    if not folder.is_dir() or _reader_of(folder) is not None:
        return [folder]
    found = [file for file in sorted(folder.glob("*.pt")) if _reader_of(file) is not None]
    if not found:
        raise ModelError("is no model directory, and holds no checkpoint (*.pt)", folder)
    return found


def find_model(path: str | Path) -> Path:
    """Return the path of a model; a bundled one may be named, such as "en-commands", unless a model is at that path.

    Raises:
        FileNotFoundError: the bundled model of that name is not installed.
    """
    path = Path(path)
    named = str(path) in bundled.NAMES and not kind_of(path)
    return bundled.model_path(str(path)) if named else path


def _reader_of(path: Path) -> ModuleType | None:
    kind = kind_of(path)
    return importlib.import_module(READERS[kind]) if kind else None


def kind_of(path: Path) -> str:
    """Return what a model is, by the names of `READERS`; empty if it is none of them."""
    found = (k for k, name in READERS.items() if importlib.import_module(name).recognises(path))
    return next(found, "")


def open_model(path: str | Path) -> Network:
    """Read a model directory, a hardware checkpoint or a training checkpoint, told apart by content.

    Args:
        path: of the model, or the name of a bundled one.
    Raises:
        ModelError: the file is none of the three, or a broken one.
        FileNotFoundError: there is no such file.
        MissingExtraError: it is a training checkpoint, and torch is not installed.
    """
    path = find_model(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such model. Name a model directory or a checkpoint.")
    reader = _reader_of(path)
    if reader is not None:
        with explain_missing_extras():
            network: Network = reader.read(path)
            return network
    raise ModelError(f"is none of: {', '.join(READERS)}", path)
