"""Resuming a run: from which checkpoint, and whether the configuration is still that of the run.

    RUN/last.pt                    the latest resumable checkpoint
    RUN/resumable/update-000700.pt the last `resumable` of them, last.pt among them (the same file on
                                   disk), to go back to when a run has gone wrong
    RUN/milestones/...             those of the configuration's milestones, which stay

1. A run resumes from last.pt, or from what `--resume-from` names: a checkpoint, or an update's number.
2. It continues as the checkpoint says: tokenizer, statistics and weights are the checkpoint's, so
   `--init-from` cannot name anything else than it did when the run began.
3. A configuration that differs from the checkpoint's is shown key by key, and refused without
   `--change`; with another model or arithmetic it is another run. What no batch depends on, such as the
   number of processes that draw them, may differ.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from stream.files.atomic import replacing
from stream.model.specification import ModelError
from train import checkpoint
from train.config.keys import flat
from train.config.renamed import current
from train.config.run import Config, ConfigError

LAST = "last.pt"
RING, MILESTONES = "resumable", "milestones"
NOTHING = "nothing"
# Keys that no result depends on except by rounding, or that `BATCHES` stands for.
FREE = (
    "data.workers",
    "data.cache_folder",
    "data.synthetic",
    "log.",
    "device",
    "batches.accumulate",
    "loss.joint_megabytes",
)
BATCHES = "batches an update (batches.accumulate x processes)"
FIXED = ("model.", "quantize:")  # keys of what the weights are


@dataclass(frozen=True)
class Resumed:
    """A checkpoint that a run resumes from: its file and content."""

    path: Path
    content: dict[str, Any]


def find(folder: Path, wanted: str | None) -> Resumed | None:
    """Return what a run resumes from (rule 1); None: it starts.

    Args:
        folder: of the run.
        wanted: a path, an update's number, or None.
    Raises:
        ConfigError: there is no checkpoint of that update.
        ModelError: the file is not a checkpoint that a run can resume from.
    """
    path = folder / LAST
    if wanted is not None:
        path = Path(wanted)
        if wanted.isdecimal() and not path.exists():
            path = _file(folder, RING, int(wanted))
            if not path.exists():
                path = _file(folder, MILESTONES, int(wanted))
            if not path.exists():
                there = ", ".join(map(str, updates(folder))) or "none"
                raise ConfigError(
                    f"--resume-from {wanted}: no checkpoint of update {wanted} in {folder}. "
                    f"There are: {there}"
                )
    elif not path.exists():
        return None
    content = checkpoint.load(path)
    if not {"update", "objective", "optimiser", "config"} <= content.keys():
        raise ModelError(
            "has no optimiser to go on with. Resume from last.pt or resumable/update-*.pt, or begin "
            "a new run with --init-from",
            path,
        )
    return Resumed(path, content)


def keep(folder: Path, update: int, count: int, *, milestone: bool = False) -> None:
    """Add last.pt, which was just written, to the resumable checkpoints, and remove the oldest.

    Args:
        folder: of the run.
        update: of last.pt.
        count: how many stay, those that were written last.
        milestone: whether it also stays as a milestone.
    """
    ring = folder / RING
    for room in [RING] * bool(count) + [MILESTONES] * milestone:
        (folder / room).mkdir(exist_ok=True)
        with replacing(_file(folder, room, update)) as partial:
            try:
                os.link(folder / LAST, partial)
            except OSError:  # a file system without links
                shutil.copyfile(folder / LAST, partial)
    written = sorted(ring.glob("update-*.pt"), key=lambda path: path.stat().st_mtime_ns)
    for path in written[: max(len(written) - count, 0)]:
        path.unlink()


def updates(folder: Path) -> list[int]:
    """Return the updates of the resumable checkpoints of a run, milestones too, in order."""
    found = (path for room in (RING, MILESTONES) for path in (folder / room).glob("update-*.pt"))
    return sorted({int(path.stem.partition("-")[2]) for path in found})


def check_same_run(
    resumed: Resumed, config: Config, init_from: str | None, change: bool, processes: int = 1
) -> list[str]:
    """Compare what is asked for with what the checkpoint says (rules 2 and 3).

    Args:
        init_from: --init-from, which must name what the run began with.
        change: whether the configuration may differ.
        processes: that train together.
    Returns:
        the differences, a line each.
    Raises:
        ConfigError: they are not allowed, or `init_from` is not what the run began with.
    """
    if (
        init_from is not None and "init_from" in resumed.content
    ):  # absent from checkpoints of an older Rill
        began = resumed.content["init_from"]
        if os.path.abspath(init_from) != began:
            raise ConfigError(
                f"--init-from {init_from} has no effect: {resumed.path} began from "
                f"{began or 'random weights'}. Leave it out, or choose another --output"
            )
    lines = differences(resumed.content["config"], config)
    before = resumed.content.get("batches_an_update", 1)
    if (now := config.batches.accumulate * processes) != before:
        lines.append(f"{BATCHES}: {before} -> {now}")
    fixed = [line for line in lines if line.startswith(FIXED)]
    if fixed or (lines and not change):
        shown = "\n".join(f"    {line}" for line in fixed or lines)
        raise ConfigError(
            f"{resumed.path} was trained with another configuration:\n{shown}\n"
            + ("" if fixed else "To go on with the new values: --change. ")
            + "To begin another run: choose another --output"
        )
    return lines


def differences(before: Mapping[str, Any], config: Config) -> list[str]:
    """Return the keys whose values differ, each as "key: old -> new".

    Args:
        before: a resolved configuration, perhaps of an older Rill; a key that it lacks has its default.
    """
    before = current(before)
    try:
        old = dict(flat(msgspec.to_builtins(msgspec.convert(before, Config))))
    except msgspec.ValidationError:  # it has a key that is no more
        old = dict(flat(before))
    new = dict(flat(msgspec.to_builtins(config)))
    if config.precision == "auto":
        new["precision"] = old.get("precision")  # the choice is kept
    return [
        f"{key}: {old.get(key, NOTHING)} -> {new.get(key, NOTHING)}"
        for key in sorted(old.keys() | new.keys())
        if not key.startswith(FREE) and old.get(key) != new.get(key)
    ]


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a run's folder: two processes would overwrite each other's checkpoints.

    Raises:
        ConfigError: another process holds it. It lets go when it ends, however it ends.
    """
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"another process trains in {folder}. Wait for it, or choose another --output"
            ) from error
        yield


def _file(folder: Path, room: str, update: int) -> Path:
    return folder / room / f"update-{update:06d}.pt"
