"""Directed frames of the front end: what each is made for, and that the bundled model reaches all of it."""

from __future__ import annotations

import numpy as np
import pytest

from export.hardware.arrays import model_constants
from export.hardware.directed import Directed
from export.hardware.directed_front_end import directed_gain, directed_normaliser
from export.hardware.front_end import fixed_stages
from stream.bundled import model_path
from stream.integer.network import to_integers
from stream.model.network import Network, open_model
from tests.export.hardware.models import small_network


def gain_of(network: Network) -> tuple[dict[str, int], Directed]:
    constants, gain = model_constants(network, to_integers(network)), fixed_stages(network).gain
    assert gain is not None
    return constants, directed_gain(gain, constants, np.random.default_rng(0))


def normaliser_of(network: Network) -> tuple[dict[str, int], Directed]:
    constants = model_constants(network, to_integers(network))
    normaliser = fixed_stages(network).normaliser
    return constants, directed_normaliser(normaliser, constants, np.random.default_rng(0))


def test_directed_frames_of_the_bundled_model_reach_all_that_its_alpha_allows() -> None:
    network = open_model(model_path())
    constants, gain = gain_of(network)
    assert gain.unreachable == {}
    assert constants["alpha"] == 1 << 10
    # d d / 2^18 has an even number of twos in it, so it is no half; a variance stays where alpha times it rounds to 0.
    assert set(normaliser_of(network)[1].unreachable) == {
        "growth: tie, positive, even",
        "growth: tie, positive, odd",
        "variance: 1 at least",
    }


def test_frames_lie_just_above_and_at_the_threshold_of_a_tone() -> None:
    constants, made = gain_of(small_network("bundled-like"))
    floored = np.maximum(made.given["log2_mel"], constants["floor"])
    crest = 80 * floored.max(axis=1) - floored.sum(axis=1)
    silenced = (made.computed["frames"] == constants["floor"]).all(axis=1)
    assert silenced[crest == constants["tone"] + 1].all()
    loud = floored.max(axis=1) > constants["floor"]
    assert not silenced[(crest == constants["tone"]) & loud].any()
    # Some bins of both lie below the floor, where how far does not count.
    for wanted in (constants["tone"], constants["tone"] + 1):
        assert (made.given["log2_mel"][crest == wanted] < constants["floor"]).any()


@pytest.mark.parametrize("wanted", [0, 1, 511, 512, 513, 1536])
def test_gains_are_just_nothing_and_just_what_is_rounded(wanted: int) -> None:
    _, made = gain_of(small_network("bundled-like"))
    assert (made.computed["gain"] == wanted).any()


def test_gains_end_at_the_most() -> None:
    constants, made = gain_of(small_network("bundled-like"))
    gain = made.computed["gain"]
    assert gain.max() == constants["gain_most"]
    assert (gain == constants["gain_most"] - 1).any()
    assert made.events["gain: just the most"] > 0


def test_levels_are_just_speech_and_just_not() -> None:
    constants, made = normaliser_of(small_network("bundled-like"))
    above = made.computed["level"] - made.computed["level_background"] - constants["gate_margin"]
    left, before = made.computed["frames_left"], made.given["frames_left_before"]
    assert (left[above == 1] == constants["gate_hold"]).all()
    assert (left[above == 0] == np.maximum(before[above == 0] - 1, 0)).all()
    assert {0, 1} <= set(above.tolist())


def test_frames_that_do_not_count_leave_the_statistics_alone() -> None:
    _, made = normaliser_of(small_network("bundled-like"))
    closed = made.computed["frames_left"] == 0
    assert closed.sum() == len(closed) // 2
    for name in ("mean", "variance"):
        same = (made.computed[name] == made.given[f"{name}_before"]).all(axis=1)
        assert np.array_equal(same, closed)


def test_a_variance_falls_to_1_where_alpha_is_above_a_half() -> None:
    _, made = normaliser_of(small_network("extreme"))
    assert made.events["variance: 1 at least"] > 0
    assert made.computed["variance"].min() == 1


def test_normalised_frames_end_in_ties_and_saturate() -> None:
    _, made = normaliser_of(small_network("bundled-like"))
    assert {-128, 127} <= set(made.computed["x"].reshape(-1).tolist())
    assert all(made.events[f"x: tie, {sign}"] for sign in ("positive, even", "negative, odd"))
