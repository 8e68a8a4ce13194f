"""The training loop: a run in a folder, resumable bit for bit after `kill -9`.

    RUN/config.json       the resolved configuration
    RUN/last.pt           everything to resume from, every `checkpoint_every` updates
    RUN/resumable/        the last few of these, to go back to; see `train.checkpoints.resume`
    RUN/milestones/       those that stay
    RUN/best.pt           the averaged weights of best corpus WER on dev, in the run's own activation
    RUN/best-hard.pt      a soft run's best under hard activations: where the hard fine-tune starts
    RUN/update-000250.pt  with `keep`, the averaged weights of each validation, like best.pt
    RUN/metrics.jsonl     a line of metrics for every tenth update and every validation
    RUN/validation/       texts that each validation heard: samples and the worst
    RUN/events/           the same for TensorBoard, with histograms
    RUN/loggers.json      the run's ids in other loggers

A batch and all else that is drawn for an update are functions of the seed and the update's number, so the
state of no random generator is saved.
"""

from __future__ import annotations

import contextlib
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from stream.causality import check_causal, check_features_causal
from stream.encoders.lstm_layer import Activation
from stream.errors import DifferenceError
from stream.files.atomic import replace_file
from stream.model.specification import Head
from stream.vocabulary import Vocabulary
from train.checkpoints.resume import LAST, Resumed, alone, updates
from train.compute.ranks import Ranks, Silence
from train.config.run import Config
from train.report.monitor import Monitor, Totals
from train.run.checkpoint_writer import CheckpointWriter
from train.run.data_wait import Skipped, timed
from train.run.learner import Learner
from train.run.material import Material
from train.run.provenance import config_json
from train.run.start import Start
from train.schedules.patience import since_better
from train.validation.references import References
from train.validation.scoring import Score, activations_of, scored


class DivergedError(DifferenceError):
    """A loss or a weight that is no longer a finite number."""


@dataclass
class Run:
    """One run, new or resumed. Only the first of its ranks writes files."""

    folder: Path
    config: Config
    start: Start
    material: Material
    resumed: Resumed | None = None
    ranks: Ranks = field(default_factory=Ranks)
    totals: Totals = field(default_factory=Totals)

    def __post_init__(self) -> None:
        self.vocabulary = Vocabulary(self.start.tokenizer)
        self.learner = Learner(self.config, self.start, self.material, self.resumed, self.ranks)
        self.config, self.calendar = self.learner.config, self.learner.calendar
        self.material = self.learner.material
        self.checkpoints = CheckpointWriter(
            self.folder,
            self.config,
            self.start,
            self.learner,
            self.material.recordings,
            writes=self.ranks.leads,
        )
        if self.resumed is not None:
            self.checkpoints.go_on(self.resumed)
            self.totals = Totals(**self.resumed.content.get("totals", {}))
            self.resumed.content.clear()  # a second copy of weights and moments

    @property
    def update(self) -> int:
        """How many updates were made."""
        return self.learner.update

    def train(self) -> None:
        """Train to the configured end, scoring and saving on the way.

        Raises:
            CausalityError: a later sample changes an earlier output of the model; nothing was
                written.
            DivergedError: the loss is not finite.
            ConfigError: another process writes to the run.
        """
        torch.set_flush_denormal(True)  # gradients under 1e-38 make matrix products crawl
        specification = self.learner.model.specification
        check_features_causal(self.learner.front_end(), self.learner.normaliser)
        check_causal(self.learner.encoder_outputs(), specification.encoder, "training forward")
        self.folder.mkdir(parents=True, exist_ok=True)
        with alone(self.folder) if self.ranks.leads else contextlib.nullcontext():
            self._go_on()

    def _go_on(self) -> None:
        self.ranks.wait()  # until each has read what it resumes from
        if self.ranks.leads:
            replace_file(self.folder / "config.json", config_json(self.config))
        if self.resumed is not None and self.resumed.path != self.folder / LAST:
            self._save()  # from here the same command goes on
        skipped: Any = Silence()
        monitor: Any = Silence()
        if self.ranks.leads:
            skipped = Skipped(self.folder, self.material.skip_limit)
            monitor = Monitor(
                self.folder, self.config, self.material, self.calendar, self.learner, self.totals
            )
        end = self.update if self._out_of_patience() else self.calendar.end
        drawn = self.learner.drawn(end)
        with monitor, contextlib.closing(drawn):
            if self.resumed is None and self.learner.transfer is not None:
                for line in self.learner.transfer.lines():
                    monitor.say(line)
            for line in self.learner.remarks():
                monitor.say(line)
            if self.learner.seconds:
                monitor.measured(self.learner.seconds)
            for waited, batches in timed(drawn):
                began = time.perf_counter()
                learned = self.learner.learn(batches)
                seconds = time.perf_counter() - began
                skipped.add(learned.skipped)
                if not math.isfinite(loss := learned.losses.total):
                    raise DivergedError(self._diverged(f"the loss is {loss}"))
                monitor.learned(learned, waited, seconds, skipped.count)
                if self.calendar.validates(self.update):
                    self._validate(monitor)
                stops = self._out_of_patience()
                if self.calendar.saves(self.update) or stops:
                    monitor.sync()
                    self._save()
                if stops:
                    monitor.say(
                        f"update {self.update}   ends: {self.config.patience} validations "
                        "without a better WER"
                    )
                    break

    def _out_of_patience(self) -> bool:
        patience, wers = self.config.patience, self.learner.wers
        return patience is not None and since_better(wers, self.config.min_delta) >= patience

    def _save(self) -> None:
        """Write last.pt; never weights that are lost."""
        if not self.learner.finite():
            raise DivergedError(self._diverged("a weight is not finite"))
        batches = self.config.batches.accumulate * self.ranks.count
        self.checkpoints.save({"totals": asdict(self.totals), "batches_an_update": batches})

    def _diverged(self, what: str) -> str:
        rate = self.config.optimiser.rate
        there = updates(self.folder)
        back = (
            f"go back: --resume-from {there[-1]} --set optimiser.rate={rate / 2:g} --change. Updates "
            f"to go back to: {', '.join(map(str, there))}. The same rate and seed would go the same way"
            if there
            else "start again"
        )
        return f"update {self.update}: {what}. Lower optimiser.rate (now {rate}) and {back}."

    def _validate(self, monitor: Monitor) -> None:
        """Score the averaged weights on dev and keep the best."""
        monitor.validating()
        specification = self.learner.model.specification
        own, head = specification.activation, specification.head(self.config.head)
        scores: dict[str, Score] = {}
        improved: set[str] = set()
        for activation in activations_of(own):
            scores[activation] = score = self._scored(activation, head)
            if activation == own:
                self.learner.wers.append(score.wer["all"])
            if self.checkpoints.validated(activation, score.wer):
                improved.add(activation)
        for other in specification.heads:
            if other != head:
                scores[other] = self._scored(own, other)
        if self.ranks.leads:
            references = References(
                self.learner.evaluated(), self.learner.normaliser, self.vocabulary, self.material
            )
            latency = references.latency(scores[own].tokens, head)
            losses = references.losses(self.update)
            monitor.validated(scores, self.checkpoints.best, improved, losses, latency)

    def _scored(self, activation: Activation, head: Head) -> Score:
        """Score the averaged weights with an activation, decoded by a head."""
        averaged = self.learner.averaged(activation)
        return scored(
            averaged, self.learner.normaliser, self.vocabulary, self.material, head, self.ranks
        )
