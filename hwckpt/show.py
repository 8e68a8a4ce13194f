"""Show what is in a model and what made it, or in what two models differ.

    python -m hwckpt.show MODEL [--json]
    python -m hwckpt.show MODEL OTHER [--json]

Model directories, training checkpoints and comparisons of two models of any format are described by
`stream.model.description`; a hardware checkpoint, here: the container, every entry, the tensors with shapes and types,
the statistics, the tokenizer's pieces, and a list of findings. A file that can be read but is not a model (contradicting
shapes, numbers that are not finite) is shown too, with the contradiction among the findings.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from hwckpt import layout
from hwckpt.checkpoint import HardwareCheckpoint
from hwckpt.reader import network_of, read_checkpoint, recognises, summary
from hwckpt.torch_file.container import TorchFile
from stream.engine.channel_memory import channel_bytes, megabytes
from stream.model.description import Description, described, differences, lines
from stream.model.network import open_model
from stream.model.specification import ModelError
from stream.process import reports_errors, run_main
from stream.vocabulary import Vocabulary

SCHEMA = "rill.hwckpt.show/1"
MODEL_SCHEMA = "rill.show/1"
DEAD = 1e-3  # variance of log-mel below which a bin is as good as constant
SILENCE = -46.0  # log of the card's floor is -46.05: a bin with that mean was never heard


def describe(path: Path) -> dict[str, Any]:
    """Return what is in a hardware checkpoint, as JSON can hold it.

    Raises:
        CheckpointError: the file is not a hardware checkpoint, is broken, or was refused.
    """
    checkpoint = read_checkpoint(path)
    with TorchFile(path) as file:
        container = {
            "kind": file.container,
            "protocol": file.protocol,
            "byteorder": file.byteorder,
            "bytes": path.stat().st_size,
        }
    tensors = {
        key: {"shape": list(array.shape), "dtype": str(array.dtype)}
        for key, array in checkpoint.state_dict.items()
    }
    unique = [a for key, a in checkpoint.state_dict.items() if layout.aliases(key) is None]
    description: dict[str, Any] = {
        "schema": SCHEMA,
        "path": str(path),
        "container": container,
        **summary(checkpoint),
        "melalpha": checkpoint.melalpha,
        "melmeans": _range(checkpoint.melmeans),
        "melvars": _range(checkpoint.melvars),
        "parameters": sum(array.size for array in unique),
        "tensors": tensors,
        "tokenizer": {"bytes": len(checkpoint.sentpiece_model), "pieces": _pieces(checkpoint)},
        "specification": None,
    }
    found = findings(checkpoint, container)
    try:
        specification = network_of(checkpoint).specification
    except ModelError as error:
        found.insert(0, str(error).removeprefix(f"{path}: "))
    else:
        values = {name: getattr(specification, name) for name in specification.__struct_fields__}
        description["specification"] = {k: v for k, v in values.items() if v is not msgspec.UNSET}
        description["generation"] = specification.generation
    description["findings"] = found
    return description


def _range(array: np.ndarray[Any, Any]) -> list[float]:
    return [float(array.min()), float(array.max())]


def _pieces(checkpoint: HardwareCheckpoint) -> list[str] | None:
    try:
        return list(Vocabulary(checkpoint.sentpiece_model).pieces)
    except ValueError:
        return None


def findings(checkpoint: HardwareCheckpoint, container: dict[str, Any]) -> list[str]:
    """Return what is unusual about a checkpoint, a sentence each.

    Args:
        container: its kind, protocol and byteorder, as `describe` gives them.
    """
    found = []
    state_dict = checkpoint.state_dict
    repeated = [key for key in state_dict if layout.aliases(key) is not None]
    if repeated:
        found.append(f"{len(repeated)} tensors repeat others under a second name")
    for key, array in {
        **state_dict,
        "melmeans": checkpoint.melmeans,
        "melvars": checkpoint.melvars,
    }.items():
        if array.dtype != np.float32:
            found.append(f"{key} is {array.dtype}, not float32")
        if not np.isfinite(array).all():
            at = np.argwhere(~np.isfinite(array))[0].tolist()
            found.append(f"{key} is not finite at {at}")
        elif array.size and not array.any():
            found.append(f"{key} is all zeros")
    for bin_ in np.flatnonzero(
        ~(checkpoint.melvars > DEAD) | (checkpoint.melmeans <= SILENCE)
    ).tolist():
        mean, variance = checkpoint.melmeans[bin_], checkpoint.melvars[bin_]
        found.append(f"bin {bin_} is dead: mean {mean:.4g}, variance {variance:.4g}")
    version = checkpoint.version_numbers
    if container["protocol"] != layout.pickle_protocol(version):
        found.append(f"pickle protocol {container['protocol']}; its version writes another")
    if container["kind"] != "zip" or container["byteorder"] != "little":
        found.append(f"a {container['kind']} file, {container['byteorder']}-endian")
    if checkpoint.version is None:
        found.append("no version: of 1.0 or 1.1, taken to have hard activations and a 20 ms window")
    if checkpoint.unknown:
        found.append(f"unknown keys: {', '.join(checkpoint.unknown)}")
    for field in layout.FIELDS:
        late = version >= field.since
        if late and field.since > (1, 0, 0) and getattr(checkpoint, field.name) is None:
            found.append(f"no {field.name}, which its version has")
    if checkpoint.step == 0:
        found.append("step is 0: not from a training run; its weights may not be averaged ones")
    if not 0 <= checkpoint.best_wer < 1 or math.isnan(checkpoint.best_wer):
        found.append(f"best_wer is {checkpoint.best_wer}: never validated, or not a fraction")
    return found


def _print(description: dict[str, Any]) -> None:
    container, tokenizer = description["container"], description["tokenizer"]
    print(
        f"{description['path']}: {container['kind']}, {container['bytes']:,} bytes, "
        f"pickle protocol {container['protocol']}, {container['byteorder']}-endian"
    )
    for key in ("version", "epoch", "step", "best_wer", "melalpha", "ngram"):
        print(f"{key:16} {description[key]}")
    for key in ("melmeans", "melvars"):
        low, high = description[key]
        print(f"{key:16} {low:.4f} to {high:.4f}")
    if description["specification"]:
        values = ", ".join(f"{k} {v}" for k, v in description["specification"].items())
        print(f"{'model':16} {values}; arithmetic of generation {description['generation']}")
    print(f"{'rnnt_config':16} {json.dumps(description['rnnt_config'])}")
    print(f"{'parameters':16} {description['parameters']:,}")
    width = max(len(key) for key in description["tensors"])
    for key, tensor in description["tensors"].items():
        print(f"  {key:{width}} {tensor['dtype']} {tuple(tensor['shape'])}")
    pieces = tokenizer["pieces"]
    count = "not a SentencePiece model" if pieces is None else f"{len(pieces)} pieces"
    print(f"{'sentpiece_model':16} {tokenizer['bytes']:,} bytes, {count}")
    if pieces:
        print(f"  {' '.join(pieces)}")
    print("unusual:" if description["findings"] else "nothing unusual")
    for line in description["findings"]:
        print(f"  {line}")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rill show",
        description="Print what is in a model and what made it; of a hardware checkpoint also what is unusual about it. "
        "Of two models, print in what they differ.",
        epilog="example: rill show models/en-commands runs/fr/model/fr",
        allow_abbrev=False,
    )
    parser.add_argument(
        "model",
        type=Path,
        metavar="MODEL",
        help="model directory, training checkpoint or hardware checkpoint of any version",
    )
    parser.add_argument(
        "other", type=Path, nargs="?", metavar="OTHER", help="model to compare with"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    """Print the description; 0 done, 1 two models differ, 3 a file is no model."""
    arguments = build_parser().parse_args(argv)
    path, other = arguments.model, arguments.other
    if other is None and recognises(path):
        description = describe(path)
        if arguments.json:
            print(json.dumps(description, ensure_ascii=False))
        else:
            _print(description)
        return 0
    sections = _described(path)
    if other is not None:
        sections = differences(sections, _described(other))
    if arguments.json:
        print(
            json.dumps({"schema": MODEL_SCHEMA, "path": str(path), **sections}, ensure_ascii=False)
        )
    else:
        print("\n".join(lines(sections)) or "no difference")
    return 1 if other is not None and sections else 0


def _described(path: Path) -> Description:
    network = open_model(path)
    sections = described(network)
    memory = megabytes(channel_bytes(network))
    sections["model"]["a channel"] = f"{memory}, all its states and samples in float32"
    return sections


if __name__ == "__main__":
    run_main(main)
