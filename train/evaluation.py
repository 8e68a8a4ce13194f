"""The training forward over whole utterances, decoded: what streaming is compared with.

A batch is built as the training loop builds it: padded rows, torch's front end, one call of the
module. The loop scores the model in training with `tokens_of_all`, `stream.validate --compare-full` takes
`training_tokens` of any `Network`. A model in training that says far too much is stopped (`MOST_PER_STEP`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from stream.decoding.decoding import greedy_rows
from stream.decoding.greedy import GreedyConfig
from stream.engine.mute import unmuted
from stream.front_end.log_mel import SAMPLE_RATE
from stream.model.network import Network
from stream.model.specification import Head
from stream.stage import Stage
from train.backend import TorchBackend
from train.data.features import log_mel, normalised, stacked
from train.model import Transducer, lengths_to_mask

MOST_PER_STEP, MOST = 2, 10  # tokens of an utterance: for each encoder frame, and besides
BATCH_SECONDS = 240.0  # of padded audio; the encoder's activations are some 100 MB


def pad(audio: Sequence[NDArray[np.float32]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Stack recordings into a zero-padded batch, (B, N) float32 and their samples, (B,) int64."""
    batch = np.zeros((len(audio), max(map(len, audio), default=0)), np.float32)
    for row, samples in zip(batch, audio, strict=True):
        row[: len(samples)] = samples
    return torch.from_numpy(batch), torch.tensor([len(samples) for samples in audio])


@torch.inference_mode()
def tokens_of(
    module: Transducer,
    normaliser: Stage,
    audio: Sequence[NDArray[np.float32]],
    head: Head | None = None,
    search: GreedyConfig | None = None,
    *,
    capped: bool = False,
) -> list[list[tuple[int, int]]]:
    """Decode recordings greedily, as one padded batch, with a module in evaluation mode.

    Args:
        audio: recordings, each (samples,) float32 at 16 kHz.
        head: of the model; None: its first.
        search: options of the decoder.
        capped: whether an utterance with far more tokens than anybody can say is cut short.
    Returns:
        for each recording its tokens as (id, step).
    """
    specification, front_end = module.specification, module.front_end
    encoder = specification.encoder
    cuts = [
        unmuted(
            samples,
            encoder.chunk_samples,
            specification.mute_chunks,
            front_end.lead,
            specification.sound_chunks,
        )
        for samples in audio
    ]
    frames, counts = log_mel(*pad([c.samples for c in cuts]), front_end)
    x, lengths = stacked(normalised(frames, counts, normaliser), counts, encoder)
    inputs = encoder.chunk_inputs
    # Each segment of a recording becomes a row: encoder and decoder start again, statistics do not.
    parts = [
        (row, part)
        for row, (cut, count) in enumerate(zip(cuts, lengths.tolist(), strict=True))
        for part in cut.parts(encoder, count)
    ]
    x = pad_sequence([x[row, part.begin : part.end] for row, part in parts], True)
    x = nn.functional.pad(x, (0, 0, 0, -x.shape[1] % inputs))
    lengths = torch.tensor([part.end - part.begin for _, part in parts])
    state, _ = module.initial_state(len(x))
    device = module.joint_encoder.weight.device
    mask = lengths_to_mask(lengths, x.shape[1])
    f, _ = module.encode(x.to(device), state, mask.to(device))
    steps = encoder.frames(lengths).tolist()
    heard = [f[n, part.silent : steps[n]] for n, (_, part) in enumerate(parts)]
    counted = np.array([len(each) for each in heard], np.int64)
    most = MOST + MOST_PER_STEP * counted
    if capped:
        search = replace(search or GreedyConfig(), sample_cap=int(most.max(initial=MOST)))
    rows = greedy_rows(TorchBackend(module), len(parts), search, head)
    tokens = rows.step(pad_sequence(heard, True).cpu().numpy(), np.arange(len(parts)), counted)
    found: list[list[tuple[int, int]]] = [[] for _ in audio]
    for n, (row, part) in enumerate(parts):
        emitted = tokens[n][: most[n]] if capped else tokens[n]  # whatever else is in the batch
        found[row] += [(token.id, token.step + part.step) for token in emitted]
    return found


def training_tokens(
    network: Network,
    audio: Sequence[NDArray[np.float32]],
    head: Head | None = None,
    search: GreedyConfig | None = None,
) -> list[list[tuple[int, int]]]:
    """Decode recordings with the training forward of a network, in batches of similar length.

    Args:
        audio: recordings, each (samples,) float32 at 16 kHz.
        head: of the model; None: its first.
        search: options of the decoder.
    Returns:
        for each recording, in the order given, its tokens as (id, step).
    """
    module = Transducer.from_network(network)
    return tokens_of_all(module, network.normaliser, audio, head, search, capped=False)


def tokens_of_all(
    module: Transducer,
    normaliser: Stage,
    audio: Sequence[NDArray[np.float32]],
    head: Head | None = None,
    search: GreedyConfig | None = None,
    *,
    capped: bool = True,
) -> list[list[tuple[int, int]]]:
    """Decode recordings as `tokens_of` does, in batches of similar length."""
    found: list[list[tuple[int, int]]] = [[] for _ in audio]
    for rows in by_length([len(samples) / SAMPLE_RATE for samples in audio], BATCH_SECONDS):
        batch = [audio[i] for i in rows]
        some = tokens_of(module, normaliser, batch, head, search, capped=capped)
        for i, tokens in zip(rows, some, strict=True):
            found[i] = tokens
    return found


def by_length(seconds: Sequence[float], limit: float) -> list[list[int]]:
    """Divide recordings, shortest first, into batches of at most `limit` padded seconds (or one row)."""
    batches: list[list[int]] = []
    for i in sorted(range(len(seconds)), key=seconds.__getitem__):
        if not batches or seconds[i] * (len(batches[-1]) + 1) > limit:
            batches.append([])
        batches[-1].append(i)
    return batches
