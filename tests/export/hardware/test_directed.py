from __future__ import annotations

import numpy as np
import pytest

from export.hardware.arrays import layer_entries, network_layers
from export.hardware.directed import DIRECTED, lstm_steps
from stream.bundled import model_path
from stream.integer.fixed import lstm_step
from stream.integer.network import to_integers
from stream.model.network import open_model
from tests.export.hardware.models import small_network


def test_directed_steps_of_the_bundled_model_reach_all_ties_and_bounds() -> None:
    integers = to_integers(open_model(model_path()))
    for entry, (name, layer) in zip(layer_entries(integers), network_layers(integers), strict=True):
        made = DIRECTED[entry.kind](layer, np.random.default_rng(0))
        missed = {event for event, count in made.events.items() if not count}
        assert set(made.unreachable) == missed, name
        # What the model's own bounds exclude may be missing, nothing else.
        assert all("no accumulator exceeds" in reason for reason in made.unreachable.values()), name


def test_directed_steps_are_those_of_the_specification() -> None:
    layer = to_integers(small_network("plain")).pre[0]
    made = DIRECTED["lstm"](layer, np.random.default_rng(0))
    h, c = lstm_step(layer, made.given["x"], made.given["h_before"], made.given["c_before"])
    assert np.array_equal(h, made.computed["h"])
    assert np.array_equal(c, made.computed["c"])


@pytest.mark.parametrize(
    "event", ["c: tie, negative, odd", "h: tie, positive, even", "c: above int16", "c: below int16"]
)
def test_cells_are_found_for_rare_events(event: str) -> None:
    layer = to_integers(small_network("plain")).pre[0]
    made = DIRECTED["lstm"](layer, np.random.default_rng(0))
    random = {**made.given, "c_before": np.zeros_like(made.given["c_before"])}
    without = lstm_steps(layer, random["x"], random["h_before"], random["c_before"])
    assert made.events[event] > 0
    assert not np.array_equal(without["c"], made.computed["c"])
