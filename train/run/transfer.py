"""Transfer: which weights of another model a run starts from, and which are new.

1. A layer is taken where the other model has one of its name and sizes; so of another number of layers those
   that fit are. Layers belong to parts, and a part that is asked for and of which nothing fits is an error.
2. Rows that stand for pieces (embedding, output layer, CTC head) are found by piece; blank stays blank. The row
   of a new piece is the mean of the rows of the longest known pieces that spell it, from left to right; where
   there are none, it is new.
3. What is not taken stays as it was drawn.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from stream.vocabulary import MARKED, WORD_MARK
from train.config.init import InitConfig
from train.config.run import ConfigError

PARTS = {  # of a state, by what the names of their tensors begin with
    "encoder": ("mel.", "encoder.", "pre.", "post.", "joint_norm."),
    "prediction": ("prediction.", "embedding."),
    "joint": ("joint_encoder.", "joint_prediction."),
    "output": ("output.", "ctc."),
}
ROWS = re.compile(r"embedding$|^embedding\.weight$|^(output|ctc)\.(weight|bias)$")  # one a piece
State = Mapping[str, Tensor]


@dataclass
class Part:
    """What was taken of a part: names of layers, and weights in numbers.

    Attributes:
        taken, new: layers.
        weights: of the part; kept: of these, how many were taken.
    """

    taken: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    weights: int = 0
    kept: int = 0


class Transfer:
    """The weights of a run's model, in part those of another.

    Args:
        own: state of the run's model, as it was drawn.
        other: state of the model that it starts from.
        init: which parts are taken.
        pieces, other_pieces: of the tokenizers of both, by id.
    Attributes:
        weights: the state that the run starts from.
        parts: what was taken, by part.
        sources: ids of the other's pieces that the row of each piece is made of; () where it is new.
    Raises:
        ConfigError: a part is asked for, and nothing of it fits.
    """

    def __init__(
        self,
        own: State,
        other: State,
        init: InitConfig,
        pieces: Sequence[str],
        other_pieces: Sequence[str],
    ) -> None:
        known = {piece: number for number, piece in enumerate(other_pieces)}
        self.sources = [_spelt(piece, known) for piece in pieces]
        self.kept_pieces = sum(piece in known for piece in pieces)
        self.weights = dict(own)
        self.parts = {name: Part() for name in PARTS}
        for layer, names in _layers(own).items():
            name = _part_of(names[0])
            part, asked = self.parts[name], _asked(init, name)
            found = {key: self._found(key, own[key], other) for key in names}
            taken = {key: tensor for key, tensor in found.items() if asked and tensor is not None}
            part.weights += sum(own[key].numel() for key in names)
            if len(taken) == len(names):
                part.taken.append(layer)
                part.kept += sum(self._weights_found(key, own[key]) for key in names)
                self.weights |= taken
            else:
                part.new.append(layer)
        for name, part in self.parts.items():
            if _asked(init, name) and part.new and not part.taken:
                without = '"new"' if name == "output" else "false"
                raise ConfigError(
                    f"init.{name}: none of {', '.join(part.new)} fits: there they are of other sizes, or "
                    f"missing. Choose the sizes of that model, or init.{name} = {without}"
                )

    def _weights_found(self, name: str, own: Tensor) -> int:
        """Return how many weights of a tensor that is taken are the other model's."""
        if not ROWS.search(name):
            return own.numel()
        new = sum(not sources for sources in self.sources)
        return own.numel() // len(own) * (len(own) - new)

    def _found(self, name: str, own: Tensor, other: State) -> Tensor | None:
        """Return the tensor that a run starts from, or None where the other model has none that fits."""
        found = other.get(name)
        if found is None or found.shape[1:] != own.shape[1:]:
            return None
        if not ROWS.search(name):
            return found if found.shape == own.shape else None
        rows = own.clone()
        for row, sources in enumerate(self.sources):
            if sources:
                rows[row] = found[list(sources)].mean(0)
        if len(own) > len(self.sources):
            rows[-1] = found[-1]  # blank
        return rows

    def pieces(self) -> dict[str, int]:
        """Return how many pieces have the row of the same piece, of those that spell them, or a new one."""
        spelt = sum(bool(sources) for sources in self.sources)
        made, new = spelt - self.kept_pieces, len(self.sources) - spelt
        return {"kept": self.kept_pieces, "made": made, "new": new}

    def lines(self) -> Iterator[str]:
        """Yield what was taken, a line a part, and what became of the pieces."""
        for name, part in self.parts.items():
            if part.weights:
                taken, new = ", ".join(part.taken) or "nothing", ", ".join(part.new)
                share = f"{100 * part.kept / part.weights:.0f} % of {part.weights:,} weights"
                yield f"{name}: {share} taken ({taken})" + (f"; new: {new}" if new else "")
        if self.parts["output"].taken or self.parts["prediction"].taken:
            yield "pieces: {kept} kept, {made} made of others, {new} new".format(**self.pieces())

    def notes(self) -> dict[str, Any]:
        """Return the same for a checkpoint's notes."""
        shares = {
            name: {
                "share": round(part.kept / part.weights, 4),
                "taken": part.taken,
                "new": part.new,
            }
            for name, part in self.parts.items()
            if part.weights
        }
        return {**shares, "pieces": self.pieces()}


def _layers(state: State) -> dict[str, list[str]]:
    """Return the names of a state's tensors by layer: up to its number, or all but the last word."""
    layers: dict[str, list[str]] = {}
    for name in state:
        numbered = re.match(r"(.*?\.\d+)\.", name)
        layers.setdefault(numbered[1] if numbered else name.rpartition(".")[0], []).append(name)
    return layers


def _part_of(name: str) -> str:
    return next(part for part, prefixes in PARTS.items() if name.startswith(prefixes))


def _asked(init: InitConfig, part: str) -> bool:
    return init.output == "by-piece" if part == "output" else bool(getattr(init, part))


def _spelt(piece: str, known: Mapping[str, int]) -> tuple[int, ...]:
    """Return the ids of the longest known pieces that spell a piece, from left to right.

    A piece such as `<EOS>` stands for no text and is known whole or not at all.
    """
    if piece in known:
        return (known[piece],)
    found, rest = [], "" if MARKED.fullmatch(piece) else piece
    while rest:
        length = next((n for n in range(len(rest), 0, -1) if rest[:n] in known), 0)
        if length and rest[:length] != WORD_MARK:  # a space by itself says nothing of the word
            found.append(known[rest[:length]])
        rest = rest[max(length, 1) :]
    return tuple(found)
