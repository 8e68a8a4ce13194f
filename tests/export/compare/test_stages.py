"""Models traced side by side: a changed array shows first at its stage."""

from __future__ import annotations

from dataclasses import replace

import pytest

from export.compare.artefacts import Decoded, Emitted, Model, Run
from export.compare.findings import Result, compare
from stream.bundled import recordings
from stream.model.network import Network
from tests.tiny import tiny_network


def changed(network: Network, name: str) -> Network:
    """Return the network with one array changed."""
    array = network.arrays[name].copy()
    array[...] += 1.0
    return replace(network, arrays={**network.arrays, name: array})


def stages_of(other: Network, reference: Network) -> dict[str, float]:
    """Return the largest difference at each stage, along a path of three tokens."""
    utterances = recordings()[:2]
    emitted = (Emitted("a", 2), Emitted("b", 2), Emitted("c", 5))
    run = Run((Decoded("abc", emitted, (1, 2, 3)),) * 2, 1.0)
    results = [
        Result(label, label, "", run, Model(network, "numpy"))
        for label, network in (("reference", reference), ("other", other))
    ]
    found = compare(results, utterances, date="", machine="", manifest="")
    return {name: stage.largest for name, stage in found.artefacts[1].stages.items()}


@pytest.mark.parametrize(
    ("array", "differing"),
    [
        ("normaliser.mean", {"normalised", "encoder", "logits"}),
        ("encoder.post.0.weight_hh", {"encoder", "logits"}),
        ("prediction.embedding", {"prediction", "logits"}),
        ("joint.output.weight", {"logits"}),
    ],
)
def test_a_changed_array_shows_first_at_its_stage(array: str, differing: set[str]) -> None:
    network = tiny_network()
    stages = stages_of(changed(network, array), network)
    assert list(stages) == ["log-mel", "normalised", "encoder", "prediction", "logits"]
    assert {name for name, largest in stages.items() if largest} == differing
