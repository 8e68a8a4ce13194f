"""The estimate of a run: how long, how much memory and disk, and whether they are there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stream.front_end.log_mel import SAMPLE_RATE
from stream.stage import bytes_of
from stream.vocabulary import Vocabulary
from train.checkpoints.resume import Resumed
from train.compute.memory import memory_of
from train.compute.ranks import ALONE
from train.config.run import Config
from train.dry_run.disk import Disk, disk_of
from train.dry_run.inputs import check_opens, check_spelt
from train.dry_run.trial import Trial, tried
from train.model import Transducer
from train.run.beginning import start_of
from train.run.learner import Learner
from train.run.material import material_of
from train.schedules.calendar import Calendar


@dataclass(frozen=True)
class Estimate:
    """What a run would take.

    Attributes:
        folder: of the run.
        description: of the model, in words.
        first: the last update that was made, 0 for a new run.
        calendar: when the run ends, validates and saves.
        hours, dev_hours: length of the training set and of dev.
        dev_utterances: their number.
        trial, disk: what was measured.
        memory_bytes: memory of the machine, or of the GPU.
    """

    folder: Path
    description: str
    first: int
    calendar: Calendar
    hours: float
    dev_hours: float
    dev_utterances: int
    trial: Trial
    disk: Disk
    memory_bytes: int

    @property
    def updates(self) -> int:
        """How many are left to make."""
        return max(self.calendar.end - self.first, 0)

    @property
    def learning_seconds(self) -> float:
        """The time of the updates."""
        return self.updates * self.trial.update_seconds

    @property
    def validating_seconds(self) -> float:
        """The time of the validations."""
        updates = range(self.first + 1, self.calendar.end + 1)
        return sum(map(self.calendar.validates, updates)) * self.trial.validation_seconds

    @property
    def shortages(self) -> list[str]:
        """What there is too little of, a sentence each."""
        found = []
        if self.trial.needed_bytes >= self.memory_bytes:
            found.append(
                f"memory: the largest batch wants {size(self.trial.needed_bytes)} and there are "
                f"{size(self.memory_bytes)}. Lower batches.seconds"
            )
        if self.disk.needed_bytes >= self.disk.free_bytes:
            found.append(
                f"disk: the checkpoints want {size(self.disk.needed_bytes)} and there are "
                f"{size(self.disk.free_bytes)}. Lower resumable, or choose another --output"
            )
        if self.disk.cached_bytes >= self.disk.cache_free_bytes:
            found.append(
                f"disk: decoded recordings take {size(self.disk.cached_bytes)} and there are "
                f"{size(self.disk.cache_free_bytes)}. Choose another data.cache_folder, or cache = none"
            )
        return found

    def lines(self) -> Iterator[str]:
        """Yield the estimate as a table for people."""
        trial, disk, epoch = self.trial, self.disk, max(self.calendar.epoch, 1)
        rows, seconds = trial.largest
        epochs = self.updates / epoch
        learned = trial.audio_seconds / trial.update_seconds
        whole = self.learning_seconds + self.validating_seconds
        yield f"{self.folder}: a dry run, nothing was written there"
        yield f"model     {self.description}"
        yield (
            f"data      {self.hours:.1f} hours to learn from; {self.dev_hours:.2f} hours to validate on, "
            f"{self.dev_utterances} utterances"
        )
        yield (
            f"length    {self.updates:,} updates from update {self.first:,}, {epoch:,} an epoch: "
            f"{epochs:.2f} epochs, {self.updates * trial.audio_seconds / 3600:.1f} hours of audio heard"
        )
        held = f"{size(trial.held_bytes)} between updates, {size(trial.state_bytes)} of it weights"
        most = "measured" if trial.measured else "expected"
        yield (
            f"memory    {held}, averages and optimiser; {size(trial.needed_bytes)} ({most}) with the "
            f"largest batch, {rows} rows of {seconds:.1f} s; {size(self.memory_bytes)} are there"
        )
        yield (
            f"speed     {trial.update_seconds:.2f} s an update, of which {trial.wait_seconds:.2f} s wait for "
            f"data; {learned:.0f} s of audio learned a second"
        )
        yield (
            f"time      {span(whole)}, of which {span(self.validating_seconds)} validation by weights as they "
            "are now"
        )
        yield (
            f"disk      {size(disk.needed_bytes)}: {disk.resumable} checkpoints of "
            f"{size(disk.resumable_bytes)} and {disk.models} models of {size(disk.model_bytes)}; "
            f"{size(disk.free_bytes)} are free"
        )
        if disk.cached_bytes:
            yield (
                f"cache     {size(disk.cached_bytes)} of decoded recordings; "
                f"{size(disk.cache_free_bytes)} are free"
            )


def estimated(
    folder: Path, config: Config, init_from: str | None, resumed: Resumed | None
) -> Estimate:
    """Open everything that a run needs, learn a few updates, and return what all of it would take.

    Nothing is written into its folder; indexes of data sets go to the cache, as in a run.

    Raises:
        ConfigError, InputError: the run could not begin; every data set that cannot be used is named.
    """
    check_opens(config, resumed is not None)
    start = start_of(config, init_from, resumed)
    check_spelt(config, start.tokenizer)
    material = material_of(config, start).shared(ALONE, config.batches.accumulate)
    learner = Learner(config, start, material, resumed)
    first, calendar = learner.update, learner.calendar
    vocabulary = Vocabulary(start.tokenizer)
    trial = tried(learner, material, vocabulary, calendar.end)
    return Estimate(
        folder,
        described(learner.model, len(vocabulary)),
        first,
        calendar,
        material.recordings.hours,
        sum(map(len, material.dev_audio)) / SAMPLE_RATE / 3600,
        len(material.dev),
        trial,
        disk_of(
            folder,
            config,
            start,
            learner,
            material.recordings.hours,
            range(first + 1, calendar.end + 1),
            calendar,
        ),
        memory_of(learner.device).there(),
    )


def described(model: Transducer, pieces: int) -> str:
    """Return the weights of a model, its kind, and what its encoder costs, in words."""
    specification = model.specification
    encoder = specification.encoder
    weights = sum(each.numel() for each in model.parameters())
    mel = "learned mel, " if specification.front_end.learned else ""
    return (
        f"{weights:,} weights, {mel}{encoder.family} encoder, {specification.activation}; {pieces} pieces; "
        f"{encoder.macs_a_second / 1e6:.3g} million multiply-adds a second of audio in the encoder, whose "
        f"state takes {size(bytes_of(encoder.initial_state(1)))} a stream"
    )


def size(count: float) -> str:
    """Return bytes in words."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def span(seconds: float) -> str:
    """Return a duration in words: the two units that matter."""
    whole = round(seconds)
    for unit, length, smaller, least in (("d", 86_400, "h", 3600), ("h", 3600, "min", 60)):
        if whole >= length:
            return f"{whole // length} {unit} {whole % length // least} {smaller}"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"
