"""Read hardware checkpoints of any version from 1.0 on: file -> `HardwareCheckpoint` -> `Network`.

`read_checkpoint` checks types and keeps every entry as the file has it; `network_of` checks
meaning: shapes against each other and the configuration, repeated tensors against each other. No
torch, nothing executed (`hwckpt.torch_file.unpickler`). Myrtle's training checkpoints, which hold no
statistics, tokenizer or configuration, are recognised and refused with the command that converts them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwckpt import configuration, layout
from hwckpt.checkpoint import HardwareCheckpoint, Ngram, equal
from hwckpt.torch_file.allowed import Tensor
from hwckpt.torch_file.container import CheckpointError, TorchFile, is_torch_file, pickle_bytes
from stream.front_end.log_mel import BINS
from stream.model.network import Network, NgramFile
from stream.model.specification import ModelError, Specification
from stream.stage import Floats

OURS = b"rill_checkpoint"  # the key of our own training checkpoints, which are torch files too


def recognises(path: Path) -> bool:
    """Return whether the file is saved by torch and is not a training checkpoint of ours.

    Broken files, and files with a pickle that will be refused, are recognised: `read` says what is
    wrong with them.
    """
    return is_torch_file(path) and OURS not in pickle_bytes(path)


def read(path: Path) -> Network:
    """Read a hardware checkpoint as a `Network`.

    Raises:
        CheckpointError: the file is not a hardware checkpoint, is broken, or was refused.
        ModelError: its arrays or its tokenizer are no model.
    """
    return network_of(read_checkpoint(path))


def read_checkpoint(path: Path) -> HardwareCheckpoint:
    """Read every entry of a hardware checkpoint, their types checked.

    Raises:
        CheckpointError: the file is not a hardware checkpoint, is broken, or was refused.
    """
    with TorchFile(path) as file:
        content = file.content
        if not isinstance(content, dict):
            raise CheckpointError(f"holds a {type(content).__name__}, not a checkpoint", path)
        missing = [f.name for f in layout.FIELDS if f.since == (1, 0, 0) and f.name not in content]
        if missing and "state_dict" in content and "ema_state_dict" in content:
            raise CheckpointError(
                f"is a training checkpoint of Myrtle's: it has no {', '.join(missing)} inside. "
                f"Convert it: python -m hwckpt.convert --ckpt {path} --config CONFIG.yaml",
                path,
            )
        if missing:
            raise CheckpointError(f"is not a hardware checkpoint: it has no {missing[0]}", path)
        entry = Entries(content, path)
        config = entry.plain("rnnt_config")
        if config is not None and not isinstance(config, dict):
            raise CheckpointError(f"rnnt_config is a {type(config).__name__}, wants dict", path)
        known = {field.name for field in layout.FIELDS}
        checkpoint = HardwareCheckpoint(
            state_dict=state_dict_of(file, "state_dict"),
            epoch=entry.of("epoch", int),
            step=entry.of("step", int),
            best_wer=entry.of("best_wer", float, int),
            melmeans=statistics_of(file, content["melmeans"], "melmeans"),
            melvars=statistics_of(file, content["melvars"], "melvars"),
            melalpha=entry.of("melalpha", float, int),
            sentpiece_model=entry.of("sentpiece_model", bytes),
            version=entry.of("version", str) if "version" in content else None,
            rnnt_config=config,
            ngram=_ngram(content["ngram"], path) if "ngram" in content else None,
            metadata=metadata_of(content["state_dict"]),
            unknown=tuple(str(key) for key in content if key not in known),
            path=path,
        )
    if config is None and checkpoint.version_numbers >= layout.CONFIG_SINCE:
        raise CheckpointError(f"is of version {checkpoint.version} but has no rnnt_config", path)
    return checkpoint


class Entries:
    """The entries of a file that are plain values, their types checked."""

    def __init__(self, content: dict[Any, Any], path: Path) -> None:
        self.content, self.path = content, path

    def of(self, key: str, *types: type) -> Any:
        value = self.content.get(key)
        if type(value) not in types:
            wanted = " or ".join(kind.__name__ for kind in types)
            raise CheckpointError(f"{key} is a {type(value).__name__}, wants {wanted}", self.path)
        return value

    def plain(self, key: str) -> Any:
        return _plain(self.content.get(key), key, self.path)


def _plain(value: Any, where: str, path: Path) -> Any:
    """Copy a tree of what JSON can hold; its size and depth were limited when it was unpickled."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{where}[{i}]", path) for i, item in enumerate(value)]
    if isinstance(value, dict) and all(type(key) is str for key in value):
        return {key: _plain(item, f"{where}.{key}", path) for key, item in value.items()}
    raise CheckpointError(f"{where} is a {type(value).__name__}; no configuration has it", path)


def state_dict_of(file: TorchFile, key: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of a state_dict, in the file's order.

    Raises:
        CheckpointError: it is no dictionary of tensors.
    """
    state_dict = file.content[key]
    if not isinstance(state_dict, dict) or not state_dict:
        kind = "empty" if state_dict == {} else f"a {type(state_dict).__name__}"
        raise CheckpointError(f"{key} is {kind}, wants a dictionary of tensors", file.path)
    for name, tensor in state_dict.items():
        if type(name) is not str or type(tensor) is not Tensor:
            raise CheckpointError(
                f"{key}.{name} is a {type(tensor).__name__}, wants a tensor", file.path
            )
    return {name: file.array(tensor) for name, tensor in state_dict.items()}


def statistics_of(file: TorchFile, tensor: Any, name: str) -> Floats:
    """Return mean or variance of log-mel, (80,), from what a file holds under a name.

    Raises:
        CheckpointError: it is no float32 tensor of 80.
    """
    if type(tensor) is not Tensor:
        raise CheckpointError(f"{name} is a {type(tensor).__name__}, wants a tensor", file.path)
    array = file.array(tensor)
    if array.shape != (BINS,) or array.dtype != np.float32:
        raise CheckpointError(
            f"{name} is {array.dtype} {array.shape}, wants float32 ({BINS},)", file.path
        )
    return array


def _ngram(value: Any, path: Path) -> Ngram:
    if isinstance(value, dict) and value.keys() == {"binary", "scale_factor"}:
        binary, scale_factor = value["binary"], value["scale_factor"]
        if type(binary) in (bytes, type(None)) and type(scale_factor) in (float, int, type(None)):
            return Ngram(binary, scale_factor)
    raise CheckpointError("ngram is not a dict of binary (bytes) and scale_factor (float)", path)


def metadata_of(state_dict: Any) -> tuple[str, ...] | None:
    """Return the module names of a state_dict's `_metadata`, or None if it has none."""
    metadata = vars(state_dict).get("_metadata") if type(state_dict) is OrderedDict else None
    return tuple(map(str, metadata)) if isinstance(metadata, dict) else None


def network_of(checkpoint: HardwareCheckpoint) -> Network:
    """Return the model in a hardware checkpoint; its log floor is the card's.

    Raises:
        CheckpointError: shapes, repeated tensors or configuration contradict each other, or are
            those of another kind of network.
        ModelError: arrays are not finite, or the tokenizer is of another size.
    """
    path = checkpoint.path
    state_dict = _without_repetitions(checkpoint)
    try:
        specification = layout.card_specification(
            checkpoint.version_numbers,
            checkpoint.rnnt_config,
            float(checkpoint.melalpha),
            _sizes(state_dict, path),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        if isinstance(error, ModelError):
            raise
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise CheckpointError(f"rnnt_config or melalpha: {what}", path) from error
    names, shapes = layout.names(specification), specification.shapes()
    unknown = sorted(state_dict.keys() - names.keys())
    if unknown:
        raise CheckpointError(f"state_dict.{unknown[0]}: no such tensor in a network we know", path)
    arrays = {"normaliser.mean": checkpoint.melmeans, "normaliser.variance": checkpoint.melvars}
    for key, name in names.items():
        if key not in state_dict:
            raise CheckpointError(f"state_dict has no {key}", path)
        if state_dict[key].shape != shapes[name]:
            raise CheckpointError(
                f"{key} is {state_dict[key].shape}, the other tensors want {shapes[name]}", path
            )
        arrays[name] = _float32(state_dict[key], key, path)
    if checkpoint.rnnt_config is not None:
        _check_config(checkpoint.rnnt_config, specification, path)
    ngram = None
    if checkpoint.ngram is not None and checkpoint.ngram.binary is not None:
        ngram = NgramFile(checkpoint.ngram.binary, checkpoint.ngram.scale_factor)
    tokenizer = checkpoint.sentpiece_model
    notes = {"format": "hardware checkpoint", **summary(checkpoint)}
    try:
        return Network(specification, arrays, tokenizer, notes, path, ngram)
    except ModelError:
        raise
    except ValueError as error:
        raise CheckpointError(f"sentpiece_model: {error}", path) from error


def _without_repetitions(checkpoint: HardwareCheckpoint) -> dict[str, NDArray[Any]]:
    kept: dict[str, NDArray[Any]] = {}
    for key, array in checkpoint.state_dict.items():
        original = layout.aliases(key)
        if original is None:
            kept[key] = array
        elif original not in checkpoint.state_dict:
            raise CheckpointError(f"state_dict has {key} but no {original}", checkpoint.path)
        elif not equal(array, checkpoint.state_dict[original]):
            raise CheckpointError(f"{key} repeats {original} but differs", checkpoint.path)
    return kept


def _sizes(state_dict: Mapping[str, NDArray[Any]], path: Path | None) -> dict[str, int]:
    def width(key: str) -> int:
        if key not in state_dict:
            raise CheckpointError(f"state_dict has no {key}", path)
        if state_dict[key].ndim != 2:
            raise CheckpointError(f"{key} is {state_dict[key].shape}, wants a matrix", path)
        return int(state_dict[key].shape[1])

    def layers(stack: str) -> int:
        n = 0
        while f"{stack}.weight_ih_l{n}" in state_dict:
            n += 1
        return n

    return {
        "pre_layers": layers("encoder.pre_rnn.lstm"),
        "post_layers": layers("encoder.post_rnn.lstm"),
        "prediction_layers": layers("prediction.dec_rnn.lstm"),
        "hidden": width("encoder.pre_rnn.lstm.weight_hh_l0"),
        "prediction_hidden": width("prediction.embed.weight"),
        "joint": width("joint_net.2.weight"),
        "vocabulary": len(state_dict["prediction.embed.weight"]),
    }


def _float32(array: NDArray[Any], key: str, path: Path | None) -> Floats:
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            single = np.ascontiguousarray(array, np.float32)
        if array.dtype == np.float32 or np.array_equal(single, array):
            return single
    raise CheckpointError(f"{key} is {array.dtype} with numbers that float32 cannot hold", path)


def _check_config(
    config: Mapping[str, Any], specification: Specification, path: Path | None
) -> None:
    wanted: dict[tuple[str, ...], float] = dict(configuration.FIXED)
    ours = configuration.full_config(specification, "")["rnnt"]
    wanted |= {("rnnt", key): ours[key] for key in configuration.REDUCED["rnnt"]}
    for where, value in wanted.items():
        found: Any = config
        for key in where:
            found = found.get(key, value) if isinstance(found, Mapping) else value
        if found != value:
            raise CheckpointError(
                f"rnnt_config.{'.'.join(where)} is {found!r}; the network here has {value!r}", path
            )


def summary(checkpoint: HardwareCheckpoint) -> dict[str, Any]:
    """Return the entries that are neither arrays nor files, and the size and weight of the n-gram model."""
    names = ("version", "epoch", "step", "best_wer", "rnnt_config")
    found = {name: getattr(checkpoint, name) for name in names}
    if (ngram := checkpoint.ngram) is None:
        return found | {"ngram": None}
    size = len(ngram.binary or b"")
    return found | {"ngram": {"bytes": size, "scale_factor": ngram.scale_factor}}
