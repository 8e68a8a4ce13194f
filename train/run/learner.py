"""A model in training: one update of its weights, their average, and the state to go on from."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from stream.encoders.lstm_layer import Activation
from stream.front_end.log_mel import SAMPLE_RATE, FrontEnd
from stream.model.network import normaliser_of
from stream.model.specification import ModelError
from stream.vocabulary import Vocabulary
from train import checkpoint
from train.checkpoints.resume import Resumed
from train.compute.device import device_of
from train.compute.precision import autocast, fastest, measured
from train.compute.ranks import ALONE, Ranks
from train.config.duration import updates_in
from train.config.learning import Optimiser
from train.config.run import Config
from train.data.lazy.permutation import key_of
from train.data.rows import Batch
from train.encoders.input_norm import advance_norms, forget_batches
from train.loss.objective import Objective, Parts
from train.model import Transducer
from train.optimiser.average import Ema
from train.optimiser.freezing import Freezing
from train.optimiser.gradient_noise import add_gradient_noise, noise_deviation
from train.optimiser.pruning import Pruning
from train.optimiser.weights import groups, named_weights, optimiser_of, restore
from train.run.inputs import FramedBatches, InputFrames
from train.run.learned import Learned, Losses
from train.run.material import Material
from train.run.provenance import Seen
from train.run.start import Start
from train.run.starting_model import specification_of, starting_model
from train.run.state_passing import PassedStates, states_after
from train.schedules.calendar import Calendar
from train.schedules.learning_rate import LearningRate
from train.schedules.penalties import blend_span, stream_share

MEASURED_BATCHES = 2


class Learner:
    """Weights, optimiser and averaged weights of a run.

    An update learns from the batches of all its parts and ranks as if they were one: a batch's random draws
    depend on its number alone, and its weight is its number of utterances.

    Args:
        config, start, material: of the run.
        resumed: the checkpoint that it resumes from, or None.
        ranks: this process among those that train together.
    Attributes:
        config: the run's, with the precision that was chosen.
        material: the run's, of which `drawn` yields this rank's batches.
        seconds: of a batch, by precision, where one was chosen by measuring; else empty.
        objective: the loss, which holds the model in training, `model`.
        average: the averaged weights, which are validated and exported.
        calendar: when the run validates, saves and ends.
        update: the number of updates made so far.
        wers: the dev WER of each validation so far, fractions.
        seen: how much it has learned from, by origin.
        transfer: which weights come from another model, where `init` chooses; else None.
    Raises:
        ConfigError: the configuration cannot be trained from this start, or on this machine.
        ModelError: the weights, or the checkpoint, are of another model.
    """

    def __init__(
        self,
        config: Config,
        start: Start,
        material: Material,
        resumed: Resumed | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self.config, self.update, self._ranks = config, 0, ranks
        self.wers: list[float] = []
        self.seen = Seen(ranks)
        self.device = device_of(config, ranks.local, ranks.count)
        vocabulary = Vocabulary(start.tokenizer)
        self._pieces = vocabulary.pieces
        plain = config.specification(len(vocabulary))
        self.normaliser = normaliser_of(plain, start.statistics)
        rows, encoder = material.batches.rows, plain.encoder
        self._frames = InputFrames(config, rows, self.normaliser, encoder, self.device)
        specification = specification_of(
            config, start, material, self._frames, len(vocabulary), resumed
        )
        model, self.transfer = starting_model(config, start, specification, config.dropout)
        self.objective = Objective(model, config.loss, self._pieces).to(self.device)
        self.material = material.shared(ranks, config.batches.accumulate)
        self.calendar = Calendar.of(config, self.material.batches.epoch)
        self.rate = LearningRate.of(config.optimiser, self.calendar)
        self.optimiser = optimiser_of(self.objective, config.optimiser)
        self.freezing = Freezing.of(self.objective, config, self.calendar.epoch)
        self.pruning = Pruning(named_weights(self.objective), config.pruning, self.calendar.epoch)
        blend = config.normalisation
        begins, ends = blend_span(blend, config.optimiser, self.calendar.epoch)
        self._stream_share = functools.partial(
            stream_share, start=begins, end=ends, first=blend.stream_share
        )
        self._passing = PassedStates(config, self.calendar)
        self.average = Ema(model, config.optimiser.ema)
        if resumed is not None:
            self._resume(resumed)
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=False)
        self.seconds = self._choose_precision(material, resumed)
        if self.config.precision == "float16":
            self._scaler = torch.amp.GradScaler(self.device.type)
            if resumed is not None and "scaler" in resumed.content:
                self._scaler.load_state_dict(resumed.content["scaler"])

    @property
    def model(self) -> Transducer:
        """The model in training, not the averaged one."""
        return self.objective.model

    def drawn(self, end: int) -> Generator[list[Batch]]:
        """Yield the batches of the updates to come, to `end`, drawn ahead; by processes with their frames."""
        framed = None
        if self.model.mel is None:
            frames = replace(self._frames, device=torch.device("cpu"))
            batches = self.material.batches
            shared = FramedBatches(
                batches, frames, self.model.front_end, self._stream_share, batches.parts
            )
            framed = shared.batch
        return self.material.drawn(self.update, end, framed)

    def learn(self, batches: Sequence[Batch]) -> Learned:
        """Make one update.

        Args:
            batches: this rank's parts of the update.
        """
        config, optimiser, ranks = self.config, self.config.optimiser, self._ranks
        self.update += 1
        self.objective.train()
        self.freezing.apply(self.update)
        self.objective.set_penalties(self.update, self.wers, self.calendar.epoch)
        rows, tokens, seconds, skipped = ranks.sums(
            sum(len(batch.samples) for batch in batches),
            sum(int(batch.token_lengths.sum()) for batch in batches),
            sum(float(batch.samples.sum()) / SAMPLE_RATE for batch in batches),
            sum(len(batch.skipped) for batch in batches),
        )
        self.optimiser.zero_grad(set_to_none=True)
        losses = torch.zeros(len(Losses._fields), dtype=torch.float64)
        for part, batch in enumerate(batches):
            share = len(batch.samples) / rows
            parts = self._backward(batch, config.precision, share, part)
            losses += share * torch.stack([loss.detach() for loss in parts]).cpu().double()
        ranks.sum_gradients(self.objective.parameters())
        self._scaler.unscale_(self.optimiser)
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate(group)
        if len(batches) * ranks.count > 1:  # of a single batch, noise follows its dropout
            torch.manual_seed(key_of(config.seed, self.update))
        add_gradient_noise(
            self.model.encoder_parameters(),
            noise_deviation(
                self.update,
                optimiser.gradient_noise,
                optimiser.gradient_noise_decay,
                updates_in(optimiser.gradient_noise_start, self.calendar.epoch),
            ),
        )
        masks = self.pruning.masks()
        norm = self.optimiser.step()
        self.model.project()
        self.pruning.prune(self.update, masks)
        self._scaler.update()
        advance_norms(self.model, ranks.gathered_tensors)
        self.average.update(self.model)
        self.pruning.zero(self.average.state_dict(), self.model)
        if math.isfinite(norm):  # else no weight was changed
            self.seen.add(batches)
        return Learned(
            self.rate.at(self.update),
            Losses(*ranks.sums(*losses.tolist())),
            norm,
            seconds,
            int(rows),
            int(tokens),
            self._all_skipped(batches) if skipped else (),
        )

    def _backward(
        self, batch: Batch, precision: str, share: float = 1.0, part: int | None = None
    ) -> Parts:
        """Add the gradient of a batch's mean losses, times its share of the update.

        Args:
            part: the batch's number in the update, for state passing; None: a trial, whose states are not kept.
        """
        torch.manual_seed(self.config.seed * 1_000_003 + batch.number + 1)  # of dropout
        inputs = self._frames.of(batch, self.model.front_end, self._stream_share(self.update))
        before = None
        if part is not None:
            before = self._passing.before(self.update, part, self.model, len(inputs.x))
        with autocast(precision, self.device):
            parts: Parts = self.objective(*inputs, self.update, before)
        self._scaler.scale(parts.total * share).backward()
        if part is not None:
            self._passing.keep(self.update, part, lambda: states_after(self.model, inputs, before))
        return parts

    def _all_skipped(self, batches: Sequence[Batch]) -> tuple[str, ...]:
        own = [message for batch in batches for message in batch.skipped]
        return tuple(message for each in self._ranks.gathered(own) for message in each)

    def _choose_precision(self, material: Material, resumed: Resumed | None) -> dict[str, float]:
        """Choose the precision where it is `auto`; return the seconds measured for each."""
        if self.config.precision != "auto":
            return {}
        seconds: dict[str, float] = {}
        if resumed is not None:
            chosen = resumed.content["config"]["precision"]
        else:
            batches = [material.batches.batch(number) for number in range(MEASURED_BATCHES)]
            self.objective.train()
            seconds = measured(self._backward, batches, self.device, self._ranks)
            chosen = fastest(seconds)
            self.optimiser.zero_grad(set_to_none=True)
            forget_batches(self.model)
        self.config = msgspec.structs.replace(self.config, precision=chosen)
        return seconds

    def remarks(self) -> Iterator[str]:
        """Yield a warning for each schedule that the run ends before."""
        blend, end = self.config.normalisation, self.calendar.end
        late = blend_span(blend, self.config.optimiser, self.calendar.epoch)[1]
        if blend.stream_share < 1.0 and late > end:
            yield (
                f"the run ends at update {end}, before its rows are normalised as streams are, at "
                f"{late}: lower normalisation.delay or normalisation.ramp"
            )
        if self.pruning.end > end:
            yield (
                f"the run ends at update {end}, before its weights are pruned, at {self.pruning.end}: lower "
                "pruning.start or pruning.ramp"
            )
        for milestone in sorted(self.calendar.milestones):
            if milestone > end:
                yield f"milestones: the run ends at update {end}, before {milestone}"

    def front_end(self) -> FrontEnd:
        """Return the front end as it is now, of NumPy arrays."""
        front_end = self.model.front_end
        mel = front_end.mel
        return front_end if mel is None else replace(front_end, mel=mel.detach().cpu().numpy())

    def encoder_outputs(self) -> Any:
        """Return the function x (1, n, inputs) -> f (1, E, J) of the model, in evaluation mode."""
        module = copy.deepcopy(self.model).cpu().eval()

        @torch.inference_mode()
        def outputs(x: NDArray[np.float32]) -> NDArray[np.float32]:
            state, _ = module.initial_state(len(x))
            f: NDArray[np.float32] = module.encode(torch.from_numpy(x), state)[0].numpy()
            return f

        return outputs

    def averaged(self, activation: Activation) -> Transducer:
        """Return a model of the averaged weights with that activation, in evaluation mode."""
        specification = msgspec.structs.replace(self.model.specification, activation=activation)
        module = Transducer(specification, normalised=not specification.rounded)
        module.load_state_dict(self.average.state_dict())
        return module.to(self.device).eval()

    def evaluated(self) -> Objective:
        """Return the loss of the averaged weights, in evaluation mode; its auxiliary heads are not averaged."""
        averaged = self.averaged(self.model.specification.activation)
        objective = Objective(averaged, self.config.loss, self._pieces)
        for name, head in self.objective.named_children():
            if name != "model":
                objective.get_submodule(name).load_state_dict(head.state_dict())
        return objective.to(self.device).eval()

    def rates(self) -> dict[str, float]:
        """Return the learning rate of each group of weights: by its factor, the output layer's as `output`."""
        *rest, output = self.optimiser.param_groups
        by_factor = {f"x{group['factor']:g}": self._rate(group) for group in rest}
        return by_factor | ({"output": self._rate(output)} if output["params"] else {})

    def _rate(self, group: dict[str, Any]) -> float:
        return self.rate.at(self.update, group["factor"])

    def scheduled(self) -> dict[str, float]:
        """Return the present values of what changes during the run, besides the learning rate."""
        loss, penalties = self.config.loss, self.objective.penalties
        values = {
            "ctc": self.objective.ctc_weight,
            "delay_penalty": penalties.delay,
            "eos_penalty": penalties.eos_penalty,
            "star_penalty": penalties.star_penalty,
        }
        found = {k: v for k, v in values.items() if not isinstance(getattr(loss, k), float)}
        if self.config.normalisation.stream_share < 1.0:
            found["stream_share"] = self._stream_share(self.update)
        return found

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
            **({"scaler": self._scaler.state_dict()} if self._scaler.is_enabled() else {}),
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
        self.seen.go_on(content)
        self.wers = list(content.get("wers", ()))  # an older Rill's does not say
