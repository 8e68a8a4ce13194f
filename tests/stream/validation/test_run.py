"""Validation: errors counted over streams, and streams held against another decoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from stream.audio import AudioError, read_audio
from stream.backends import default_backend
from stream.manifest import Utterance
from stream.model.network import Network
from stream.recogniser import Recogniser
from stream.validation import validate
from tests.server.scripted import pcm, samples_of, talking_network


@pytest.fixture(scope="module")
def utterances(tmp_path_factory: pytest.TempPathFactory) -> list[Utterance]:
    """Twenty recordings of noise, the first of them with what the network says as its text."""
    folder = tmp_path_factory.mktemp("recordings")
    made = []
    for i in range(20):
        seconds = 0.7 + 0.02 * i
        path = folder / f"{i}.wav"
        soundfile.write(path, (1 + 0.3 * (i % 3)) * samples_of(pcm(seconds, i)), 16_000, "PCM_16")
        text = Recogniser(talking_network()).transcribe(read_audio(path))[0] if i == 0 else "a cat"
        made.append(Utterance(id=path.name, audio=path, text=text, duration=seconds))
    return made


def alone(utterance: Utterance) -> tuple[str, list[int]]:
    text, _, tokens = Recogniser(talking_network()).transcribe(read_audio(utterance.audio))
    return text, [token.id for token in tokens]


def test_with_reset_statistics_each_utterance_says_what_it_says_alone(
    utterances: list[Utterance],
) -> None:
    report = validate(talking_network(), utterances, reset_stats=True, piece_ms=37.0)
    assert [(o.hypothesis, o.tokens) for o in report.utterances] == [alone(u) for u in utterances]
    assert sum(bool(o.tokens) for o in report.utterances) > 10
    assert [(o.id, o.reference) for o in report.utterances] == [(u.id, u.text) for u in utterances]


def test_without_it_the_statistics_carry_on_in_the_order_of_the_manifest(
    utterances: list[Utterance],
) -> None:
    recogniser = Recogniser(talking_network())
    want = []
    for utterance in utterances:
        results = recogniser.push(read_audio(utterance.audio)) + recogniser.finish()
        want.append([token.id for result in results for token in result.tokens])
        recogniser.reset(keep_statistics=True)
    report = validate(talking_network(), utterances)
    assert [o.tokens for o in report.utterances] == want
    assert want != [alone(u)[1] for u in utterances]


def test_no_result_depends_on_the_pieces_of_audio(utterances: list[Utterance]) -> None:
    reports = [validate(talking_network(), utterances[:4], piece_ms=ms) for ms in (1.0, 60.0, 9e3)]
    tokens = [[o.tokens for o in report.utterances] for report in reports]
    assert tokens[0] == tokens[1] == tokens[2]


def test_errors_are_those_of_the_corpus(utterances: list[Utterance]) -> None:
    report = validate(talking_network(), utterances[:2], reset_stats=True)
    right, heard = len(utterances[0].text.split()), len(alone(utterances[1])[0].split())
    assert report.words == right + 2
    errors = report.substitutions + report.deletions + report.insertions
    assert abs(heard - 2) <= errors <= max(heard, 2)  # all of the second recording
    assert report.wer == errors / report.words
    assert report.rtf > 0.0


def test_alpha_overrides_the_models(utterances: list[Utterance]) -> None:
    fixed = validate(talking_network(), utterances, alpha=0.0)
    alike = validate(talking_network(), utterances, alpha=0.0, reset_stats=True)
    assert [o.tokens for o in fixed.utterances] == [o.tokens for o in alike.utterances]
    with pytest.raises(ValueError, match=r"alpha is 1.0"):
        validate(talking_network(), utterances, alpha=1.0)


def test_progress_is_told_after_each_utterance(utterances: list[Utterance]) -> None:
    told: list[tuple[int, int]] = []
    validate(
        talking_network(),
        utterances,
        reset_stats=True,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(i + 1, 20) for i in range(20)]


def test_no_utterances_are_no_errors() -> None:
    report = validate(talking_network(), [], reset_stats=True)
    assert (report.words, report.wer, report.utterances) == (0, 0.0, [])


def test_equal_tokens_of_a_reference_make_no_difference(utterances: list[Utterance]) -> None:
    report = validate(talking_network(), utterances[:3], reset_stats=True, reference=in_one_go)
    assert report.different == 0 and report.differences == []


def in_one_go(
    network: Network, audio: Sequence[NDArray[np.float32]]
) -> list[list[tuple[int, int]]]:
    recogniser = Recogniser(network)
    return [[(t.id, t.step) for t in recogniser.transcribe(samples).tokens] for samples in audio]


def test_the_first_token_that_differs_is_named_with_its_step(utterances: list[Utterance]) -> None:
    want = in_one_go(talking_network(), [read_audio(u.audio) for u in utterances[:3]])

    def reference(*_: object) -> list[list[tuple[int, int]]]:
        token, step = want[1][1]
        return [want[0], [want[1][0], (token, step + 1), *want[1][2:]], want[2][:-1]]

    report = validate(talking_network(), utterances[:3], reset_stats=True, reference=reference)
    later, shorter = report.differences
    assert report.different == 2
    assert (later.id, later.index, later.step) == ("1.wav", 1, want[1][1][1])
    assert (later.streamed, later.trained) == (want[1][1], (want[1][1][0], want[1][1][1] + 1))
    assert (shorter.id, shorter.index) == ("2.wav", len(want[2]) - 1)
    assert (shorter.streamed, shorter.trained) == (want[2][-1], None)


def test_a_comparison_wants_reset_statistics(utterances: list[Utterance]) -> None:
    with pytest.raises(ValueError, match="--compare-full wants --reset-stats"):
        validate(talking_network(), utterances, reference=in_one_go)


@pytest.mark.parametrize("piece_ms", [0.0, -1.0, 0.06, float("nan"), float("inf")])
def test_a_piece_of_less_than_a_sample_is_refused(piece_ms: float) -> None:
    with pytest.raises(ValueError, match="want at least a sample"):
        validate(talking_network(), [], piece_ms=piece_ms)


def test_a_recording_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    utterance = Utterance(id="broken.wav", audio=broken, text="a", duration=1.0)
    with pytest.raises(AudioError, match=r"broken\.wav: (is not in a format|cannot be decoded)"):
        validate(talking_network(), [utterance])


def test_only_a_model_directory_is_computed_by_onnx_unless_told_so(tmp_path: Path) -> None:
    network = talking_network()
    assert default_backend(network) == "numpy"
    located = Network(network.specification, network.arrays, network.tokenizer, path=tmp_path)
    assert default_backend(located) == "onnx"
