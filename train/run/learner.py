"""A model in training: one update of its weights, their average, and the state to go on from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import torch

from stream.encoders.lstm_layer import Activation
from stream.front_end.normaliser import Normaliser
from stream.model.specification import ModelError
from stream.vocabulary import Vocabulary
from train import checkpoint
from train.checkpoints.resume import Resumed
from train.config.duration import updates_in
from train.config.learning import Optimiser
from train.config.run import Config
from train.data.rows import Batch
from train.loss.objective import Objective, Parts
from train.model import Transducer
from train.optimiser.average import Ema
from train.optimiser.freezing import Freezing
from train.optimiser.gradient_noise import add_gradient_noise, noise_deviation
from train.optimiser.lamb import Lamb
from train.optimiser.weights import check_keys, groups, named_weights, restore
from train.run.inputs import InputFrames
from train.run.start import Material, Start
from train.run.starting_model import specification_of, starting_model
from train.schedules.calendar import Calendar
from train.schedules.learning_rate import LearningRate
from train.schedules.penalties import blend_span, stream_share

__all__ = ["Learned", "Learner"]


class Learned(NamedTuple):
    """What an update did: its learning rate, losses, and the gradient's norm before clipping."""

    rate: float
    parts: Parts
    norm: float


class Learner:
    """Weights, optimiser and averaged weights of a run.

    Args:
        config, start, material: of the run.
        resumed: the checkpoint that it resumes from, or None.
    Attributes:
        objective: the loss, which holds the model in training, `model`.
        average: the averaged weights, which are validated and exported.
        calendar: when the run validates, saves and ends.
        update: how many were made.
        wers: on dev, of each validation so far, fractions.
        transfer: what was taken from another model, where that is not all of it, or None.
    Raises:
        ConfigError: the configuration cannot be trained from this start.
        ModelError: the weights, or the checkpoint, are of another model.
    """

    def __init__(
        self, config: Config, start: Start, material: Material, resumed: Resumed | None = None
    ) -> None:
        self.config, self.update = config, 0
        self.wers: list[float] = []
        vocabulary = Vocabulary(start.tokenizer)
        self._pieces = vocabulary.pieces
        plain = config.specification(len(vocabulary))
        self.normaliser = Normaliser(start.mean, start.variance, plain.alpha, plain.gate)
        self._frames = InputFrames(config, material.batches.rows, self.normaliser)
        specification = specification_of(
            config, start, material, self._frames, len(vocabulary), resumed
        )
        model, self.transfer = starting_model(config, start, specification, config.dropout)
        self.objective = Objective(model, config.loss, self._pieces)
        self.calendar = Calendar.of(config, material.batches.epoch)
        self.rate = LearningRate.of(config.optimiser, self.calendar)
        self.optimiser = self._optimiser()
        self.freezing = self._freezing()
        self.average = Ema(model, config.optimiser.ema)
        if resumed is not None:
            self._resume(resumed)

    def _optimiser(self) -> Lamb:
        optimiser, weights = self.config.optimiser, named_weights(self.objective)
        check_keys("optimiser.factors", optimiser.factors, weights)
        return Lamb(
            [
                {"params": [weights[name] for name in names], "factor": factor}
                for factor, names in groups(weights, optimiser)
            ],
            betas=(optimiser.beta1, optimiser.beta2),
            eps=optimiser.eps,
            weight_decay=optimiser.weight_decay,
            max_norm=optimiser.clip_norm,
            trust_ratio=optimiser.kind == "lamb",
        )

    def _freezing(self) -> Freezing:
        optimiser = self.config.optimiser
        until: dict[str, int | None] = dict.fromkeys(optimiser.freeze)
        for part, duration in optimiser.freeze_until.items():
            until[part] = updates_in(duration, self.calendar.epoch)
        return Freezing(self.objective, until, self.config.freeze_norms_from)

    @property
    def model(self) -> Transducer:
        """The model in training, not the averaged one."""
        return self.objective.model

    def learn(self, batch: Batch) -> Learned:
        """Make one update."""
        config, optimiser = self.config, self.config.optimiser
        self.update += 1
        torch.manual_seed(config.seed * 1_000_003 + self.update)  # dropout, and what follows
        self.objective.train()
        self.freezing.apply(self.update)
        self.objective.set_penalties(self.update, self.wers, self.calendar.epoch)
        inputs = self._frames.of(batch, self.update, self.model.specification, self._stream_share())
        with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bfloat16"):
            parts = self.objective(*inputs, self.update)
        self.optimiser.zero_grad(set_to_none=True)
        parts.total.backward()
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate(group)
        add_gradient_noise(
            self.model.encoder_parameters(),
            noise_deviation(
                self.update,
                optimiser.gradient_noise,
                optimiser.gradient_noise_decay,
                updates_in(optimiser.gradient_noise_start, self.calendar.epoch),
            ),
        )
        norm = self.optimiser.step()
        self.average.update(self.model)
        return Learned(self.rate.at(self.update), parts, norm)

    def _stream_share(self) -> float:
        blend = self.config.normalisation
        start, end = blend_span(blend, self.config.optimiser, self.calendar.epoch)
        return stream_share(self.update, start=start, end=end, first=blend.stream_share)

    def remarks(self) -> Iterator[str]:
        """Yield what is odd about the run's schedules."""
        blend, end = self.config.normalisation, self.calendar.end
        late = blend_span(blend, self.config.optimiser, self.calendar.epoch)[1]
        if blend.stream_share < 1.0 and late > end:
            yield (
                f"the run ends at update {end}, before its rows are normalised as streams are, at "
                f"{late}: lower normalisation.delay or normalisation.ramp"
            )
        for milestone in sorted(self.calendar.milestones):
            if milestone > end:
                yield f"milestones: the run ends at update {end}, before {milestone}"

    def averaged(self, activation: Activation) -> Transducer:
        """Return a model of the averaged weights with that activation, in evaluation mode."""
        specification = msgspec.structs.replace(self.model.specification, activation=activation)
        module = Transducer(specification, normalised=not specification.rounded)
        module.load_state_dict(self.average.state_dict())
        return module.eval()

    def evaluated(self) -> Objective:
        """Return the loss of the averaged weights, in evaluation mode; its auxiliary heads are not averaged."""
        averaged = self.averaged(self.model.specification.activation)
        objective = Objective(averaged, self.config.loss, self._pieces)
        for name, head in self.objective.named_children():
            if name != "model":
                objective.get_submodule(name).load_state_dict(head.state_dict())
        return objective.eval()

    def rates(self) -> dict[str, float]:
        """Return the learning rate of each group of weights: by its factor, the output layer's as `output`."""
        *rest, output = self.optimiser.param_groups
        by_factor = {f"x{group['factor']:g}": self._rate(group) for group in rest}
        return by_factor | ({"output": self._rate(output)} if output["params"] else {})

    def _rate(self, group: dict[str, Any]) -> float:
        return self.rate.at(self.update, group["factor"])

    def finite(self) -> bool:
        """Return whether every weight is a finite number."""
        return all(bool(torch.isfinite(p).all()) for p in self.objective.parameters())

    def state_dict(self) -> dict[str, Any]:
        """Return what resuming needs besides the averaged weights."""
        return {
            "update": self.update,
            "objective": self.objective.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "wers": list(self.wers),
        }

    def _resume(self, resumed: Resumed) -> None:
        content, path = resumed.content, resumed.path
        if checkpoint.specification_of(content, path) != self.model.specification:
            raise ModelError("is of another [model]; choose another --output", path)
        self.objective.load_state_dict(content["objective"])
        weights = named_weights(self.objective)
        before = content["config"].get("optimiser", {})
        keys = {"factors", "joint_factor"} & before.keys()  # all that its groups depend on
        orders = (Optimiser(**{key: before[key] for key in keys}), self.config.optimiser)
        restore(
            self.optimiser,
            content["optimiser"],
            *([n for _, names in groups(weights, each) for n in names] for each in orders),
        )
        self.average.load_state_dict(content["averaged"])
        self.update = content["update"]
        self.wers = list(content.get("wers", ()))  # an older Rill's does not say
