"""The training loop: a run in a folder, resumable bit for bit after `kill -9`.

    RUN/config.json       the resolved configuration
    RUN/last.pt           everything to resume from, every `checkpoint_every` updates
    RUN/resumable/        the last few of these, to go back to; see `train.checkpoints.resume`
    RUN/milestones/       those that stay
    RUN/best.pt           the averaged weights of best corpus WER on dev, in the run's own activation
    RUN/best-hard.pt      a soft run's best under hard activations: where the hard fine-tune starts
    RUN/update-000250.pt  with `keep`, the averaged weights of each validation, like best.pt
    RUN/metrics.jsonl     a line of metrics for every tenth update and every validation
    RUN/validation/       the texts that each validation heard, samples and the worst
    RUN/events/           the same for TensorBoard, with histograms
    RUN/loggers.json      under which ids other loggers know the run

A batch is a function of (seed, update) and so is all randomness of an update, so a resumed run needs
no more than weights, optimiser and the update's number.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from stream.causality import check_causal, check_features_causal
from stream.encoders.lstm_layer import Activation
from stream.errors import DifferenceError
from stream.vocabulary import Vocabulary
from train import checkpoint
from train.checkpoints.resume import LAST, Resumed, alone, keep, updates
from train.compute.ranks import Ranks, Silence
from train.config.run import Config
from train.report.monitor import Monitor, Totals
from train.run.data_wait import Skipped, timed
from train.run.learner import Learner
from train.run.references import References
from train.run.scoring import Score, scored
from train.run.start import Material, Start
from train.schedules.patience import since_better

__all__ = ["DivergedError", "Run"]


class DivergedError(DifferenceError):
    """A loss or a weight that is no longer a finite number."""


@dataclass
class Run:
    """One run; `train` resumes from `resumed`, or starts. Of its ranks the first one writes its files."""

    folder: Path
    config: Config
    start: Start
    material: Material
    resumed: Resumed | None = None
    ranks: Ranks = field(default_factory=Ranks)
    best: dict[str, float] = field(default_factory=dict)
    totals: Totals = field(default_factory=Totals)

    def __post_init__(self) -> None:
        self.vocabulary = Vocabulary(self.start.tokenizer)
        self.learner = Learner(self.config, self.start, self.material, self.resumed, self.ranks)
        self.config, self.calendar = self.learner.config, self.learner.calendar
        self.material = self.material.shared(self.ranks, self.config.batches.accumulate)
        if self.resumed is not None:
            self.best = dict(self.resumed.content["best"])
            self.totals = Totals(**self.resumed.content.get("totals", {}))
            if self.resumed.path != self.folder / LAST:
                self._best_of_folder()
            self.resumed.content.clear()  # all the weights and moments once more

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
        check_features_causal(specification.front_end, self.learner.normaliser)
        check_causal(self._encoder_outputs(), specification.encoder, "training forward")
        self.folder.mkdir(parents=True, exist_ok=True)
        with alone(self.folder) if self.ranks.leads else contextlib.nullcontext():
            self._go_on()

    def _go_on(self) -> None:
        self.ranks.wait()  # until each has read what it resumes from
        if self.ranks.leads:
            (self.folder / "config.json").write_bytes(
                msgspec.json.format(msgspec.json.encode(self.config))
            )
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
        drawn = self.material.drawn(self.update, end)
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
        """Write last.pt and its place among the resumable ones; never weights that are lost."""
        if not self.learner.finite():
            raise DivergedError(self._diverged("a weight is not finite"))
        if not self.ranks.leads:
            return
        content = self._content() | self.learner.state_dict()
        content |= {"init_from": self.start.source, "best": dict(self.best)}
        content["totals"] = asdict(self.totals)
        content["batches_an_update"] = self.config.batches.accumulate * self.ranks.count
        checkpoint.save(content, self.folder / LAST)
        milestone = self.calendar.is_milestone(self.update)
        keep(self.folder, self.update, self.config.resumable, milestone=milestone)

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
        own = self.learner.model.specification.activation
        scores: dict[Activation, Score] = {}
        improved: set[Activation] = set()
        activations: tuple[Activation, ...] = ("soft", "hard") if own == "soft" else ("hard",)
        for activation in activations:
            scores[activation] = score = scored(
                self.learner.averaged(activation),
                self.learner.normaliser,
                self.vocabulary,
                self.material,
                self.ranks,
            )
            if activation == own:
                self.learner.wers.append(score.wer["all"])
            names = []
            if score.wer["all"] < self.best.get(activation, math.inf):
                improved.add(activation)
                self.best[activation] = score.wer["all"]
                names.append("best.pt" if activation == own else f"best-{activation}.pt")
            if self.config.keep and activation == own:
                names.append(f"update-{self.update:06d}.pt")
            for name in names if self.ranks.leads else ():
                checkpoint.save(self._content(activation, score.wer), self.folder / name)
        if self.ranks.leads:
            references = References(
                self.learner.evaluated(), self.learner.normaliser, self.vocabulary, self.material
            )
            latency = references.latency(scores[own].tokens)
            losses = references.losses(self.update)
            monitor.validated(scores, self.best, improved, losses, latency)

    def _encoder_outputs(self) -> Any:
        """Return the function x (1, n, inputs) -> f (1, E, J) of the model, in evaluation mode."""
        module = copy.deepcopy(self.learner.model).cpu().eval()

        @torch.inference_mode()
        def outputs(x: NDArray[np.float32]) -> NDArray[np.float32]:
            state, _ = module.initial_state(len(x))
            f: NDArray[np.float32] = module.encode(torch.from_numpy(x), state)[0].numpy()
            return f

        return outputs

    def _content(
        self, activation: Activation | None = None, score: dict[str, float] | None = None
    ) -> dict[str, Any]:
        """Return what every checkpoint holds: the averaged weights, and all that goes with them."""
        specification, ngram = self.learner.model.specification, self.start.ngram
        carried = {} if ngram is None else {"ngram": vars(ngram)}
        return carried | {
            "specification": msgspec.to_builtins(
                msgspec.structs.replace(
                    specification, activation=activation or specification.activation
                )
            ),
            "averaged": self.learner.average.state_dict(),
            "mean": self.start.mean.tolist(),
            "variance": self.start.variance.tolist(),
            "tokenizer": self.start.tokenizer,
            "config": msgspec.to_builtins(self.config),
            "notes": {
                "license": self.config.data.license,
                "language": self.config.data.language,
                "author": self.config.data.author,
                "training": self._training(),
                "wer": {"dev": score} if score else {},
            },
        }

    def _training(self) -> dict[str, Any]:
        """Return what is noted of the run: its length, and what it took from which model."""
        transfer, origin = self.learner.transfer, self.start.origin
        if transfer is not None:
            origin = {"model": self.start.source, **transfer.notes()}
        return {
            "run": self.folder.name,
            "updates": self.update,
            "hours": round(self.material.hours, 2),
            **({} if origin is None else {"init": origin}),
        }

    def _best_of_folder(self) -> None:
        """Take the scores of the best models that are there: one of a later update stays the best."""
        own = self.learner.model.specification.activation
        for name, activation in (("best.pt", own), ("best-hard.pt", "hard")):
            path = self.folder / name
            if path.exists():
                score = checkpoint.load(path)["notes"]["wer"]["dev"]["all"]
                self.best[activation] = min(score, self.best.get(activation, math.inf))
