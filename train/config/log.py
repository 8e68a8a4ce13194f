"""Configuration of what a run shows and writes down while it trains."""

from __future__ import annotations

from typing import Literal

import msgspec

Destination = Literal["tensorboard", "mlflow", "wandb", "clearml"]


class Log(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a run shows; nothing that is learned depends on it, so a resumed run may change it.

    Attributes:
        to: where metrics go besides RUN/metrics.jsonl, see `train.loggers`.
        every: updates from one line of metrics to the next.
        histograms_every: updates from one set of histograms, of the weights and gradients of each
            layer, to the next; 0: none.
        samples: texts of the development set that every validation shows.
        project: name under which mlflow, wandb and clearml file the run.
        upload: whether best.pt and its like are given to these when the run ends.
    """

    to: tuple[Destination, ...] = ("tensorboard",)
    every: int = 10
    histograms_every: int = 500
    samples: int = 5
    project: str = "rill"
    upload: bool = False

    def __post_init__(self) -> None:
        for name, least in (("every", 1), ("histograms_every", 0), ("samples", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"log.{name} is {getattr(self, name)}, wants at least {least}")
        if len(set(self.to)) < len(self.to):
            raise ValueError(f"log.to names a logger twice: {', '.join(self.to)}")
        if not self.project:
            raise ValueError("log.project is empty")
