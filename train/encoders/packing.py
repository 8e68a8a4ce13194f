"""Packing: the frames of a padded batch without its padding, step by step, the longest row first.

So the rows that a step still has are the first ones of the step before, and an LSTM runs over fewer and fewer rows. In
batches of joined recordings a third of all frames is padding.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


class Packing:
    """The layout of a batch's frames.

    Args:
        steps, batch: T and B of the padded batch.
        lengths: frames of each row, at most T; None: T.
    """

    def __init__(self, steps: int, batch: int, lengths: Sequence[int] | None = None) -> None:
        self.batch, self._steps = batch, steps
        of_rows = np.full(batch, steps) if lengths is None else np.asarray(lengths)
        self._whole = bool((of_rows == steps).all())
        order = np.argsort(-of_rows, kind="stable")
        counts = (of_rows[None, :] > np.arange(steps)[:, None]).sum(1)
        starts = np.concatenate([[0], np.cumsum(counts)])
        self._slices = []
        before = slice(0, batch)
        for start, count in zip(starts.tolist(), counts.tolist(), strict=False):
            if count == 0:
                break
            after = slice(batch + start, batch + start + count)
            inside = slice(before.start, before.start + count)
            self._slices.append((inside, slice(start, start + count), after))
            before = after
        if not self._whole:
            step = np.repeat(np.arange(steps), counts)
            place = np.arange(starts[-1]) - starts[step]
            self._frames = torch.from_numpy(step * batch + order[place])
            self._before = torch.from_numpy(
                np.where(step == 0, place, batch + starts[np.maximum(step - 1, 0)] + place)
            )
            inverse = np.argsort(order)
            sorted_lengths = of_rows[order]
            last = batch + starts[np.maximum(sorted_lengths - 1, 0)] + np.arange(batch)
            last = np.where(sorted_lengths > 0, last, np.arange(batch))
            self._order, self._inverse = torch.from_numpy(order), torch.from_numpy(inverse)
            self._last = torch.from_numpy(last[inverse])

    def steps(self) -> list[tuple[slice, slice, slice]]:
        """Return for each step where its rows are: in the states before it, in the frames, in the states after it.

        States are (B + frames, ...): first those before the first step, then those after each frame.
        """
        return self._slices

    def packed(self, x: Tensor) -> Tensor:
        """Return the frames of x, (T, B, F) -> (frames, F)."""
        flat = x.reshape(self._steps * self.batch, x.shape[2])
        return flat if self._whole else flat.index_select(0, self._frames.to(x.device))

    def padded(self, frames: Tensor) -> Tensor:
        """Return frames, (frames, F) -> (T, B, F), with zeros past the rows' ends."""
        shape = self._steps, self.batch, frames.shape[1]
        if self._whole:
            return frames.view(shape)
        x = frames.new_zeros(self._steps * self.batch, frames.shape[1])
        return x.index_copy_(0, self._frames.to(x.device), frames).view(shape)

    def before(self, states: Tensor) -> Tensor:
        """Return the state before each frame, (B + frames, H) -> (frames, H)."""
        if self._whole:
            return states[: len(states) - self.batch]
        return states.index_select(0, self._before.to(states.device))

    def last(self, states: Tensor) -> Tensor:
        """Return the state after each row's last frame, (B + frames, H) -> (B, H), rows as in the batch."""
        if self._whole:
            return states[len(states) - self.batch :].clone()
        return states.index_select(0, self._last.to(states.device))

    def sorted(self, rows: Tensor) -> Tensor:
        """Return the rows of (B, ...), the longest first."""
        return rows if self._whole else rows.index_select(0, self._order.to(rows.device))

    def unsorted(self, rows: Tensor) -> Tensor:
        """Undo `sorted`."""
        return rows if self._whole else rows.index_select(0, self._inverse.to(rows.device))
