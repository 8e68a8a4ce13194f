"""Provenance of a run's weights: how much audio of each corpus they learned from, and what its notes say of a run.

`stream.model.stages` has the keys of these notes.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import torch

from stream import __version__
from stream.front_end.log_mel import SAMPLE_RATE
from stream.model.directory import serialise
from stream.model.network import Network
from train.compute.ranks import Ranks
from train.config.data import Data
from train.config.keys import flat
from train.config.run import Config
from train.data.records.record import Origin
from train.data.records.recordings import UNNAMED
from train.data.rows import Batch


class Seen:
    """How much a run has learned from, by origin; each rank counts its own batches.

    Args:
        ranks: the processes that train together.
    Attributes:
        since: the update that counting began at: 0, but for a run of an older Rill that goes on.
    """

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._samples: Counter[Origin] = Counter()
        self.since = 0

    def add(self, batches: Iterable[Batch]) -> None:
        """Count the batches of an update."""
        for batch in batches:
            self._samples.update(batch.seen)

    def state(self) -> dict[str, Any]:
        """Return the counts of all ranks, for a checkpoint; all ranks have to call this."""
        total: Counter[Origin] = Counter()
        for each in self._ranks.gathered(self._samples):
            total.update(each)
        return {
            "since": self.since,
            "samples": [[*origin, count] for origin, count in sorted(total.items())],
        }

    def go_on(self, content: Mapping[str, Any]) -> None:
        """Take the counts of a checkpoint, which are those of all ranks."""
        state = content.get("seen", {"since": content["update"], "samples": []})
        self.since = state["since"]
        if self._ranks.leads:
            self._samples = Counter({Origin(c, license): n for c, license, n in state["samples"]})


def by_corpus(state: Mapping[str, Any], synthetic: Sequence[str]) -> dict[str, Any]:
    """Return what notes say of `Seen.state`: hours, licences and whether synthetic, by corpus.

    Args:
        synthetic: names of the corpora that are synthetic speech.
    """
    found: dict[str, Any] = {}
    for corpus, license, samples in state["samples"]:
        about = found.setdefault(corpus or UNNAMED, {"hours": 0.0, "licenses": []})
        about["hours"] += samples / SAMPLE_RATE / 3600
        about["licenses"] += [license] * bool(license)
        if corpus in synthetic:
            about["synthetic"] = True
    for about in found.values():
        about["hours"] = round(about["hours"], 4)
    return found


def stage(config: Config, seen: Mapping[str, Any]) -> dict[str, Any]:
    """Return what notes say of a run, besides its name, length and start.

    Args:
        config: of the run, as RUN/config.json has it.
        seen: of `Seen.state`.
    """
    return {
        "seed": config.seed,
        "seen": by_corpus(seen, config.data.synthetic),
        **({"seen_from": seen["since"]} if seen["since"] else {}),
        "settings": settings(config),
        "settings_sha256": hashlib.sha256(config_json(config)).hexdigest(),
        "rill": __version__,
        "torch": str(torch.__version__),  # of a type of its own, which no checkpoint may hold
    }


def config_json(config: Config) -> bytes:
    """Return the content of RUN/config.json."""
    return msgspec.json.format(msgspec.json.encode(config))


def settings(config: Config) -> dict[str, Any]:
    """Return the keys that a configuration sets otherwise than by default, such as "optimiser.rate"."""
    default = Config(model={}, data=Data(train=(), dev=""))
    plain = dict(flat(msgspec.to_builtins(default)))
    own = flat(msgspec.to_builtins(config))
    return {key: value for key, value in own if key not in plain or plain[key] != value}


def weights_sha256(network: Network) -> str:
    """Return the SHA-256 of the `weights.safetensors` that a model directory of a model has."""
    return hashlib.sha256(serialise(network)).hexdigest()
