"""Several models traced stage by stage, each compared with the first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from export.checks.tracer import Path, Row, Watch, trace
from export.compare.artefacts import Decoded, Model, Run
from export.compare.differences import Differences
from export.compare.saturation import Counter, Saturation
from stream.backends import load_backend
from stream.manifest import Utterance

SIDE_BY_SIDE = 16  # recordings


@dataclass(frozen=True)
class Stages:
    """What tracing found of an artefact.

    Attributes:
        differences: from the reference; None where one of the two is a server.
        saturation: of each LSTM layer.
    """

    differences: Differences | None = None
    saturation: list[Saturation] = field(default_factory=list)


class _Traced:
    """A model that is traced block by block.

    Attributes:
        differences: from the reference; None where that is a server.
        shared: whether it follows the reference's path, which another vocabulary cannot.
    """

    def __init__(self, model: Model, reference: Model | None) -> None:
        self._network = model.network
        self._backend = load_backend(model.backend, model.network)
        spec = model.network.specification
        self._counters = [
            Counter(part.layers() if part.family == "lstm" else ())
            for part in (spec.encoder, spec.prediction)
        ]
        self.differences: Differences | None = None
        self.shared = False
        if reference is not None:
            of = reference.network
            self.differences = Differences(of.specification.encoder.frame_seconds)
            self.shared = self._network.vocabulary.pieces == of.vocabulary.pieces

    def rows(self, utterances: Sequence[Utterance], paths: Sequence[Path]) -> list[Row]:
        """Trace recordings; stages that cannot be compared with the reference are left out."""
        audio = [utterance.read() for utterance in utterances]
        watch = Watch(*(counter.add for counter in self._counters))
        rows = trace(self._network, self._backend, audio, paths, watch)
        if not self.shared:
            for row in rows:
                del row.stages["prediction"], row.stages["logits"]
        return rows

    def found(self) -> Stages:
        shares = [share for counter in self._counters for share in counter.shares()]
        return Stages(self.differences, shares)


def trace_models(
    models: Sequence[Model | None],
    runs: Sequence[Run],
    utterances: Sequence[Utterance],
    progress: Callable[[int, int], None],
) -> list[Stages]:
    """Run models through their stages, along the path of the first where they can follow it.

    Args:
        models: the first is the reference; None: a server, whose path is not known.
        runs: of the models.
        progress: called with (number of the model, recordings done).
    """
    traced = [_Traced(model, models[0]) if model else None for model in models]
    order = sorted(range(len(utterances)), key=lambda i: utterances[i].duration)
    for begin in range(0, len(order), SIDE_BY_SIDE):
        block = order[begin : begin + SIDE_BY_SIDE]
        chosen = [utterances[i] for i in block]
        reference: list[Row] = []
        for n, model in enumerate(traced):
            if model is None:
                continue
            run = runs[0 if model.shared else n]
            rows = model.rows(chosen, [_path(run.decoded[i]) for i in block])
            reference = reference or rows
            if model.differences is not None:
                model.differences.add(reference, rows, [utterance.id for utterance in chosen])
            progress(n, begin + len(block))
    return [model.found() if model else Stages() for model in traced]


def _path(decoded: Decoded) -> Path:
    return [(id_, token.step) for id_, token in zip(decoded.ids, decoded.tokens or (), strict=True)]
