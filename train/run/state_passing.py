"""Random state passing: rows that begin in the states in which rows of the update before ended.

A model that has only learned utterances from their beginning has never been where a channel is after its
first utterance. So now and then the rows of an update go on from those of the last one, as if one channel had
heard them: the encoder from its state at the row's last chunk, the prediction network from its state and
from the last token. Gradients do not go back over the border (NUMERICS 5.5).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from stream.stage import State, map_state
from train.config.duration import updates_in
from train.config.run import Config
from train.model import Transducer, lengths_to_mask
from train.run.inputs import Inputs
from train.schedules.calendar import Calendar
from train.schedules.chains import Chains
from train.schedules.learning_rate import halved_after


class Passed(NamedTuple):
    """Where rows begin, or end.

    Attributes:
        encoder, prediction: states of B rows.
        token: (B,) int64, what the prediction network reads first; blank at the start of a stream.
    """

    encoder: State
    prediction: State
    token: Tensor


class PassedStates:
    """The states that the rows of a run's updates begin from.

    Args:
        config, calendar: of the run.
    """

    def __init__(self, config: Config, calendar: Calendar) -> None:
        passing, optimiser, epoch = config.state_passing, config.optimiser, calendar.epoch
        if passing.delay is None:
            start = halved_after(optimiser, epoch, times=3)
        else:
            start = updates_in(passing.delay, epoch)
        self.chains = Chains(passing.chains, start, calendar.saves, config.seed)
        self._passed: dict[int, tuple[int, Passed]] = {}

    def before(self, update: int, part: int, model: Transducer, rows: int) -> Passed | None:
        """Return what the rows of a part of an update go on from; None: they begin."""
        ended, passed = self._passed.pop(part, (0, None))
        if passed is None or ended != update - 1 or not self.chains.continues(update):
            return None
        return beginning(model, rows, passed)

    def keep(self, update: int, part: int, after: Callable[[], Passed]) -> None:
        """Keep what the next update goes on from, where it does.

        Args:
            after: computes it; states that are not finite are not passed on.
        """
        if self.chains.is_continued(update):
            passed = after()
            if _finite(passed.encoder) and _finite(passed.prediction):
                self._passed[part] = update, passed


@torch.no_grad()
def states_after(model: Transducer, inputs: Inputs, before: Passed | None) -> Passed:
    """Return where rows end: computed as a stream does, without dropout.

    Args:
        model: whose weights compute; it is in training mode again afterwards if it was.
        before: where the rows began; None: as a stream does.
    """
    was = model.training
    model.eval()
    x, lengths, tokens, token_lengths = inputs
    begin = beginning(model, len(x), None) if before is None else before
    chunk = model.specification.encoder.chunk_inputs
    ends = -(-lengths // chunk) * chunk
    present = lengths_to_mask(lengths, x.shape[1]).to(x.device)
    encoder = _at_ends(
        begin.encoder,
        ends,
        lambda low, high, state: model.encode(x[:, low:high], state, present[:, low:high])[1],
    )
    prediction, token = begin.prediction, begin.token
    if model.prediction is not None:
        read = torch.cat([begin.token[:, None], tokens], dim=1)
        token = read.gather(1, token_lengths[:, None].to(read.device))[:, 0]
        # The last token is read by the row that goes on, so the state is the one before it.
        prediction = _at_ends(
            begin.prediction,
            token_lengths,
            lambda low, high, state: model.predict(read[:, low:high], state)[1],
        )
    model.train(was)
    return Passed(encoder, prediction, token)


def beginning(model: Transducer, rows: int, before: Passed | None) -> Passed:
    """Return where the rows of a batch begin: as `before` says as far as it has rows, else as a stream."""
    encoder, prediction = model.initial_state(rows)
    like = next(model.parameters())
    token = torch.full((rows,), model.specification.blank, dtype=torch.int64, device=like.device)
    if before is None:
        return Passed(encoder, prediction, token)

    def over(start: Tensor, passed: Tensor) -> Tensor:
        count = min(len(passed), rows)
        return torch.cat([passed[:count].to(start.dtype), start[count:]])

    return Passed(
        map_state(over, encoder, before.encoder),
        map_state(over, prediction, before.prediction),
        over(token, before.token),
    )


def _at_ends(state: State, ends: Tensor, step: Callable[[int, int, State], State]) -> State:
    """Return the state of each row at its end, from steps over what lies between the ends."""
    found, low = state, 0
    for high in sorted(set(ends.tolist()) - {0}):
        state = step(low, high, state)
        here = ends == high
        found = map_state(lambda old, new: _where(here, new, old), found, state)  # noqa: B023
        low = high
    return found


def _where(rows: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(rows.view(-1, *(1,) * (new.ndim - 1)).to(new.device), new, old)


def _finite(state: State) -> bool:
    leaves: list[bool] = []
    map_state(lambda leaf: leaves.append(bool(torch.isfinite(leaf).all())), state)
    return all(leaves)
