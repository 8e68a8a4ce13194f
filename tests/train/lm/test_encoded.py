"""Encoder frames that are kept: what is decoded of them is what validation hears."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from stream.backends import load_backend
from stream.bundled import model_path, recordings
from stream.decoding.options import WHOLE, DecoderOptions, decoding_of
from stream.front_end.log_mel import SAMPLE_RATE
from stream.model.network import open_model
from stream.stage import Floats
from stream.validation import validate
from train.lm.encoded import encode


@dataclass(frozen=True)
class Interrupted:
    """Two recordings with exact zeros between them, after which a channel begins a new segment."""

    parts: Sequence[Floats]
    id: str = "interrupted"
    text: str = "-"
    corpus: str | None = None
    duration: float | None = None

    def read(self) -> Floats:
        zeros = np.zeros(3 * SAMPLE_RATE, np.float32)
        return np.concatenate([self.parts[0], zeros, self.parts[1]])


@pytest.mark.parametrize("options", [WHOLE, replace(WHOLE, decoder="beam", beam_width=3)])
def test_what_is_heard_is_what_validation_hears(options: DecoderOptions) -> None:
    network, spoken = open_model(model_path()), list(recordings())[:6]
    parts = [each.read() for each in spoken[:2]]
    heard_of = [*spoken, Interrupted(parts)]
    backend, decoding = load_backend("onnx", network), decoding_of(network, options)
    encoded = encode(network, heard_of, backend)
    assert encoded.count == 7
    assert len(encoded.segments) == 8
    report = validate(network, heard_of, backend="onnx", reset_stats=True, decoding=decoding)
    want = [outcome.hypothesis for outcome in report.utterances]
    assert any(want)
    assert encoded.transcripts(backend, network.vocabulary, decoding) == want


def test_hotwords_change_what_is_heard() -> None:
    network, spoken = open_model(model_path()), list(recordings())[:4]
    backend = load_backend("onnx", network)
    encoded = encode(network, spoken, backend)
    decoding = decoding_of(network, replace(WHOLE, decoder="beam"))
    heard = encoded.transcripts(backend, network.vocabulary, decoding)
    boosted = encoded.transcripts(backend, network.vocabulary, decoding, {" three": 8.0})
    assert boosted != heard
