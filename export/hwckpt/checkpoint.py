"""Write a hardware checkpoint, and verify it before it is moved into place; the rules are in `export.hwckpt`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from export.checks.verification import encoding_by, outputs
from export.errors import ExportError
from export.hwckpt.target import Target
from hwckpt.checkpoint import HardwareCheckpoint
from hwckpt.reader import network_of, read_checkpoint
from hwckpt.writer import from_network, write_checkpoint
from stream.backends import load_backend
from stream.bundled import recordings
from stream.causality import check_causal, check_features_causal
from stream.front_end.log_mel import CARD_FLOOR
from stream.manifest import Utterance
from stream.model.network import Network
from stream.validation import validate

CHUNKS, ROWS = 16, 2  # of the random input that both models are run on


@dataclass(frozen=True)
class Rates:
    """Word error rates, fractions.

    Attributes:
        model, card: of the model as it is, and as the card computes it.
        recordings: how many were streamed.
    """

    model: float
    card: float
    recordings: int


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Attributes:
        checkpoint: the content of the file.
        warnings: what the card does otherwise than the model.
        rates: where these may differ; None: they do not, and no recordings were given.
    """

    checkpoint: HardwareCheckpoint
    warnings: tuple[str, ...]
    rates: Rates | None


def export(
    network: Network, target: Target, output: Path, utterances: Sequence[Utterance] | None = None
) -> Exported:
    """Write and verify a hardware checkpoint.

    Args:
        target: the format, and the model in it.
        output: file to write.
        utterances: to measure word error rates on; None: the bundled recordings, where rule 2 asks.
    Raises:
        ExportError: what was written is not the model; the file was deleted.
        CausalityError: the model looks ahead.
        ModelError: the format cannot hold the model.
        AudioError: a recording cannot be decoded.
    """
    spec = target.network.specification
    check_features_causal(target.network.front_end, target.network.normaliser)
    check_causal(
        encoding_by(load_backend("numpy", target.network)), spec.encoder, str(network.path)
    )
    checkpoint = from_network(target.network, target.format, **_provenance(network))
    unverified = output.with_name(output.name + ".unverified")
    rates = None
    try:
        write_checkpoint(checkpoint, unverified)
        card = verify(unverified, checkpoint, target.network)
        if utterances is not None or network.specification.floor != CARD_FLOOR:
            chosen = recordings() if utterances is None else utterances
            rates = Rates(_error_rate(network, chosen), _error_rate(card, chosen), len(chosen))
        unverified.replace(output)
    finally:
        unverified.unlink(missing_ok=True)
    return Exported(checkpoint, (*_warnings(network, target), *checkpoint.notes), rates)


def _warnings(network: Network, target: Target) -> Iterator[str]:
    """Yield what the card does otherwise than the model."""
    spec = network.specification
    if spec.quantisation is not None:
        yield (
            "the model is for integers (its quantisation), for which the file has no entry; the card "
            "computes it in its own number format"
        )
    if spec.gate or spec.gain_control:
        yield (
            "the model gates its statistics or controls its gain, which no card does: after minutes "
            "of a room, and for quiet speech, it will err much more there (docs/normaliser.md has "
            "figures)"
        )
    if network.ngram is not None and target.network.ngram is None:
        yield f"the model's n-gram model is left out: generation {target.format} has none"
    if spec.floor != CARD_FLOOR:
        yield (
            f"the model's log floor is {spec.floor:g}, the card's is {CARD_FLOOR:g}: digital silence "
            "looks different there"
        )


def _error_rate(network: Network, utterances: Sequence[Utterance]) -> float:
    return validate(network, utterances, backend="numpy", reset_stats=True).wer


def verify(written: Path, checkpoint: HardwareCheckpoint, network: Network) -> Network:
    """Read a hardware checkpoint back, compare its entries, and run it against the model.

    Args:
        checkpoint: what it should hold.
        network: the model that was written.
    Returns:
        the model as read back, with the card's front end.
    Raises:
        ExportError: an entry or a logit differs.
    """
    read = read_checkpoint(written)
    differences = read.differences(checkpoint)
    again = network_of(read)
    differences += [
        name
        for name in network.arrays
        if not np.array_equal(network.arrays[name], again.arrays[name])
    ]
    if differences:
        raise ExportError(f"reads back differently: {', '.join(differences)}")
    encoder = network.specification.encoder
    shape = ROWS, CHUNKS * encoder.chunk_inputs, encoder.inputs
    x = np.random.default_rng(0).standard_normal(shape, np.float32)
    ours, theirs = (
        outputs(load_backend("numpy", each), x, CHUNKS).parts["logits"] for each in (network, again)
    )
    if not np.isfinite(ours).all() or not np.array_equal(ours, theirs):
        largest = float(np.max(np.abs(ours - theirs)))
        raise ExportError(f"computes other logits than the model, by up to {largest:g}")
    return again


def _provenance(network: Network) -> dict[str, Any]:
    """Return what the model's notes tell of its training."""
    wanted: dict[str, tuple[type, ...]] = {
        "epoch": (int,),
        "step": (int,),
        "best_wer": (float, int),
    }
    return {
        key: network.notes[key]
        for key, types in wanted.items()
        if type(network.notes.get(key)) in types
    }
