"""The checkpoints that a run writes: what they hold, where they are, and which are the best."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from stream.encoders.lstm_layer import Activation
from train import checkpoint
from train.checkpoints.resume import LAST, Resumed, keep
from train.config.run import Config
from train.data.records.recordings import Recordings
from train.run.learner import Learner
from train.run.provenance import stage
from train.run.start import Start


@dataclass
class CheckpointWriter:
    """Writes the checkpoints of a run, where `writes`; all ranks know which are the best.

    Attributes:
        folder, config, start, learner: of the run.
        recordings: of its training set.
        writes: whether this process is the one that writes.
        best: the lowest dev WER so far by activation, fractions.
    """

    folder: Path
    config: Config
    start: Start
    learner: Learner
    recordings: Recordings
    writes: bool = True
    best: dict[str, float] = field(default_factory=dict)

    def go_on(self, resumed: Resumed) -> None:
        """Take the best scores from a checkpoint, and where it is an earlier one, from the folder.

        Of the folder's best models one of a later update stays the best.
        """
        self.best = dict(resumed.content["best"])
        if resumed.path == self.folder / LAST:
            return
        for name, activation in (("best.pt", self._own), ("best-hard.pt", "hard")):
            path = self.folder / name
            if path.exists():
                score = checkpoint.load(path)["notes"]["wer"]["dev"]["all"]
                self.best[activation] = min(score, self.best.get(activation, math.inf))

    def save(self, more: Mapping[str, Any]) -> None:
        """Write last.pt, what resuming needs, and its place among the resumable ones and milestones.

        Args:
            more: of the run, to go on with.
        """
        seen = self.learner.seen.state()
        if not self.writes:
            return
        content = self._content(seen) | self.learner.state_dict() | dict(more) | {"seen": seen}
        content |= {"init_from": self.start.source, "best": dict(self.best)}
        checkpoint.save(content, self.folder / LAST)
        update = self.learner.update
        milestone = self.learner.calendar.is_milestone(update)
        keep(self.folder, update, self.config.resumable, milestone=milestone)

    def validated(self, activation: Activation, wer: dict[str, float]) -> bool:
        """Write the averaged weights where they are the best, or all are kept.

        Args:
            wer: on dev, of `all` and by corpus, fractions.
        Returns:
            whether they are the best so far.
        """
        names = []
        improved = wer["all"] < self.best.get(activation, math.inf)
        if improved:
            self.best[activation] = wer["all"]
            names.append("best.pt" if activation == self._own else f"best-{activation}.pt")
        if self.config.keep and activation == self._own:
            names.append(f"update-{self.learner.update:06d}.pt")
        seen = self.learner.seen.state()
        for name in names if self.writes else ():
            checkpoint.save(self._content(seen, activation, wer), self.folder / name)
        return improved

    @property
    def _own(self) -> Activation:
        activation: Activation = self.learner.model.specification.activation
        return activation

    def _content(
        self,
        seen: Mapping[str, Any],
        activation: Activation | None = None,
        wer: dict[str, float] | None = None,
    ) -> dict[str, Any]:
        """Return what every checkpoint holds: the averaged weights, and all that goes with them."""
        specification, ngram = self.learner.model.specification, self.start.ngram
        carried = {} if ngram is None else {"ngram": vars(ngram)}
        return carried | {
            "specification": msgspec.to_builtins(
                msgspec.structs.replace(specification, activation=activation or self._own)
            ),
            "averaged": self.learner.average.state_dict(),
            **{
                name.removeprefix("normaliser."): array.tolist()
                for name, array in self.start.statistics.items()
            },
            "tokenizer": self.start.tokenizer,
            "config": msgspec.to_builtins(self.config),
            "notes": {
                "license": self.config.data.license,
                "language": self.config.data.language,
                "author": self.config.data.author,
                "knows": self.config.data.knows,
                "example": self.config.data.example,
                "training": self._training(seen),
                "wer": {"dev": wer} if wer else {},
            },
        }

    def _training(self, seen: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is noted of the run; `stream.model.stages` has the keys."""
        transfer, origin = self.learner.transfer, self.start.origin
        if transfer is not None:
            origin = {"model": self.start.source, **transfer.notes()}
        return {
            "run": self.folder.name,
            "updates": self.learner.update,
            "hours": round(self.recordings.hours, 2),
            "recordings": self.recordings.notes(),
            **stage(self.config, seen),
            **self.learner.pruning.notes(),
            **({} if self.start.parent is None else {"parent": self.start.parent}),
            **({} if origin is None else {"init": origin}),
            **({"before": list(self.start.stages)} if self.start.stages else {}),
        }
