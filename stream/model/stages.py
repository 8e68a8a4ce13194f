"""The runs that made a model, of its notes: the last one is `training`, those before it are its `before`.

Each says of itself, as far as its version of Rill wrote it down:

    run, updates, seed         its name, its length, its seed
    hours                      of recordings in its training set
    recordings                 by corpus: number, hours, percentiles of the duration, seconds
    seen                       by corpus: hours learned from, as drawn, joined and augmented; licenses; synthetic
    seen_from                  the update that counting began at, where an older Rill made those before it
    settings, settings_sha256  what its configuration sets otherwise than by default; SHA-256 of RUN/config.json
    rill, torch                versions
    parent                     SHA-256 of `weights.safetensors` of the model that it started from
    init                       what it took of that, where it took a part
    pruned                     bank, `zeros` the share of zeros by array, SHA-256 of the mask of all arrays, in that
                               order (bytes, 1 where a weight is not zero); see `train.optimiser.pruning`
    averaged                   updates of the checkpoints that its weights are the mean of
    blank_penalty              by how much the transducer's blank was lowered after it (`train.blank_penalty`)
    ctc_blank_penalty          the same of a CTC head
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, TypeAlias

Stage: TypeAlias = Mapping[str, Any]


def without_places(notes: Any) -> Any:
    """Return notes in which absolute paths, such as those of tokenizers and data sets, are names of files alone."""
    if isinstance(notes, Mapping):
        return {key: without_places(value) for key, value in notes.items()}
    if isinstance(notes, list | tuple):
        return [without_places(value) for value in notes]
    if isinstance(notes, str) and PurePath(notes).is_absolute():
        return PurePath(notes).name
    return notes


def stages_of(notes: Mapping[str, Any]) -> list[Stage]:
    """Return the runs that made a model, the first one first; none where its notes do not say."""
    last = dict(notes.get("training", {}))
    before = last.pop("before", [])
    return [*before, last] if last else []


def text_rules_of(notes: Mapping[str, Any]) -> str | None:
    """Return the rules of the transcripts that a model learned, `data.text` of its last run that says so."""
    for stage in reversed(stages_of(notes)):
        if rules := stage.get("settings", {}).get("data.text"):
            return str(rules)
    return None
