"""Which of a run's checkpoints to fine-tune from: their WER under several arithmetics, kept in a file.

Post-training WER under an arithmetic that the run was not trained in moves from checkpoint to
checkpoint by more than the run's own does, so the best to fine-tune from is looked for under the
arithmetic of the fine-tune. Rules:

1. A result belongs to weights, not to a file name: two files with the same weights share it, and a
   file that was overwritten is scored again.
2. A file is kept while manifest and recordings are the same; otherwise the sweep starts again.
3. The best is the lowest WER under the last of the arithmetics; of equal ones, that of most updates.

The caller says how a network is scored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from stream.model.network import Network
from stream.model.specification import ModelError
from train import checkpoint

SCHEMA = "rill.sweep/1"

# WER of a network, a fraction; None: it cannot be computed in that arithmetic.
Scorer = Callable[[Network], float | None]


class Score(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One checkpoint.

    Attributes:
        file: its name in the run's folder.
        update: that it was written after.
        weights: SHA-256 of its arrays and specification.
        wer: by arithmetic, fractions; None: it cannot be computed in that one.
    """

    file: str
    update: int
    weights: str
    wer: dict[str, float | None]


class Sweep(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All checkpoints of a run.

    Attributes:
        run: name of the folder.
        manifest: what they were scored on; recordings: SHA-256 of which.
        arithmetics: in order; the last one chooses.
        scores: by update.
        best: file to start from; None: no checkpoint can be computed in that arithmetic.
    """

    schema: str = SCHEMA
    run: str
    manifest: str
    recordings: str
    arithmetics: list[str]
    scores: list[Score] = []
    best: str | None = None


def checkpoints(folder: Path) -> list[Path]:
    """Return the training checkpoints of a run.

    Raises:
        ModelError: there is none.
    """
    found = [path for path in sorted(folder.glob("*.pt")) if checkpoint.recognises(path)]
    if not found:
        raise ModelError("holds no training checkpoint; name the folder of a run", folder)
    return found


def read_sweep(path: Path) -> Sweep | None:
    """Read what an earlier sweep wrote; None where there is nothing.

    Raises:
        ModelError: the file is not a sweep.
    """
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Sweep)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"is not a sweep: {error}. Remove it to start again.", path) from error


def sweep(
    files: Sequence[Path],
    scorers: Mapping[str, Scorer],
    begin: Sweep,
    known: Sweep | None,
    save: Callable[[Sweep], None],
    progress: Callable[[str], None],
) -> Sweep:
    """Score checkpoints under every arithmetic.

    Args:
        files: the checkpoints.
        scorers: by arithmetic, in order.
        begin: a sweep without scores: what is scored, and on what.
        known: what an earlier one found, or None (rule 2).
        save: called after each score, so that nothing is lost.
        progress: called with a line before each score.
    """
    if known is not None and (known.recordings != begin.recordings or known.run != begin.run):
        progress("the recordings are not those of last time: starting again")
        known = None
    cached: dict[str, dict[str, float | None]] = {}
    for score in known.scores if known else ():
        cached.setdefault(score.weights, {}).update(score.wer)
    scores: list[Score] = []
    for number, file in enumerate(files, 1):
        network = checkpoint.read(file)
        weights = _digest(network)
        found = cached.setdefault(weights, {})
        update = int(network.notes.get("training", {}).get("updates", 0))
        for arithmetic, scorer in scorers.items():
            if arithmetic not in found:
                progress(f"{number} of {len(files)}: {file.name}, {arithmetic}")
                found[arithmetic] = scorer(network)
                save(_sorted(begin, [*scores, _score(file, update, weights, found)]))
        scores.append(_score(file, update, weights, found))
    done = _sorted(begin, scores)
    save(done)
    return done


def _score(file: Path, update: int, weights: str, wer: dict[str, float | None]) -> Score:
    return Score(file=file.name, update=update, weights=weights, wer=dict(wer))


def _sorted(begin: Sweep, scores: list[Score]) -> Sweep:
    by = begin.arithmetics[-1]
    able = [(wer, -s.update, s.file) for s in scores if (wer := s.wer.get(by)) is not None]
    return msgspec.structs.replace(
        begin,
        scores=sorted(scores, key=lambda score: (score.update, score.file)),
        best=min(able)[2] if able else None,
    )


def _digest(network: Network) -> str:
    """Return the SHA-256 of all that a score depends on; the activation is the scorer's."""
    specification = msgspec.structs.replace(network.specification, activation="hard")
    digest = hashlib.sha256(msgspec.json.encode(specification))
    for name in sorted(network.arrays):
        digest.update(name.encode() + network.arrays[name].tobytes())
    digest.update(network.tokenizer)
    return digest.hexdigest()
