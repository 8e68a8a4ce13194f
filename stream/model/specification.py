"""Specification: everything of a model that is not an array, and `ModelError`.

Encoder and prediction network belong to families (`stream.encoders`, `stream.prediction`). A specification
without a family uses LSTMs, with their sizes as top-level fields. This is the format from before families,
and is still written. Another family is an object under "encoder" or "prediction", tagged with its name:

    {"window": 400, …, "encoder": {"family": "conformer", "layers": 12, …}}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from stream import encoders, prediction
from stream.encoders.family import Encoder
from stream.encoders.lstm import LSTM
from stream.encoders.lstm_layer import Activation, NumberFormat
from stream.errors import ArgumentError, InputError
from stream.front_end.filterbank import MEL, Filterbank
from stream.front_end.gain_control import GainControl
from stream.front_end.gate import Gate
from stream.front_end.log_mel import BINS, FFT, FrontEnd
from stream.model.quantisation import Quantisation
from stream.prediction.family import Prediction
from stream.prediction.lstm import PredictionLSTM
from stream.words import WordDelay

SYMBOLS_PER_STEP = 30  # of a greedy decoder, where a model does not say (NUMERICS 4.1)
Head = Literal["transducer", "ctc"]  # what turns encoder frames into scores of tokens


class ModelError(InputError):
    """A file or array that is not the model it should be; `path` names the file where there is one."""

    def __init__(self, message: str, path: Path | None = None) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path


class OwnChunk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a model has of its own, where chunks of another length are in use.

    Attributes:
        chunk_ms: length of its chunks, milliseconds.
        mute_chunks, sound_chunks: counted in these.
    """

    chunk_ms: int
    mute_chunks: int
    sound_chunks: int


class Specification(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything of a model that is not an array; see the top of this file.

    Attributes:
        window: analysis window of the front end, samples.
        floor: smallest mel power before the log.
        initial_padding: whether window - 160 zeros stand before the first sample (NUMERICS 1.1 #4).
        final_padding: zeros that are computed after an utterance, samples, so that its last words come
            (`stream.engine.endings`).
        alpha: weight of a new frame in the running statistics; 0 = global statistics.
        pre_layers, post_layers, hidden: sizes of an LSTM encoder (`stream.encoders.lstm`).
        prediction_layers, prediction_hidden: sizes of an LSTM prediction network.
        joint: size of the joint.
        vocabulary: number of pieces V; blank is V.
        activation, number_format: of LSTM layers, wherever they are.
        gain_control: how quiet channels are lifted and tones taken out (`stream.front_end.gain_control`), or None.
        gate: which frames update the running statistics (`stream.front_end.gate`), or None: all.
        mute_chunks: chunks of exact zeros after which a channel is muted (`stream.engine.mute`); 0 = never.
        word_delay: of the tokens, for the times of words (`stream.engine.alignment`), or None: not measured. Of an
            encoder with several lengths of chunk, one for each, in the order of its `chunk_lengths`.
        sound_chunks: chunks with sound from which on a segment is decoded (`stream.engine.mute`); 0 = at once.
        quantisation: the integer formats that the weights are for (`stream.integer.network`), or None.
        decoder: what turns encoder frames into tokens: prediction network and joint ("transducer"), a CTC
            head ("ctc"), or either ("both"). Absent is a transducer; `heads` is what a model has.
        symbol_counter: "running": a greedy decoder counts tokens on over encoder frames, as the hardware does
            from version 1.12 on (`stream.decoding.greedy`). Absent: it counts them frame by frame.
        symbols_per_step: most tokens of an encoder frame, of a transducer: then decoding goes on to the next
            frame. Absent: 30 in a greedy search, as on Myrtle's hardware.
        other_encoder, other_prediction: of another family than the LSTM; in files "encoder" and
            "prediction". `encoder` and `prediction` are what a model has.
        filterbank: of the front end; in files "front_end". Absent is the fixed mel bank over power.
        normaliser: "layer", each frame by its own mean and variance, or "none" (`stream.front_end.frame_normaliser`);
            absent, or "statistics": by running or global statistics (`alpha`, `gate`).
        own_chunk: what the model has of its own, where chunks of another length are in use (`with_chunk`). Absent: all.
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
    word_delay: WordDelay | tuple[WordDelay, ...] | None = None
    sound_chunks: int = 0
    quantisation: Quantisation | None = None
    decoder: Literal["transducer", "ctc", "both"] | UnsetType = UNSET
    symbol_counter: Literal["running"] | UnsetType = UNSET
    symbols_per_step: int | UnsetType = UNSET
    other_encoder: Encoder | UnsetType = msgspec.field(default=UNSET, name="encoder")
    other_prediction: Prediction | UnsetType = msgspec.field(default=UNSET, name="prediction")
    filterbank: Filterbank | UnsetType = msgspec.field(default=UNSET, name="front_end")
    normaliser: Literal["statistics", "layer", "none"] | UnsetType = UNSET
    own_chunk: OwnChunk | UnsetType = UNSET

    def __post_init__(self) -> None:
        positive = ("pre_layers", "post_layers", "hidden", "prediction_layers", "prediction_hidden")
        for name in (*positive, "joint", "vocabulary"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, wants at least 1")
        if not 160 < self.window <= 512:
            raise ValueError(f"window is {self.window} samples, wants 161 to 512")
        if not 0.0 < self.floor < 1.0:
            raise ValueError(f"floor is {self.floor}, wants 0 < floor < 1")
        if not 0.0 <= self.alpha < 1.0:
            raise ArgumentError(f"alpha is {self.alpha}, wants 0 <= alpha < 1")
        if self.final_padding < 0:
            raise ArgumentError(f"final_padding is {self.final_padding} samples, wants at least 0")
        for name in ("mute_chunks", "sound_chunks"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, wants at least 0")
        if self.symbols_per_step is not UNSET and self.symbols_per_step < 1:
            raise ValueError(f"symbols_per_step is {self.symbols_per_step}, wants at least 1")
        if isinstance(self.word_delay, tuple):
            lengths = self.encoder.chunk_lengths
            if len(self.word_delay) != len(lengths):
                raise ValueError(
                    f"word_delay has {len(self.word_delay)} entries, wants one for each chunk of "
                    f"{', '.join(map(str, lengths))} ms"
                )
        # In files these are said by saying nothing.
        for name, usual in (
            ("symbols_per_step", SYMBOLS_PER_STEP),
            ("decoder", "transducer"),
            ("filterbank", Filterbank()),
            ("normaliser", "statistics"),
        ):
            if getattr(self, name) == usual:
                msgspec.structs.force_setattr(self, name, UNSET)
        if self.gate is not None and not self.has_statistics:
            raise ArgumentError(
                f"gate is set, and normaliser is {self.normaliser}: there are no statistics to gate"
            )
        if self.number_format != "float32":
            self.require_lstm(f"number_format {self.number_format}")
        if self.quantisation is not None:
            self.require_lstm("a quantisation")
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
        if "ctc" in self.heads:
            raise ArgumentError(f"quantisation: decoder is {self.decoder}, integers have no ctc")
        self.check_layers(quantisation.weight_bits, "quantisation: weight_bits")

    def check_layers(self, names: Iterable[str], whose: str) -> None:
        """Refuse names that are not among `layer_names`.

        Raises:
            ArgumentError: a name is not; the message begins with `whose`.
        """
        for name in names:
            if name not in self.layer_names:
                raise ArgumentError(
                    f"{whose} names {name!r}, the layers are {', '.join(self.layer_names)}"
                )

    @property
    def token_cap(self) -> int:
        """The most tokens of an encoder frame."""
        return self.symbols_per_step or SYMBOLS_PER_STEP

    @property
    def blank(self) -> int:
        """The id that moves time on: the last class. As a prediction network's input: start."""
        return self.vocabulary

    @property
    def front_end(self) -> FrontEnd:
        """The front end that this specification describes; `Network.front_end` has learned filters, too."""
        filters = self.filterbank or Filterbank()
        return FrontEnd(
            self.window,
            self.floor,
            self.initial_padding,
            self.final_padding,
            self.gain_control,
            filters.spectrum,
            filters.mel == "learned",
        )

    @property
    def generation(self) -> Literal["1.4", "1.14"] | None:
        """The hardware generation whose arithmetic this is, the log floor left aside, or None."""
        if self.uncommon_features():
            return None
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
    def encoder(self) -> Encoder:
        """The encoder's family and sizes."""
        if self.other_encoder is not UNSET:
            return self.other_encoder
        return LSTM(
            self.pre_layers, self.post_layers, self.hidden, self.activation, self.number_format
        )

    def with_chunk(self, ms: float) -> Specification:
        """Return the specification with another length of chunk, one that the encoder was trained with.

        What is counted in chunks, `mute_chunks` and `sound_chunks`, lasts at least as long as in the model's own.

        Raises:
            ArgumentError: the encoder was not trained with such chunks.
        """
        encoder = self.encoder.with_chunk(ms)
        if encoder == self.encoder:
            return self
        own = self.own_chunk
        if own is UNSET:
            own = OwnChunk(self.encoder.chunk_length, self.mute_chunks, self.sound_chunks)
        length = encoder.chunk_length
        return msgspec.structs.replace(
            self,
            other_encoder=encoder,
            mute_chunks=-(-own.mute_chunks * own.chunk_ms // length),
            sound_chunks=-(-own.sound_chunks * own.chunk_ms // length),
            own_chunk=UNSET if length == own.chunk_ms else own,
        )

    @property
    def usual_delay(self) -> WordDelay:
        """The word delay with the chunks in use; where none was measured, that of the bundled model."""
        if isinstance(self.word_delay, tuple):
            return self.word_delay[self.encoder.chunk_lengths.index(self.encoder.chunk_length)]
        return self.word_delay or WordDelay()

    @property
    def prediction(self) -> Prediction:
        """The prediction network's family and sizes."""
        if self.other_prediction is not UNSET:
            return self.other_prediction
        return PredictionLSTM(
            self.prediction_layers, self.prediction_hidden, self.activation, self.number_format
        )

    @property
    def heads(self) -> tuple[Head, ...]:
        """The heads that the model has; the first decodes where no other is asked for."""
        return ("transducer", "ctc") if self.decoder == "both" else (self.decoder or "transducer",)

    def head(self, wanted: Head | None = None) -> Head:
        """Return the head that decodes: the one that is wanted, or the first.

        Raises:
            ArgumentError: the model has no such head.
        """
        if wanted is not None and wanted not in self.heads:
            raise ArgumentError(f"head is {wanted!r}; the model has only {self.heads[0]!r}")
        return wanted or self.heads[0]

    @property
    def has_statistics(self) -> bool:
        """Whether frames are normalised by statistics, which are arrays of the model then."""
        return self.normaliser is UNSET

    def uncommon_features(self) -> list[str]:
        """Return, in words, what in the model's input frames only Rill's float front end computes."""
        found = []
        if self.front_end.learned:
            found.append("the mel is learned")
        if self.front_end.spectrum != "power":
            found.append(f"the mel is of the {self.front_end.spectrum} spectrum")
        if not self.has_statistics:
            found.append(f"normaliser is {self.normaliser}")
        return found

    def require_common_features(self, target: str) -> None:
        """Refuse a target that computes frames only by the fixed mel of power, normalised by statistics.

        Args:
            target: what the model is to be written or computed as, for the message.
        Raises:
            ModelError: the model has other frames.
        """
        if found := self.uncommon_features():
            raise ModelError(
                f"{target} wants frames of the fixed mel over the power spectrum, normalised by statistics; "
                f"in this model {' and '.join(found)}"
            )

    def require_lstm(self, target: str) -> None:
        """Refuse a target that computes LSTM layers and no other family.

        Args:
            target: what the model is to be written or computed as, for the message.
        Raises:
            ModelError: the encoder or the prediction network is of another family.
        """
        for part, family in (("encoder", self.encoder), ("prediction", self.prediction)):
            if family.family != "lstm":
                raise ModelError(
                    f"{target} is for LSTM layers, and the model's {part} is of the family "
                    f"{family.family!r}"
                )

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The names of the layers of both networks and of the joint, in the order of `shapes`."""
        encoder = self.encoder.layers()
        if "transducer" not in self.heads:
            return (*encoder, "joint.encoder")
        joint = ("joint.encoder", "joint.prediction", "joint.output")
        return (*encoder, *self.prediction.layers(), *joint)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every array by name, in the order of the signal's way."""
        shapes: dict[str, tuple[int, ...]] = {}
        if self.front_end.learned:
            shapes[MEL] = (BINS, FFT // 2 + 1)
        if self.has_statistics:
            shapes |= {"normaliser.mean": (BINS,), "normaliser.variance": (BINS,)}
        shapes |= self.encoder.shapes()
        classes = self.vocabulary + 1
        linear = [("joint.encoder", self.joint, self.encoder.size)]
        if "transducer" in self.heads:
            shapes |= self.prediction.shapes(self.vocabulary)
            linear.append(("joint.prediction", self.joint, self.prediction.size))
            linear.append(("joint.output", classes, self.joint))
        if "ctc" in self.heads:
            linear.append(("ctc", classes, self.joint))
        for name, rows, columns in linear:
            shapes[f"{name}.weight"] = (rows, columns)
            shapes[f"{name}.bias"] = (rows,)
        return shapes


def read_specification(content: Mapping[str, Any]) -> Specification:
    """Return the specification that `msgspec.to_builtins` gave, or a configuration names.

    Raises:
        msgspec.ValidationError: a key is unknown, or a value is not what it should be.
    """
    return msgspec.convert(content, Specification, dec_hook=decode_family)


def decode_family(kind: type[Any], content: Any) -> Any:
    """Return the encoder or prediction network of a specification, as a `dec_hook` of msgspec.

    Raises:
        msgspec.ValidationError: there is no such family, or it has no such key.
    """
    known = families(kind)
    part = "encoder" if kind is Encoder else "prediction network"
    name = content.get("family") if isinstance(content, dict) else None
    if name is None:
        wanted = " or ".join(f'"{family}"' for family in known)
        raise ValueError(f"{part} is no table with its family, {wanted}")
    if name not in known:
        raise ValueError(f"{part} is of the family {name!r}, wants {' or '.join(known)}")
    try:
        return msgspec.convert(content, known[name])
    except msgspec.ValidationError as error:
        raise ValueError(f"{part}: {error}") from error  # msgspec adds the place of the table


def families(kind: type[Any]) -> Mapping[str, Any]:
    """Return the families of encoders, or of prediction networks, by name."""
    return encoders.FAMILIES if kind is Encoder else prediction.FAMILIES
