"""What a model in training makes of the references of dev: their loss, and how late their words come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stream.engine.emission import word_latencies
from stream.engine.forced_alignment import forced_steps
from stream.front_end.log_mel import SAMPLE_RATE
from stream.model.specification import Head
from stream.stage import Stage
from stream.vocabulary import Vocabulary
from stream.words import percentile
from train.backend import TorchBackend
from train.data.features import log_mel, normalised, stacked
from train.evaluation import by_length, pad
from train.loss.objective import Objective, Parts
from train.run.inputs import Inputs
from train.run.material import Material

BATCH_SECONDS = 120.0  # of padded audio
ALIGNED = 200  # utterances, evenly from all, whose words are timed


@dataclass(frozen=True)
class Latency:
    """Emission latency of the words of dev that were heard, seconds: median and 90th percentile."""

    words: int
    median: float
    p90: float


@dataclass(frozen=True)
class References:
    """The references of one model and dev set.

    Args:
        objective: the loss of a model, both in evaluation mode.
        normaliser: with the statistics that every utterance starts from.
    """

    objective: Objective
    normaliser: Stage
    vocabulary: Vocabulary
    material: Material

    @torch.inference_mode()
    def losses(self, update: int) -> dict[str, float]:
        """Return the parts of the loss, means over utterances, and `per_token`: of all, nats a token."""
        sums = dict.fromkeys(Parts._fields, 0.0)
        utterances = tokens = 0
        for rows in by_length(self._seconds, BATCH_SECONDS):
            inputs, _, kept = self._inputs(rows)
            if not kept:
                continue
            parts = self.objective(*inputs, update)
            for name, part in parts._asdict().items():
                sums[name] += float(part) * len(kept)
            utterances += len(kept)
            tokens += int(inputs.token_lengths.sum())
        found = {name: total / max(utterances, 1) for name, total in sums.items()}
        return {"loss": found.pop("total"), **found, "per_token": sums["total"] / max(tokens, 1)}

    @torch.inference_mode()
    def latency(
        self, heard: Sequence[Sequence[tuple[int, int]]], head: Head | None = None
    ) -> Latency | None:
        """Return how late words come that were heard as they were said; None: there is none.

        Args:
            heard: tokens of each utterance as (id, step).
            head: that heard them; None: the model's first.
        """
        model, found = self.objective.model, list[float]()
        backend = TorchBackend(model)
        spread = range(0, len(heard), max(1, -(-len(heard) // ALIGNED)))
        for some in by_length([self._seconds[i] for i in spread], BATCH_SECONDS):
            inputs, levels, rows = self._inputs([spread[i] for i in some])
            if not rows:
                continue
            f, steps = model.encode_rows(inputs.x, inputs.lengths)
            for n, row in enumerate(rows):
                tokens = inputs.tokens[n, : int(inputs.token_lengths[n])].tolist()
                try:
                    own = f[n, : int(steps[n])].cpu().numpy()
                    aligned = forced_steps(backend, own, tokens, head)
                except ValueError:  # more tokens than CTC has frames for
                    continue
                said = list(zip(tokens, aligned, strict=True))
                found += word_latencies(
                    model.specification, self.vocabulary, levels[n].numpy(), said, heard[row]
                )
        if not found:
            return None
        return Latency(len(found), percentile(found, 50), percentile(found, 90))

    @property
    def _seconds(self) -> list[float]:
        return [len(samples) / SAMPLE_RATE for samples in self.material.dev_audio]

    def _inputs(self, rows: Sequence[int]) -> tuple[Inputs, list[Tensor], list[int]]:
        """Return the utterances that have an encoder frame, the levels of their frames, and their rows."""
        specification = self.objective.model.specification
        encoder = specification.encoder
        frames, counts = log_mel(
            *pad([self.material.dev_audio[i] for i in rows]), self.objective.model.front_end
        )
        x, lengths = stacked(normalised(frames, counts, self.normaliser), counts, encoder)
        texts = [self.vocabulary.encode(self.material.dev[i].text) for i in rows]
        token_lengths = torch.tensor([len(tokens) for tokens in texts])
        tokens = torch.zeros((len(rows), max(int(token_lengths.max()), 1)), dtype=torch.int64)
        for row, ids in zip(tokens, texts, strict=True):
            row[: len(ids)] = torch.tensor(ids, dtype=torch.int64)
        long = encoder.frames(lengths) > 0
        levels = [
            own[: int(count)].amax(-1)
            for own, count in zip(frames[long], counts[long], strict=True)
        ]
        device = self.objective.bag.weight.device
        inputs = (each[long].to(device) for each in (x, lengths, tokens, token_lengths))
        return Inputs(*inputs), levels, [rows[i] for i in long.nonzero()[:, 0].tolist()]
