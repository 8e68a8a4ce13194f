"""Write a `HardwareCheckpoint` as the torch.save of its version writes it.

1. A zip of uncompressed records, each starting at a multiple of 64 bytes: archive/data.pkl,
   archive/byteorder (torch of 1.14), archive/data/<n>, archive/version,
   archive/.data/serialization_id (torch of 1.14). Arrays that share memory share a record.
2. The pickle is of protocol 2, bytes through `_codecs.encode`, so `torch.load(weights_only=True)`
   opens it; from 1.14 on of protocol 5 in one frame, which only `weights_only=False` opens, as
   Myrtle's do.
3. Equal checkpoints give equal files: no times, no names of folders.

`from_network` makes the checkpoint of a `Network` in either generation. It changes no number: a
model is refused where the generation does not have its arithmetic.
"""

from __future__ import annotations

import hashlib
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwckpt import configuration, layout
from hwckpt.checkpoint import HardwareCheckpoint, Ngram
from hwckpt.reader import read_checkpoint
from hwckpt.torch_file.container import CheckpointError
from hwckpt.torch_file.pickler import Pickler, StateDict
from stream.files.atomic import replacing
from stream.model.network import Network
from stream.model.specification import SYMBOLS_PER_STEP, Specification

ROOT = "archive"
ALIGNMENT = 64  # bytes
NEVER_MEASURED = 1_000_000  # best_wer of a run that was never validated
VERSIONS: dict[layout.Format, str] = {"1.4": "1.4.0", "1.14": "1.14.0"}


def inexpressible(specification: Specification, format: layout.Format) -> list[str]:
    """Return which fields of a model a generation's file cannot record, one sentence for each."""
    found = []
    if "ctc" in specification.heads:
        found.append(f"decoder is {specification.decoder}; hardware checkpoints have no ctc")
    if format == "1.4" and specification.initial_padding:
        found.append("initial_padding is true; generation 1.4 has no padding before the signal")
    if format == "1.14":
        if specification.activation != "soft":
            found.append(f"activation is {specification.activation}; generation 1.14 is soft")
        if specification.alpha != 0.0:
            found.append(f"alpha is {specification.alpha}; generation 1.14 has global statistics")
        if not specification.initial_padding:
            found.append("initial_padding is false; generation 1.14 pads with window - 160 zeros")
        if specification.number_format != "float32":
            found.append(f"number_format is {specification.number_format}; 1.14 records float32")
    return found


def from_network(
    network: Network,
    format: layout.Format,
    *,
    epoch: int = 0,
    step: int = 0,
    best_wer: float = NEVER_MEASURED,
    tokenizer: str = "tokenizer.model",
) -> HardwareCheckpoint:
    """Return the hardware checkpoint of a model.

    The log floor, the padding at the end and the counter of tokens are not in the format: a reader takes
    its generation's.

    Args:
        format: "1.4" (version 1.4.0, the whole configuration) or "1.14" (1.14.0, a part of it).
        epoch, step: of the training.
        best_wer: a fraction.
        tokenizer: file name to record for the SentencePiece model.
    Returns:
        The checkpoint; `notes` holds what a user should know before loading it into a card.
    Raises:
        CheckpointError: the generation cannot express the model; the message names each field.
        ModelError: the model has networks of another family than the LSTM, or frames that no card has.
    """
    specification = network.specification
    specification.require_lstm("a hardware checkpoint")
    specification.require_common_features("a hardware checkpoint")
    refused = inexpressible(specification, format)
    if network.ngram is not None and format == "1.4":
        refused.append("there is an n-gram; generation 1.4 has none")
    if refused:
        raise CheckpointError(f"not a model of generation {format}: {'; '.join(refused)}")
    config = configuration.full_config(specification, tokenizer)
    state_dict = {key: network.arrays[name] for key, name in layout.names(specification).items()}
    if format == "1.4":
        state_dict = _repeated(state_dict)
    return HardwareCheckpoint(
        state_dict=state_dict,
        epoch=epoch,
        step=step,
        best_wer=best_wer,
        melmeans=network.arrays["normaliser.mean"],
        melvars=network.arrays["normaliser.variance"],
        melalpha=specification.alpha,
        sentpiece_model=network.tokenizer,
        version=VERSIONS[format],
        rnnt_config=config if format == "1.4" else configuration.reduced_config(config),
        ngram=_ngram(network) if format == "1.14" else None,
        metadata=tuple(layout.metadata(format, specification)),
        notes=tuple([*card_notes(specification, format), *_fusion_notes(network)]),
    )


def _ngram(network: Network) -> Ngram:
    if network.ngram is None:
        return Ngram()
    return Ngram(network.ngram.binary, network.ngram.weight)


def _fusion_notes(network: Network) -> list[str]:
    ngram = network.ngram
    if ngram is None or not (ngram.word_bonus or ngram.unknown_penalty or ngram.internal_weight):
        return []
    return [
        f"the n-gram model has word_bonus {ngram.word_bonus:g}, unknown_penalty {ngram.unknown_penalty:g} and "
        f"internal_weight {ngram.internal_weight:g}, which the file cannot record; the card decodes with its weight "
        "alone. rill lm tune --beta-min 0 --beta-max 0 finds the weight for that"
    ]


def _repeated(state_dict: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Name each LSTM stack's arrays a second time after it, as 1.4's own LSTM class does."""
    table: dict[str, NDArray[Any]] = {}
    for stack in layout.STACKS:
        of_stack = {key: array for key, array in state_dict.items() if key.startswith(f"{stack}.")}
        if stack.startswith("prediction."):
            table["prediction.embed.weight"] = state_dict["prediction.embed.weight"]
        table |= of_stack
        for key, array in of_stack.items():
            name, n = key.removeprefix(f"{stack}.").rsplit("_l", 1)
            table[f"{stack}.layers.{n}.{name}"] = array
    return table | {key: state_dict[key] for key in layout.OTHERS}


def card_notes(specification: Specification, format: layout.Format) -> list[str]:
    """Return what a user should know before loading a model of this generation into a card."""
    sizes = {name: getattr(specification, name) for name in layout.SIZES["base"]}
    notes = []
    if format == "1.14" and sizes not in (layout.SIZES["base"], layout.SIZES["large"]):
        notes.append("Myrtle's card loads the sizes base and large only; this model is neither")
    padding = layout.FINAL_PADDING if format == "1.14" else 0
    if specification.final_padding != padding:
        notes.append(
            f"the model has final_padding {specification.final_padding} samples, "
            f"which the file cannot record; generation {format} has {padding}. Without the same silence "
            "before its end a stream may lose its last word: have it sent to the card"
        )
    if (specification.symbol_counter == "running") != (format == "1.14"):
        resets = "after so many tokens only" if format == "1.14" else "at every encoder frame"
        notes.append(
            f"generation {format} resets the count of {SYMBOLS_PER_STEP} tokens, after which "
            f"time has to move on, {resets}; the model is decoded otherwise, and the file cannot record it"
        )
    if specification.token_cap != SYMBOLS_PER_STEP:
        notes.append(
            f"the model has symbols_per_step {specification.token_cap}, which the file cannot record; the "
            f"card goes on to the next encoder frame after {SYMBOLS_PER_STEP} tokens"
        )
    if specification.quantisation is not None:
        notes.append("the model is for integers (its quantisation), which the file cannot record")
    return notes


def write_checkpoint(checkpoint: HardwareCheckpoint, path: Path) -> None:
    """Write a hardware checkpoint in the form of its version.

    It is written to a temporary name, read back, compared, and renamed.

    Raises:
        CheckpointError: an array is of a type that the format does not have, or the file read back
            is not equal to the checkpoint.
        OSError: it cannot be written; nothing is left behind.
    """
    with replacing(path) as temporary:
        with temporary.open("wb") as file:
            _write_zip(file, _records(checkpoint))
        differences = read_checkpoint(temporary).differences(checkpoint)
        if differences:
            raise CheckpointError(f"reads back differently: {', '.join(differences)}", path)


def _records(checkpoint: HardwareCheckpoint) -> list[tuple[str, bytes | memoryview]]:
    protocol = layout.pickle_protocol(checkpoint.version_numbers)
    pickler = Pickler(protocol)
    content: dict[str, Any] = {"state_dict": StateDict(checkpoint.state_dict, checkpoint.metadata)}
    for field in layout.FIELDS[1:]:
        value = getattr(checkpoint, field.name)
        if isinstance(value, Ngram):
            value = {"binary": value.binary, "scale_factor": value.scale_factor}
        if value is not None:
            content[field.name] = value
    try:
        data = pickler.dump(content)
    except ValueError as error:
        raise CheckpointError(f"cannot be written: {error}") from error
    records: list[tuple[str, bytes | memoryview]] = [("data.pkl", data)]
    if protocol == 5:
        records.append(("byteorder", b"little"))
    for key, storage in enumerate(pickler.storages):
        little = storage.astype(storage.dtype.newbyteorder("<"), copy=False)
        records.append((f"data/{key}", little.view(np.uint8).data))
    records.append(("version", b"3\n"))
    if protocol == 5:
        digest = hashlib.sha256(b"".join(hashlib.sha256(data).digest() for _, data in records))
        number = int.from_bytes(digest.digest(), "big") % 10**40
        records.append((".data/serialization_id", f"{number:040d}".encode()))
    return records


def _write_zip(file: Any, records: list[tuple[str, bytes | memoryview]]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as container:
        for name, data in records:
            entry = zipfile.ZipInfo(f"{ROOT}/{name}")  # dated 1980
            start = file.tell() + 30 + len(entry.filename) + 4
            padding = -start % ALIGNMENT
            entry.extra = b"FB" + struct.pack("<H", padding) + b"Z" * padding
            container.writestr(entry, data)
