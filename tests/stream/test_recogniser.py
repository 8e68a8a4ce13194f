"""The recogniser: one channel, one stream after another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stream.decoding.greedy import GreedyConfig
from stream.model.directory import write
from stream.model.specification import ModelError
from stream.recogniser import Recogniser
from tests.server.scripted import pcm, samples_of, talking_network

NOISE = samples_of(pcm(1.5, 2))


def test_pushes_and_the_end_give_what_transcribing_at_once_does() -> None:
    recogniser = Recogniser(talking_network())
    text, tokens = recogniser.transcribe(NOISE)
    results = []
    for chunk in np.array_split(NOISE, 9):
        results += recogniser.push(chunk)
    assert len(results) == len(NOISE) // 960
    (closing,) = recogniser.finish()
    assert closing.last
    results.append(closing)
    assert "".join(result.text for result in results).strip() == text != ""
    assert [token.id for result in results for token in result.tokens] == [t.id for t in tokens]


def test_the_text_is_what_the_tokens_decode_to() -> None:
    network = talking_network()
    text, tokens = Recogniser(network).transcribe(NOISE)
    assert text == network.vocabulary.decode([token.id for token in tokens])


def test_transcribing_leaves_nothing_behind() -> None:
    recogniser = Recogniser(talking_network())
    first = recogniser.transcribe(NOISE)
    recogniser.push(NOISE[:777])
    assert recogniser.transcribe(NOISE) == first


def test_a_reset_keeps_the_statistics_only_if_it_is_told_to() -> None:
    texts = []
    for keep in (False, True):
        recogniser = Recogniser(talking_network())
        recogniser.push(30 * NOISE)
        recogniser.finish()
        recogniser.reset(keep_statistics=keep)
        results = recogniser.push(NOISE) + recogniser.finish()
        texts.append("".join(result.text for result in results).strip())
    assert texts[0] == Recogniser(talking_network()).transcribe(NOISE)[0]
    assert texts[0] != texts[1]


def test_no_samples_are_no_text() -> None:
    assert Recogniser(talking_network()).transcribe(NOISE[:0]) == ("", [])


def test_the_decoder_can_be_chosen() -> None:
    silent = Recogniser(talking_network(), decoding=GreedyConfig(counter="running", sample_cap=1))
    assert len(silent.transcribe(NOISE)[1]) == 1


def test_a_model_directory_is_opened_by_its_path(tmp_path: Path) -> None:
    write(talking_network(), tmp_path / "model", {})
    opened = Recogniser(tmp_path / "model")
    assert opened.transcribe(NOISE)[0] == Recogniser(talking_network()).transcribe(NOISE)[0]


def test_a_model_without_graphs_is_refused_by_the_onnx_backend_which_says_what_to_do() -> None:
    with pytest.raises(ModelError, match="no ONNX graphs; write them: python -m export.onnx"):
        Recogniser(talking_network(), backend="onnx")


def test_onnx_says_what_numpy_does(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from export.build import build

    network = talking_network()
    write(network, tmp_path / "model", build(network))
    for samples in (NOISE, NOISE[:9999]):
        want = Recogniser(network).transcribe(samples)
        got = Recogniser(tmp_path / "model", backend="onnx").transcribe(samples)
        assert got[0] == want[0] != ""
        assert [(t.id, t.step) for t in got[1]] == [(t.id, t.step) for t in want[1]]
