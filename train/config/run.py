"""Configuration of a run as a whole: its data, its model, its length; `ConfigError`."""

from __future__ import annotations

import math
import re
from typing import Any, Literal

import msgspec

from stream.errors import ArgumentError
from stream.model.specification import Head, Specification, read_specification
from train.config.batches import AugmentationConfig, BatchConfig, HistoryConfig
from train.config.data import Data
from train.config.duration import Duration, Normalisation, StatePassing, check_duration, values_of
from train.config.init import InitConfig
from train.config.learning import Dropout, Loss, Optimiser
from train.config.log import Log
from train.config.ngram import NgramConfig
from train.config.pruning import PruningConfig

UPDATES = 6000  # of a run whose length is not given


class ConfigError(ArgumentError):
    """A configuration that cannot be run; the message names file, key and value."""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole run.

    Attributes:
        model: keys of `stream.model.specification.Specification`; `vocabulary` follows from the tokenizer,
            `number_format` and `quantisation` from `quantize`.
        seed: of weights, dropout and batches.
        updates, epochs: length of the run, by one of them; 6000 updates where neither is given. In an epoch
            each utterance is drawn once, on average where batches are drawn at random.
        precision: of the products over all frames of a batch; weights and recurrence are float32. "auto"
            measures at the start which of float32 and a format of 16 bits is faster here, and keeps it.
        device: cpu, cuda, one GPU as in cuda:1, or mps; "auto" takes CUDA where there is any, else the CPU.
        quantize: the arithmetic to fine-tune for, from a model to start from: integers
            (docs/integer.md), "int8", or "w4a8", whose LSTM layers have weights of 4 bits, both of
            hard activations; or block floating point, "bfp16", of either.
        statistics_jitter: standard deviation, in data-set deviations, by which a row's starting
            mean is moved: a channel's statistics are never exactly the data set's.
        history: what channels heard before their rows.
        normalisation: by what rows are normalised at first.
        state_passing: whether rows go on from those of the update before.
        pruning: which weights become zero.
        freeze_norms_from: update from which input normalisation keeps its statistics.
        validate_every, checkpoint_every: durations, in updates or as "1 epoch".
        resumable: how many of the last checkpoints stay to go back to, each four times as large as the
            weights.
        milestones, milestone_every: durations after which a checkpoint is written that is never removed.
        patience: validations without a better dev WER after which the run ends; None: it does not.
        min_delta: by how much a dev WER has to be lower to be better, a fraction.
        head: whose WER says which checkpoint is the best, what patience counts and what schedules by WER wait
            for, "transducer" or "ctc"; None: the model's first. Of a model with both, the other's is reported.
        keep: whether every validated state is kept, as update-000250.pt, for `train.sweep`.
        init: which parts of another model the run starts from; None: from all of that of `--init-from`.
        ngram: the n-gram model that checkpoints carry, for beam search; None: that of the model that the run
            starts from, where it has one and the tokenizer is the same.
        log: what is shown of the run, and where.
    """

    model: dict[str, Any]
    data: Data
    batches: BatchConfig = BatchConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    optimiser: Optimiser = Optimiser()
    dropout: Dropout = Dropout()
    loss: Loss = Loss()
    seed: int = 1
    updates: int | None = None
    epochs: float | None = None
    precision: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    device: str = "auto"
    quantize: Literal["none", "int8", "w4a8", "bfp16"] = "none"
    statistics_jitter: float = 0.2
    history: HistoryConfig = HistoryConfig()
    normalisation: Normalisation = Normalisation()
    state_passing: StatePassing = StatePassing()
    pruning: PruningConfig = PruningConfig()
    freeze_norms_from: int | None = None
    validate_every: Duration = 250
    checkpoint_every: Duration = 100
    resumable: int = 3
    milestones: tuple[Duration, ...] = ()
    milestone_every: Duration | None = None
    patience: int | None = None
    min_delta: float = 0.0
    head: Head | None = None
    keep: bool = False
    ngram: NgramConfig | None = None
    init: InitConfig | None = None
    log: Log = Log()

    def __post_init__(self) -> None:
        for name, source in (
            ("vocabulary", "the tokenizer"),
            ("number_format", "quantize"),
            ("quantisation", "quantize"),
        ):
            if name in self.model:
                raise ValueError(f"model.{name} follows from {source}: leave it out")
        try:
            specification = self.specification(1)
        except msgspec.ValidationError as error:
            raise ValueError(f"model: {error}") from error
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?|mps", self.device):
            raise ValueError(f"device is {self.device}, wants auto, cpu, cuda, cuda:1 or mps")
        wanted: dict[str, tuple[object, object]] = {}
        if self.quantize != "none":
            wanted["dropout.recurrent"] = self.dropout.recurrent, 0.0
        if self.integers:
            wanted["device"] = self.device if self.device != "auto" else "cpu", "cpu"
            wanted["model.activation"] = specification.activation, "hard"
            wanted["model.decoder"] = specification.decoder or "transducer", "transducer"
        for name, (value, want) in wanted.items():
            if value != want:
                raise ValueError(f"{name} is {value}, quantize = {self.quantize} wants {want}")
        if not specification.has_statistics and self.normalisation.stream_share < 1.0:
            raise ValueError(
                f"normalisation.stream_share is {self.normalisation.stream_share}, and model.normaliser is "
                f"{specification.normaliser}: there are no statistics of a stream to blend with"
            )
        if specification.decoder == "both" and not any(values_of("loss.ctc", self.loss.ctc)):
            raise ValueError(f"loss.ctc is {self.loss.ctc}, model.decoder = both wants more than 0")
        specification.head(self.head)
        self._check_length()
        for name in ("validate_every", "checkpoint_every"):
            check_duration(name, getattr(self, name), 1)
        for milestone in self.milestones:
            check_duration("milestones", milestone, 1)
        if self.milestone_every is not None:
            check_duration("milestone_every", self.milestone_every, 1)
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience is {self.patience}, wants at least 1")
        if not 0.0 <= self.min_delta < 1.0:
            raise ValueError(f"min_delta is {self.min_delta}, wants 0 <= min_delta < 1")
        for name in ("seed", "resumable"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, wants at least 0")

    def _check_length(self) -> None:
        if self.updates is not None and self.epochs is not None:
            raise ValueError(
                f"updates is {self.updates} and epochs is {self.epochs:g}: a run has one length"
            )
        if self.epochs is not None and not 0.0 < self.epochs < math.inf:
            raise ValueError(f"epochs is {self.epochs}, wants more than 0")
        if self.epochs is None:
            updates = UPDATES if self.updates is None else self.updates
            if updates < 1:
                raise ValueError(f"updates is {updates}, wants at least 1")
            msgspec.structs.force_setattr(self, "updates", updates)

    @property
    def integers(self) -> bool:
        """Whether the run trains in integers."""
        return self.quantize in ("int8", "w4a8")

    def specification(self, vocabulary: int) -> Specification:
        """Return the specification of a model of that many pieces, without a quantisation."""
        number_format = "bfp16" if self.quantize == "bfp16" else "float32"
        return read_specification(
            {**self.model, "number_format": number_format, "vocabulary": vocabulary}
        )
