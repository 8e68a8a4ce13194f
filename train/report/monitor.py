"""A run as it is seen: what the loop does is passed on to journal, loggers and display."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import msgspec

from stream.files.atomic import replace_file
from train.compute.memory import used_gb
from train.compute.precision import shown
from train.config.keys import flat
from train.config.run import Config
from train.loggers.logger import Experiment
from train.loggers.table import openers
from train.report.display import Display, Progressed, Validated
from train.report.journal import Journal
from train.report.metrics import Metrics
from train.report.texts import Heard, report, shortened, spread
from train.report.weights import gradient_norms, samples
from train.run.data_wait import waited_share
from train.run.learned import Learned
from train.run.learner import Learner
from train.run.material import Material
from train.schedules.calendar import Calendar
from train.validation.references import Latency
from train.validation.scoring import Score, activations_of

SMOOTHED = 50  # updates over which the display's figures are means
FIRST_SKIPPED = 10  # updates without a finite gradient that are said each; then every tenth


@dataclass
class Totals:
    """What a run has done since it began, across all resumptions; part of every checkpoint.

    Attributes:
        seconds: of audio learned from.
        skipped: updates whose gradient was not finite, so that no weight was changed.
    """

    seconds: float = 0.0
    skipped: int = 0


class Monitor:
    """What is seen of one run.

    Args:
        folder, config, material, calendar: of the run.
        learner: whose gradients are shown.
        totals: of the run so far; counted on.
    """

    def __init__(
        self,
        folder: Path,
        config: Config,
        material: Material,
        calendar: Calendar,
        learner: Learner,
        totals: Totals,
    ) -> None:
        self._folder, self._config, self._material = folder, config, material
        self._calendar, self._learner, self.totals = calendar, learner, totals
        self._display = Display(folder.name, calendar.end, learner.update)
        loggers = [each(self._experiment()) for each in openers(config.log.to)]
        self._journal = Journal(folder, learner.update, loggers, self._display.say)
        self._times: deque[tuple[float, float, float]] = deque(
            maxlen=max(SMOOTHED, config.log.every)
        )
        self._journal.file(folder / "config.json")
        before, own = Metrics.written(folder), learner.model.specification.activation
        self._display.begin(
            before.curve("per_token").values.repeat(config.log.every),
            before.curve("wer", own, "all").values,
        )

    def _experiment(self) -> Experiment:
        own = self._learner.model.specification.activation
        return Experiment(
            self._folder,
            self._config.log.project,
            {
                key: value if isinstance(value, (str, int, float, bool)) else str(value)
                for key, value in flat(msgspec.to_builtins(self._config))
            },
            self._learner.update,
            ("dev/loss", *(f"best/{each}" for each in sorted(activations_of(own)))),
        )

    def __enter__(self) -> Monitor:
        self._display.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if kind is None and self._config.log.upload:
            for path in sorted(self._folder.glob("best*.pt")):
                self._journal.file(path)
        self._journal.close(finished=kind is None)
        self._display.__exit__()

    def measured(self, seconds: Mapping[str, float]) -> None:
        """Show which precision was chosen, from the seconds that a batch takes in each."""
        chosen = self._config.precision
        self.say(shown(chosen, seconds))
        self._journal.write(0, precision=chosen, batch_seconds=dict(seconds))

    def learned(self, learned: Learned, waited: float, seconds: float, skipped: int) -> None:
        """Show an update.

        Args:
            learned: what came of it.
            waited: seconds for its batches; seconds: of learning.
            skipped: utterances left out so far.
        """
        update, config = self._learner.update, self._config.log
        self.totals.seconds += learned.seconds
        if not math.isfinite(learned.norm):
            self.totals.skipped += 1
            if self.totals.skipped <= FIRST_SKIPPED or not self.totals.skipped % FIRST_SKIPPED:
                so_far = f"{self.totals.skipped} so far"
                self.say(f"update {update}   skipped, {so_far}: its gradient is not finite")
        self._times.append((learned.seconds, seconds, waited))
        losses = learned.losses._asdict()
        loss = losses.pop("total")
        per_token = loss * learned.utterances / max(learned.tokens, 1)
        used = used_gb()
        self._display.update(
            Progressed(
                update,
                loss,
                per_token,
                learned.rate,
                learned.norm,
                *self._pace(SMOOTHED),
                hours=self.totals.seconds / 3600,
                epoch=self._calendar.epochs(update),
                skipped_updates=self.totals.skipped,
                skipped_utterances=skipped,
                memory=used["process_gb"],
            )
        )
        if update % config.every == 0:
            speed, waiting = self._pace(config.every)
            self._journal.write(
                update,
                loss=loss,
                **losses,
                per_token=per_token,
                gradient_norm=learned.norm,
                gradient_norms=gradient_norms(self._learner.objective),
                rate=learned.rate,
                rates=self._learner.rates(),
                scheduled=self._learner.scheduled() or None,
                speed=speed,
                data_wait=waiting,
                hours=self.totals.seconds / 3600,
                epoch=self._calendar.epochs(update),
                skipped_updates=self.totals.skipped,
                skipped_utterances=skipped,
                memory=used,
            )
        if config.histograms_every and update % config.histograms_every == 0:
            for name, values in samples(self._learner.objective):
                self._journal.histogram(update, name, values)

    def say(self, line: str) -> None:
        """Show a line that stays."""
        self._display.say(line)

    def sync(self) -> None:
        """Have all metrics on disk, before a checkpoint that they belong to is."""
        self._journal.sync()

    def validating(self) -> None:
        """Say that a validation runs."""
        self._display.doing(f"validating on {len(self._material.dev)} recordings")
        self._validating = time.perf_counter()

    def validated(
        self,
        scores: Mapping[str, Score],
        best: Mapping[str, float],
        improved: Collection[str],
        losses: Mapping[str, float],
        latency: Latency | None,
    ) -> None:
        """Show a validation.

        Args:
            scores: by activation, the run's own first, then of the head that does not say which is the best.
            best: the lowest WER so far, by activation; improved: where this one is lower than before.
            losses: of the references, see `train.validation.references`.
            latency: of the words that were heard.
        """
        update = self._learner.update
        own = next(iter(scores.values()))
        heard = [
            Heard(each.id, each.text, text)
            for each, text in zip(self._material.dev, own.texts, strict=True)
        ]
        validated = [
            Validated(update, name, score.wer, shares(score), name in improved)
            for name, score in scores.items()
        ]
        late = None if latency is None else (1000 * latency.median, 1000 * latency.p90)
        validated[0] = replace(validated[0], loss=losses["loss"], late=late)
        self._keep_texts("\n".join(each.line() for each in validated), heard)
        self._journal.write(
            update,
            wer={name: score.wer for name, score in scores.items()},
            errors={name: shares(score) for name, score in scores.items()},
            best=dict(best),
            dev=dict(losses),
            emission_latency=None
            if latency is None or late is None
            else {"median_ms": late[0], "p90_ms": late[1], "words": latency.words},
            validation_seconds=time.perf_counter() - self._validating,
        )
        # Each time another one of the samples, so that more than one is seen.
        some = spread(heard, self._config.log.samples)
        turn = update // self._calendar.validate_every
        sample = [(shortened(each.said), shortened(each.heard)) for each in some]
        self._display.validated(validated, sample[turn % len(sample)] if sample else None)

    def _keep_texts(self, headline: str, heard: Sequence[Heard]) -> None:
        update = self._learner.update
        text = report(headline, heard, self._config.log.samples)
        folder = self._folder / "validation"
        folder.mkdir(exist_ok=True)
        replace_file(folder / f"update-{update:06d}.txt", text.encode())
        self._journal.text(update, "validation", text)

    def _pace(self, updates: int) -> tuple[float, float]:
        """Return the seconds of audio learned in a second, and the share of the time spent waiting."""
        last = list(self._times)[-updates:]
        learning = sum(seconds for _, seconds, _ in last)
        return (
            sum(audio for audio, *_ in last) / max(learning, 1e-9),
            waited_share([(waited, waited + seconds) for _, seconds, waited in last]),
        )


def shares(score: Score) -> dict[str, float]:
    """Return substitutions, deletions and insertions over the words of all references."""
    errors = score.errors
    return {
        name: getattr(errors, name) / max(errors.words, 1)
        for name in ("substitutions", "deletions", "insertions")
    }
