"""The training loop: a run in a folder, resumable bit for bit after `kill -9`.

    RUN/config.json       the resolved configuration
    RUN/last.pt           everything to resume from, every `checkpoint_every` updates
    RUN/resumable/        the last few of these, to go back to; see `train.run.resume`
    RUN/best.pt           the averaged weights of best corpus WER on dev, in the run's own activation
    RUN/best-hard.pt      a soft run's best under hard activations: where the hard fine-tune starts
    RUN/update-000250.pt  with `keep`, the averaged weights of each validation, like best.pt
    RUN/metrics.jsonl     a line of metrics for every tenth update and every validation
    RUN/events/           the same for TensorBoard

A batch is a function of (seed, update) and so is all randomness of an update, so a resumed run needs
no more than weights, optimiser and the update's number.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stream.causality import check_causal, check_features_causal
from stream.encoders.lstm_layer import Activation
from stream.error_rate import word_error_rate
from stream.errors import DifferenceError
from stream.front_end.normaliser import Normaliser
from stream.model.quantisation import Quantisation, joint_exponent
from stream.model.specification import ModelError, Specification
from stream.vocabulary import Vocabulary
from train import checkpoint
from train.config.learning import Dropout
from train.config.run import Config, ConfigError
from train.data.augmentation import spec_augment
from train.data.features import log_mel, normalised, stacked
from train.data.history import histories
from train.data.rows import Batch
from train.evaluation import tokens_of_all
from train.loss.objective import Objective, Parts
from train.model import Transducer
from train.optimiser import Ema, Lamb, add_gradient_noise, learning_rate, noise_deviation
from train.run.data_wait import Skipped, timed, waited_share
from train.run.progress import Display, Journal
from train.run.resume import LAST, Resumed, alone, keep, updates
from train.run.start import Material, Start, largest_joint, weight_bits

__all__ = ["DivergedError", "Run"]

LOG_EVERY = 10  # updates
CALIBRATION_BATCHES = 8
DECODERS = ("prediction.", "embedding.", "joint_prediction.", "output.", "ctc.")  # in a state


class DivergedError(DifferenceError):
    """A loss or a weight that is no longer a finite number."""


@dataclass
class Run:
    """One run; `train` resumes from `resumed`, or starts."""

    folder: Path
    config: Config
    start: Start
    material: Material
    resumed: Resumed | None = None
    update: int = 0
    best: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        config, optimiser = self.config, self.config.optimiser
        self.vocabulary = Vocabulary(self.start.tokenizer)
        specification = config.specification(len(self.vocabulary))
        self.normaliser = Normaliser(
            self.start.mean, self.start.variance, specification.alpha, specification.gate
        )
        if config.quantize != "none" and self.start.weights is None and self.resumed is None:
            raise ConfigError(
                f"quantize = {config.quantize} fine-tunes: name a model with --init-from"
            )
        if config.quantize in ("int8", "w4a8"):
            specification = msgspec.structs.replace(
                specification,
                quantisation=Quantisation(
                    joint=self._joint_exponent(specification),
                    weight_bits=weight_bits(config.quantize, specification),
                ),
            )
        model = self._started(specification, config.dropout)
        self.objective = Objective(model, config.loss, self.vocabulary.pieces)
        output = set(model.output.parameters() if "transducer" in specification.decoders else ())
        rest = [p for p in self.objective.parameters() if p not in output]
        self.optimiser = Lamb(
            [
                {"params": rest, "factor": 1.0},
                {"params": list(output), "factor": optimiser.joint_factor},
            ],
            betas=(optimiser.beta1, optimiser.beta2),
            weight_decay=optimiser.weight_decay,
            max_norm=optimiser.clip_norm,
        )
        self.average = Ema(model, optimiser.ema)
        if self.resumed is not None:
            self._resume(self.resumed)
            self.resumed.content.clear()  # all the weights and moments once more

    def _started(self, specification: Specification, dropout: Dropout) -> Transducer:
        """Return a model with the weights that the run starts from."""
        normalised = self.config.quantize == "none"
        model = Transducer(specification, normalised=normalised, dropout=dropout)
        torch.manual_seed(self.config.seed)
        model.initialise(torch.Generator().manual_seed(self.config.seed))
        if self.start.weights is not None:
            own = model.state_dict()
            # Decoders that the start has not stay as drawn, those that the run has not are left out.
            weights = {k: v for k, v in own.items() if k.startswith(DECODERS)}
            weights |= {
                k: v
                for k, v in self.start.weights.items()
                if k in own or not k.startswith(DECODERS)
            }
            try:
                model.load_state_dict(weights)
            except RuntimeError as error:
                raise ModelError(f"the weights to start from do not fit: {error}") from error
        return model

    def _joint_exponent(self, specification: Specification) -> int:
        """Return the exponent of the joint's hidden vector: the run's own, or measured on batches."""
        if self.resumed is not None:
            path = self.resumed.path
            before = checkpoint.specification_of(self.resumed.content, path).quantisation
            if before is None:
                raise ModelError("was not quantised; choose another --output", path)
            return before.joint
        model = self._started(specification, Dropout(0.0, 0.0, 0.0, 0.0)).eval()
        drawn = (self.material.batches.batch(update) for update in range(CALIBRATION_BATCHES))
        inputs = (self._inputs(batch, specification) for batch in drawn)
        return joint_exponent(largest_joint(model, inputs))

    @property
    def model(self) -> Transducer:
        """The model in training, not the averaged one."""
        return self.objective.model

    def train(self) -> None:
        """Train up to the configured number of updates, scoring and saving on the way.

        Raises:
            CausalityError: a later sample changes an earlier output of the model; nothing was
                written.
            DivergedError: the loss is not finite.
            ConfigError: another process writes to the run.
        """
        torch.set_flush_denormal(True)  # gradients under 1e-38 make matrix products crawl
        check_features_causal(self.model.specification.front_end, self.normaliser)
        encoder = self.model.specification.encoder
        check_causal(self._encoder_outputs(), encoder, "training forward")
        self.folder.mkdir(parents=True, exist_ok=True)
        with alone(self.folder):
            self._go_on()

    def _go_on(self) -> None:
        (self.folder / "config.json").write_bytes(
            msgspec.json.format(msgspec.json.encode(self.config))
        )
        if self.resumed is not None and self.resumed.path != self.folder / LAST:
            self._save()  # from here the same command goes on
        journal = Journal(self.folder, self.update)
        display = Display(self.folder.name, self.config.updates, self.update)
        skipped = Skipped(self.folder, self.material.skip_limit)
        speeds: list[float] = []
        waits: list[tuple[float, float]] = []  # seconds for data, and in all, of each update
        drawn = self.material.drawn(self.update, self.config.updates)
        with contextlib.closing(journal), display, contextlib.closing(drawn):
            for waited, batch in timed(drawn):
                skipped.add(batch.skipped)
                began = time.perf_counter()
                rate, parts, norm = self._learn(batch)
                learned = time.perf_counter() - began
                speeds.append(float(batch.samples.sum()) / 16_000 / learned)
                waits.append((waited, waited + learned))
                loss = float(parts.total.detach())
                if not math.isfinite(loss):
                    raise DivergedError(self._diverged(f"the loss is {loss}"))
                display.update(self.update, loss, rate, float(np.mean(speeds[-50:])))
                if self.update % LOG_EVERY == 0:
                    journal.write(
                        self.update,
                        loss=loss,
                        transducer=float(parts.transducer.detach()),
                        ctc=float(parts.ctc.detach()),
                        bag=float(parts.bag.detach()),
                        gradient_norm=norm,
                        rate=rate,
                        speed=float(np.mean(speeds[-LOG_EVERY:])),
                        data_wait=waited_share(waits[-LOG_EVERY:]),
                    )
                last = self.update == self.config.updates
                if self.update % self.config.validate_every == 0 or last:
                    journal.write(self.update, wer=self._validate(display))
                if self.update % self.config.checkpoint_every == 0 or last:
                    self._save()

    def _save(self) -> None:
        """Write last.pt and its place among the resumable ones; never weights that are lost."""
        if not all(bool(torch.isfinite(p).all()) for p in self.objective.parameters()):
            raise DivergedError(self._diverged("a weight is not finite"))
        checkpoint.save(self._content(), self.folder / LAST)
        keep(self.folder, self.update, self.config.resumable)

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

    def _learn(self, batch: Batch) -> tuple[float, Parts, float]:
        """Make one update; returns its learning rate, losses and gradient norm."""
        config, optimiser = self.config, self.config.optimiser
        self.update += 1
        torch.manual_seed(config.seed * 1_000_003 + self.update)  # dropout, and what follows
        self.objective.train()
        if config.freeze_norms_from is not None and self.update >= config.freeze_norms_from:
            self.model.freeze_norms()
        inputs = self._inputs(batch, self.model.specification)
        with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bfloat16"):
            parts = self.objective(*inputs, self.update)
        self.optimiser.zero_grad(set_to_none=True)
        parts.total.backward()
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(
                self.update,
                rate=optimiser.rate * group["factor"],
                min_rate=optimiser.min_rate,
                warmup=optimiser.warmup,
                hold=optimiser.hold,
                half_life=optimiser.half_life,
            )
        add_gradient_noise(
            self.model.encoder_parameters(),
            noise_deviation(self.update, optimiser.gradient_noise),
        )
        norm = self.optimiser.step()
        self.average.update(self.model)
        return float(self.optimiser.param_groups[0]["lr"]), parts, norm

    @torch.no_grad()
    def _inputs(
        self, batch: Batch, specification: Specification
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return x, lengths, tokens and token_lengths of a batch, as `Objective` takes them."""
        frames, counts = log_mel(
            torch.from_numpy(batch.audio), torch.from_numpy(batch.samples), specification.front_end
        )
        mean = torch.from_numpy(self.start.mean).expand(len(frames), -1)
        variance = torch.from_numpy(self.start.variance).expand(len(frames), -1)
        jitter = self.config.statistics_jitter * torch.randn(len(frames), 1)
        rows, rng = self.material.batches.rows, self.material.batches.rows.generator(self.update)
        statistics = histories(
            (mean + jitter * variance.sqrt(), variance),
            frames,
            counts,
            rows.noise,
            self.config.history,
            specification.front_end,
            self.normaliser.alpha,
            rows.generator(self.update, stream=2),
        )
        z = normalised(frames, counts, self.normaliser, statistics)
        z = spec_augment(z, counts, self.config.augmentation, rng)
        x, lengths = stacked(z, counts, specification.encoder)
        return x, lengths, torch.from_numpy(batch.tokens), torch.from_numpy(batch.token_lengths)

    def _averaged(self, activation: Activation) -> Transducer:
        specification = msgspec.structs.replace(self.model.specification, activation=activation)
        module = Transducer(specification, normalised=not specification.rounded)
        module.load_state_dict(self.average.state_dict())
        return module.eval()

    def _validate(self, display: Display) -> dict[str, Any]:
        """Score the averaged weights on dev and keep the best; returns WER by activation, corpus."""
        own = self.model.specification.activation
        scores: dict[str, Any] = {}
        activations: tuple[Activation, ...] = ("soft", "hard") if own == "soft" else ("hard",)
        for activation in activations:
            scores[activation] = score = self._score(self._averaged(activation))
            improved = score["all"] < self.best.get(activation, math.inf)
            if improved:
                self.best[activation] = score["all"]
                name = "best.pt" if activation == own else f"best-{activation}.pt"
                checkpoint.save(self._content(activation, score), self.folder / name)
            if self.config.keep and activation == own:
                name = f"update-{self.update:06d}.pt"
                checkpoint.save(self._content(activation, score), self.folder / name)
            shown = ", ".join(f"{name} {100 * wer:.1f}" for name, wer in score.items())
            display.say(
                f"update {self.update}   {activation} WER %: {shown}{'   best' if improved else ''}"
            )
        return scores

    def _score(self, module: Transducer) -> dict[str, float]:
        found = tokens_of_all(module, self.normaliser, self.material.dev_audio)
        texts = [self.vocabulary.decode([token for token, _ in tokens]) for tokens in found]
        corpora = {"all": list(range(len(texts)))}
        for i, utterance in enumerate(self.material.dev):
            corpora.setdefault(utterance.corpus or "unnamed", []).append(i)
        return {
            name: word_error_rate(
                [self.material.dev[i].text for i in rows], [texts[i] for i in rows]
            ).wer
            for name, rows in corpora.items()
        }

    def _encoder_outputs(self) -> Any:
        """Return the function x (1, n, inputs) -> f (1, E, J) of the model, in evaluation mode."""
        module = copy.deepcopy(self.model).eval()

        @torch.inference_mode()
        def outputs(x: NDArray[np.float32]) -> NDArray[np.float32]:
            state, _ = module.initial_state(len(x))
            f: NDArray[np.float32] = module.encode(torch.from_numpy(x), state)[0].numpy()
            return f

        return outputs

    def _content(
        self, activation: Activation | None = None, score: dict[str, float] | None = None
    ) -> dict[str, Any]:
        """Return what a checkpoint holds; of a best one, without what resuming needs."""
        specification = self.model.specification
        content = {
            "specification": msgspec.to_builtins(
                msgspec.structs.replace(
                    specification, activation=activation or specification.activation
                )
            ),
            "averaged": self.average.state_dict(),
            "mean": self.start.mean.tolist(),
            "variance": self.start.variance.tolist(),
            "tokenizer": self.start.tokenizer,
            "config": msgspec.to_builtins(self.config),
            "notes": {
                "license": self.config.data.license,
                "language": self.config.data.language,
                "author": self.config.data.author,
                "training": {
                    "run": self.folder.name,
                    "updates": self.update,
                    "hours": round(self.material.hours, 2),
                },
                "wer": {"dev": score} if score else {},
            },
        }
        if score is None:
            content |= {
                "update": self.update,
                "init_from": self.start.source,
                "best": dict(self.best),
                "objective": self.objective.state_dict(),
                "optimiser": self.optimiser.state_dict(),
            }
        return content

    def _resume(self, resumed: Resumed) -> None:
        content, path = resumed.content, resumed.path
        if checkpoint.specification_of(content, path) != self.model.specification:
            raise ModelError("is of another [model]; choose another --output", path)
        self.objective.load_state_dict(content["objective"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.average.load_state_dict(content["averaged"])
        self.update, self.best = content["update"], dict(content["best"])
        if path != self.folder / LAST:
            self._best_of_folder()

    def _best_of_folder(self) -> None:
        """Take the scores of the best models that are there: one of a later update stays the best."""
        own = self.model.specification.activation
        for name, activation in (("best.pt", own), ("best-hard.pt", "hard")):
            path = self.folder / name
            if path.exists():
                score = checkpoint.load(path)["notes"]["wer"]["dev"]["all"]
                self.best[activation] = min(score, self.best.get(activation, math.inf))
