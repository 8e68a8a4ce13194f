"""Configuration of what a run takes from another model."""

from __future__ import annotations

from typing import Literal

import msgspec


class InitConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The model that a run starts from, and the parts that it takes: layers that fit, others are new.

    Attributes:
        model: path of any model: a checkpoint, a model directory, a hardware checkpoint; or en-commands, the
            model that ships with Rill. None: `--init-from` names it.
        encoder, prediction, joint: whether the layers of the encoder, those of the prediction network with
            its embedding, and the joint's two projections are taken.
        output: "by-piece" takes the rows of output layer, CTC head and embedding of the pieces that both
            tokenizers have, and makes those of new pieces of the pieces that spell them; "new" draws them.
    """

    model: str | None = None
    encoder: bool = True
    prediction: bool = True
    joint: bool = True
    output: Literal["by-piece", "new"] = "by-piece"
