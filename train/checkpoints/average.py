"""The average of several checkpoints: which there are, and their mean as one model.

What is averaged is what a checkpoint validates with, its exponentially averaged weights, before the
normalisation between layers is folded in: the mean of folded weights would be that of products.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stream.model.specification import ModelError
from train import checkpoint

KEPT = ("specification", "mean", "variance", "tokenizer", "config", "ngram")  # of the latest
SAME = ("specification", "tokenizer", "mean", "variance")


def last(run: Path, count: int) -> list[Path]:
    """Return the checkpoints of the last updates of a run, in order, one for each update.

    Raises:
        ModelError: there are not as many.
    """
    found = {_update(path): path for path in _files(run, "resumable", "milestones", ".")}
    return _enough(run, [found[update] for update in sorted(found)][-count:], count)


def best(run: Path, count: int) -> list[Path]:
    """Return the checkpoints of the lowest dev WERs of a run, in order, of equal ones the latest.

    Raises:
        ModelError: there are not as many that were validated.
    """
    scored = []
    for path in _files(run, "."):
        score = checkpoint.load(path)["notes"]["wer"].get("dev")
        if score:
            scored.append((score["all"], -_update(path), path))
    chosen = [path for *_, path in sorted(scored)[:count]]
    return _enough(run, sorted(chosen, key=_update), count)


def average(files: Sequence[Path]) -> dict[str, Any]:
    """Return the content of a checkpoint with the mean of the weights of others.

    Args:
        files: in the order of their updates.
    Raises:
        ModelError: a file is no checkpoint, or of another model than the last.
    """
    latest = checkpoint.load(files[-1])
    total = {name: value.double() for name, value in latest["averaged"].items()}
    updates = [_trained(latest)]
    for path in files[:-1]:
        content = checkpoint.load(path)
        _check_same(content, latest, path, files[-1])
        updates.insert(-1, _trained(content))
        for name, value in content["averaged"].items():
            total[name] += value.double()
    kinds = {name: value.dtype for name, value in latest["averaged"].items()}
    notes = dict(latest["notes"])
    notes["training"] = {**notes.get("training", {}), "averaged": updates}
    notes["wer"] = {}
    return {
        **{key: latest[key] for key in KEPT if key in latest},
        "averaged": {name: (value / len(files)).to(kinds[name]) for name, value in total.items()},
        "notes": notes,
    }


def _files(run: Path, *rooms: str) -> list[Path]:
    return [path for room in rooms for path in sorted((run / room).glob("update-*.pt"))]


def _update(path: Path) -> int:
    return int(path.stem.partition("-")[2])


def _enough(run: Path, files: list[Path], count: int) -> list[Path]:
    if len(files) < count:
        raise ModelError(
            f"has {len(files)} such checkpoints, not {count}. A run keeps more with keep = true, "
            "resumable or milestones",
            run,
        )
    return files


def _trained(content: Mapping[str, Any]) -> int:
    return int(content["notes"].get("training", {}).get("updates", 0))


def _check_same(
    content: Mapping[str, Any], latest: Mapping[str, Any], path: Path, other: Path
) -> None:
    wrong = [key for key in SAME if content.get(key) != latest.get(key)]
    shapes = [
        {name: value.shape for name, value in each["averaged"].items()}
        for each in (content, latest)
    ]
    if not wrong and shapes[0] != shapes[1]:
        wrong = ["weights"]
    if wrong:
        raise ModelError(f"is of another model than {other}: its {', '.join(wrong)} differ", path)
