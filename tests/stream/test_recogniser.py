"""The recogniser: one channel, one stream after another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream.audio import AudioError
from stream.bundled import model_path, recordings
from stream.decoding.greedy import GreedyConfig
from stream.decoding.options import WHOLE, decoding_of
from stream.model.directory import write
from stream.model.specification import ModelError
from stream.recogniser import Recogniser
from tests.server.scripted import pcm, samples_of, talking_network

NOISE = samples_of(pcm(1.5, 2))


def test_pushes_and_the_end_give_what_transcribing_at_once_does() -> None:
    recogniser = Recogniser(talking_network())
    text, words, tokens = recogniser.transcribe(NOISE)
    results = []
    for chunk in np.array_split(NOISE, 9):
        results += recogniser.push(chunk)
    assert len(results) == len(NOISE) // 960
    (closing,) = recogniser.finish()
    assert closing.last
    results.append(closing)
    assert "".join(result.text for result in results).strip() == text != ""
    assert [token.id for result in results for token in result.tokens] == [t.id for t in tokens]
    spans = [(word.start, word.end) for word in words]
    assert " ".join(word.text for word in words) == text
    assert spans == sorted(spans) and all(0 <= start < end <= 1.5 for start, end in spans)


def test_the_text_is_what_the_tokens_decode_to() -> None:
    network = talking_network()
    text, _, tokens = Recogniser(network).transcribe(NOISE)
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
    assert Recogniser(talking_network()).transcribe(NOISE[:0]) == ("", (), ())


def test_the_decoder_can_be_chosen() -> None:
    silent = Recogniser(talking_network(), decoding=GreedyConfig(counter="running", sample_cap=1))
    assert len(silent.transcribe(NOISE).tokens) == 1


def test_a_model_directory_is_opened_by_its_path(tmp_path: Path) -> None:
    write(talking_network(), tmp_path / "model", {})
    opened = Recogniser(tmp_path / "model", "numpy")
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
        assert [(t.id, t.step) for t in got.tokens] == [(t.id, t.step) for t in want.tokens]


def test_without_a_name_it_is_the_bundled_model_on_the_fast_backend() -> None:
    recogniser, recording = Recogniser(), recordings()[0]
    assert recogniser.network.path == model_path()
    assert recogniser.transcribe(recording.audio).text == recording.text
    said = Recogniser(backend="onnx").transcribe(recording.read())
    assert recogniser.transcribe(str(recording.audio)) == said


def test_int16_is_full_scale_and_floats_of_any_width_are_the_same_samples() -> None:
    recogniser = Recogniser(talking_network())
    whole = np.rint(NOISE * 32768).astype(np.int16)
    want = recogniser.transcribe(whole)
    assert want.text
    for kind in (np.float32, np.float64):
        assert recogniser.transcribe(whole.astype(kind) / 32768) == want


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (b"\0\0", "samples are bytes; want a NumPy array .* np.frombuffer"),
        ([0.0, 0.1], "samples are list"),
        (np.zeros(960, np.int32), "samples are int32; want float32, of which 1 is full scale, or"),
        (np.zeros(960, np.uint8), "samples are uint8"),
    ],
)
def test_samples_of_a_type_that_means_nothing_are_refused(samples: Any, message: str) -> None:
    recogniser = Recogniser(talking_network())
    with pytest.raises(TypeError, match=message):
        recogniser.push(samples)
    assert recogniser.transcribe(NOISE).text


def test_two_channels_are_no_samples() -> None:
    with pytest.raises(ValueError, match=r"samples are \(2, 960\), want \(n,\), mono"):
        Recogniser(talking_network()).push(np.zeros((2, 960), np.float32))


def test_a_file_that_is_no_recording_leaves_a_recogniser_that_works(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("no audio")
    recogniser = Recogniser(talking_network())
    with pytest.raises(AudioError, match="is not in a format that Rill reads"):
        recogniser.transcribe(tmp_path / "a.wav")
    assert recogniser.transcribe(NOISE).text


def test_keywords_bend_a_beam_search() -> None:
    network = talking_network()
    decoding = decoding_of(network, replace(WHOLE, decoder="beam"))
    plain = Recogniser(network, decoding=decoding).transcribe(NOISE).text
    boosted = Recogniser(network, decoding=decoding, keywords={"red": 9.0}).transcribe(NOISE).text
    assert "red" not in plain
    assert boosted != plain
