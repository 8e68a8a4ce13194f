"""The program for ONNX Runtime alone, on the page about export: it says what Rill says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stream.backends import load_backend
from stream.bundled import model_path, recordings
from stream.decoding.greedy import Greedy
from stream.encoders.conformer import Conformer
from stream.front_end.log_mel import streamed_log_mel
from stream.front_end.stacking import stack
from stream.model import directory
from stream.model.network import Network, open_model
from stream.stage import Floats, whole
from tests.documentation.pages import blocks
from tests.tiny import tiny_network


def program(folder: Path, chunk: int) -> Any:
    """Return `transcribe` of the page, for a model directory."""
    (block,) = (each for each in blocks() if "def transcribe(x)" in each.text)
    text, names = block.text, dict[str, Any]()
    for given, wanted in (
        ('"models/en-commands"', repr(str(folder))),
        ("chunk = 2 ", f"chunk = {chunk} "),
    ):
        assert text.count(given) == 1
        text = text.replace(given, wanted)
    exec(text, names)
    return names["transcribe"]


def frames_and_tokens(network: Network) -> tuple[Floats, list[int]]:
    """Return what the encoder takes of whole chunks of a recording, and the tokens of the NumPy backend."""
    encoder, backend = network.specification.encoder, load_backend("numpy", network)
    z = whole(network.normaliser, streamed_log_mel(recordings()[0].read()[None], network.front_end))
    frames = encoder.chunk_inputs * encoder.stack
    x = stack(z[:, : z.shape[1] // frames * frames], encoder.stack)
    f, _ = backend.encode(x, backend.initial_state(1)[0])
    greedy = Greedy(backend)
    tokens, _ = greedy.step(f, greedy.initial_state(1))
    return x[0], [token.id for token in tokens[0]]


def test_the_bundled_model_says_the_same() -> None:
    x, want = frames_and_tokens(open_model(model_path()))
    assert program(model_path(), 2)(x) == want
    assert len(want) > 2


@pytest.mark.parametrize("chunk_ms", [40, 240])
def test_a_conformer_says_the_same_in_chunks_of_each_length(tmp_path: Path, chunk_ms: int) -> None:
    pytest.importorskip("onnx", reason="needs onnx: pip install 'rill-asr[train]'")
    from export.build import build

    sizes = Conformer(
        depth=2, size=16, feed_forward=24, channels=3, kernel=4, mamba_every=2, mamba_heads=4,
        mamba_state=5, chunk_ms=40, chunks_ms=(40, 240),
    )  # fmt: skip
    network = tiny_network(1, other_encoder=sizes)
    directory.write(network, tmp_path / "model", build(network))
    x, want = frames_and_tokens(network.with_chunk(chunk_ms))
    assert program(tmp_path / "model", chunk_ms // 10)(x) == want
    assert len(want) > 2
