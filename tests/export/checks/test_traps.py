"""Mistakes that others made with streaming Conformers, planted in the family or its graphs: an export finds each.

Those of scale and padding are in `test_streaming.py`; scales of the batch, caches in float16 and the origin of the
rotation in `tests/export/onnx/encoders/test_conformer.py`; a gradient that is not finite in `tests/train/test_mel.py`.
What fills a chunk after the end of a stream is seen by attention alone: convolution and Mamba-2 only look back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs onnx: pip install 'rill-asr[train]'")

from export.errors import ExportError
from export.model_directory import export
from export.onnx.encoders import conformer as graphs
from stream.bundled import recordings
from stream.causality import CausalityError
from stream.encoders import conformer
from stream.encoders.conformer import Conformer
from stream.encoders.operations import Operations
from stream.model.network import Network
from stream.stage import map_state
from tests.tiny import quiet_network

Patch = pytest.MonkeyPatch
SIZES: dict[str, Any] = {
    "depth": 3,
    "size": 16,
    "heads": 4,
    "kernel": 4,
    "feed_forward": 24,
    "channels": 3,
    "mamba_every": 2,
    "mamba_heads": 4,
    "mamba_state": 5,
    "chunk_ms": 120,
}
windows, share, initial_state = conformer.windows, graphs.share, Conformer.initial_state


def network() -> Network:
    made = quiet_network(1, other_encoder=Conformer(**SIZES))
    arrays = {n: a + n.endswith("scale") for n, a in made.arrays.items()}
    return dataclasses.replace(made, arrays=arrays)


@pytest.fixture(autouse=True)
def two_recordings(monkeypatch: Patch) -> None:
    """Verify on two of the bundled recordings, of a second each, for speed."""
    for name in ("export.model_directory", "export.checks.verification"):
        monkeypatch.setattr(f"{name}.recordings", lambda: recordings()[-2:])


def attention_of_whole_utterances(patch: Patch) -> None:
    """A frame sees all frames of its block, later chunks too: trained offline."""

    def offline(filled: Any, present: Any, like: Any, *rest: Any) -> Any:
        return windows(filled, present, like, like.shape[1], *rest[1:])

    patch.setattr(conformer, "windows", offline)


def convolution_of_the_next_frame(patch: Patch) -> None:
    """A kernel lies around its frame, so that the last one of a chunk wants the next chunk."""

    def centred(self: Any, frames: Any, weight: Any) -> Any:
        later = np.concatenate([frames[:, 1:], np.zeros_like(frames[:, :1])], axis=1)
        return depthwise(self, later, weight)

    depthwise = Operations.depthwise
    patch.setattr(Operations, "depthwise", centred)


def zeros_before_the_start_are_speech(patch: Patch) -> None:
    """Attention sees the zeros of caches that nothing has filled."""

    def filled(self: Any, batch: int) -> Any:
        subsampled, there, layers = initial_state(self, batch)
        return subsampled, np.ones_like(there), layers

    patch.setattr(Conformer, "initial_state", filled)


def zeros_after_the_end_are_speech(patch: Patch) -> None:
    """Attention sees what fills the last chunk."""
    patch.setattr(conformer, "windows", lambda filled, _, *rest: windows(filled, None, *rest))


def zeros_after_the_end_are_speech_to_the_graph(patch: Patch) -> None:
    """The same, in the graph alone."""

    def all_present(graph: Any, sizes: Any, present: str) -> Any:
        return share(graph, sizes, graph.node("Equal", [present, present]))

    patch.setattr(graphs, "share", all_present)


def norm_over_the_batch(patch: Patch) -> None:
    """A norm takes its mean square over the rows of a batch, too."""

    def of_batch(self: Any, x: Any, scale: Any, bias: Any) -> Any:
        return x / np.sqrt((x * x).mean(axis=(0, -1), keepdims=True) + 1e-5) * scale

    patch.setattr(Operations, "normalise", of_batch)


def norm_over_time(patch: Patch) -> None:
    """A norm takes its mean square over all frames that it is given."""

    def of_time(self: Any, x: Any, scale: Any, bias: Any) -> Any:
        return x / np.sqrt((x * x).mean(axis=(1, -1), keepdims=True) + 1e-5) * scale

    patch.setattr(Operations, "normalise", of_time)


def positions_that_end(patch: Patch) -> None:
    """A table of positions has 30 frames; later ones are like the last."""

    def short(*given: Any) -> Any:
        found = windows(*given)
        last = np.minimum(np.arange(len(found.cosines)), 30)
        return dataclasses.replace(found, cosines=found.cosines[last], sines=found.sines[last])

    patch.setattr(conformer, "windows", short)


def states_that_start_again(patch: Patch) -> None:
    """Mamba forgets its state between chunks."""
    advance = conformer.Mamba.advance

    def forgetful(self: Any, arrays: Any, x: Any, state: Any, present: Any) -> Any:
        return advance(self, arrays, x, map_state(np.zeros_like, state), present)

    patch.setattr(conformer.Mamba, "advance", forgetful)


TRAPS: dict[Callable[[Patch], None], tuple[type[Exception], str]] = {
    attention_of_whole_utterances: (CausalityError, "changes when the input from"),
    convolution_of_the_next_frame: (CausalityError, "changes when the input from"),
    zeros_before_the_start_are_speech: (ExportError, "encoder output differs by"),
    zeros_after_the_end_are_speech: (ExportError, "encoder output differs by"),
    zeros_after_the_end_are_speech_to_the_graph: (ExportError, "encoder output differs by"),
    norm_over_the_batch: (ExportError, "encoder output differs by"),
    norm_over_time: (CausalityError, "changes when the input from"),
    positions_that_end: (ExportError, "encoder output differs by"),
    states_that_start_again: (ExportError, "encoder output differs by"),
}


def test_without_a_mistake_the_model_is_exported(tmp_path: Path) -> None:
    assert export(network(), tmp_path / "model", int8=False).difference < 1e-4


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.__name__)
def test_a_trap_is_found_and_nothing_is_written(
    trap: Callable[[Patch], None], tmp_path: Path, monkeypatch: Patch
) -> None:
    error, message = TRAPS[trap]
    trap(monkeypatch)
    with pytest.raises(error, match=message):
        export(network(), tmp_path / "model", int8=False)
    assert not list(tmp_path.iterdir())
