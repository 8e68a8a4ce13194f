"""The training forward's tokens are the stream's, on rows of any length in one batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hwckpt.writer import from_network, write_checkpoint
from stream.bundled import model_path, recordings
from stream.encoders.conformer import Conformer
from stream.front_end.gain_control import GainControl
from stream.front_end.gate import Gate
from stream.front_end.log_mel import CARD_FLOOR
from stream.model.network import open_model
from stream.model.specification import Head, Specification
from stream.recogniser import Recogniser
from tests.server.scripted import talking_network
from tests.tiny import talking_ctc, tiny_network
from train.evaluation import by_length, pad, tokens_of_all, training_tokens
from train.model import Transducer

SAMPLES = [16000, 9119, 1, 0, 400, 24003, 3000]


def audio(seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [
        (0.3 * rng.standard_normal(n) * np.abs(np.sin(np.arange(n) / 700))).astype(np.float32)
        for n in SAMPLES
    ]


@pytest.mark.parametrize(
    "specification",
    [
        {},
        {"activation": "soft"},
        {"number_format": "bfp16"},
        {"window": 320, "final_padding": 3840, "initial_padding": True, "alpha": 0.0},
    ],
    ids=str,
)
def test_a_batch_gives_each_rows_streamed_tokens(specification: dict) -> None:
    network = tiny_network(4, **specification)
    network.arrays["joint.output.bias"][-1] -= 0.3  # fewer blanks, so that there are tokens
    got = training_tokens(network, audio())
    assert sum(map(len, got)) > 10
    for row, samples in zip(got, audio(), strict=True):
        recogniser = Recogniser(network, "numpy")
        results = [r for piece in np.array_split(samples, 7) for r in recogniser.push(piece)]
        results += recogniser.finish()
        assert row == [(token.id, token.step) for result in results for token in result.tokens]


def test_a_model_of_generation_1_14_is_decoded_with_its_running_count(tmp_path: Path) -> None:
    bundled = open_model(model_path())
    arrays = {name: array.copy() for name, array in bundled.arrays.items()}
    arrays["joint.output.bias"][-1] -= (
        9.0  # so few blanks that 30 tokens are reached within a frame
    )
    soft = Specification(
        vocabulary=bundled.specification.vocabulary,
        activation="soft",
        alpha=0.0,
        initial_padding=True,
        final_padding=3840,
        floor=CARD_FLOOR,
    )
    by_frame = replace(bundled, arrays=arrays, specification=soft)
    write_checkpoint(from_network(by_frame, "1.14"), tmp_path / "model.hw.pt")
    running = open_model(tmp_path / "model.hw.pt")
    said = [recordings()[i].read() for i in (3, 5)]
    streamed = [Recogniser(running).transcribe(samples).tokens for samples in said]
    counted = [[(token.id, token.step) for token in tokens] for tokens in streamed]
    assert training_tokens(running, said) == counted
    differ = [a != b for a, b in zip(training_tokens(by_frame, said), counted, strict=True)]
    assert differ == [True, True]


@pytest.mark.parametrize("decoder", ["ctc", "both"])
def test_a_batch_gives_each_rows_streamed_tokens_of_ctc(decoder: str) -> None:
    network = talking_ctc(tiny_network(4, decoder=decoder))
    got = training_tokens(network, audio(), "ctc")
    assert sum(map(len, got)) > 10
    for row, samples in zip(got, audio(), strict=True):
        recogniser = Recogniser(network, "numpy", head="ctc")
        results = [r for piece in np.array_split(samples, 7) for r in recogniser.push(piece)]
        results += recogniser.finish()
        assert row == [(token.id, token.step) for result in results for token in result.tokens]


@pytest.mark.parametrize("head", ["transducer", "ctc"])
@pytest.mark.parametrize("ms", [60, 300])
def test_a_conformer_streams_what_either_head_was_trained_for_at_each_chunk(
    ms: int, head: Head
) -> None:
    conformer = Conformer(
        depth=2, size=16, kernel=4, feed_forward=24, channels=3, subsampling=6, mamba_every=2,
        mamba_heads=4, mamba_state=5, chunk_ms=ms, chunks_ms=(60, 300),
    )  # fmt: skip
    network = talking_ctc(tiny_network(5, decoder="both", other_encoder=conformer))
    got = training_tokens(network, audio(), head)
    assert sum(map(len, got)) > 10
    for row, samples in zip(got, audio(), strict=True):
        recogniser = Recogniser(network, "numpy", head=head)
        results = [r for piece in np.array_split(samples, 7) for r in recogniser.push(piece)]
        results += recogniser.finish()
        assert row == [(token.id, token.step) for result in results for token in result.tokens]


ROOMS = {
    "gate": Gate(margin=3.0, hold=0.05),
    "gain_control": GainControl(background=-40.0),
    "sound_chunks": 3,
}
ENDING = {"final_padding": 2500}


@pytest.mark.parametrize(
    "more", [{}, ROOMS, ENDING, ROOMS | ENDING], ids=["plain", "rooms", "ending", "both"]
)
@pytest.mark.parametrize("padding", [False, True])
def test_muted_channels_are_cut_alike(padding: bool, more: dict) -> None:
    network = tiny_network(4, mute_chunks=2, initial_padding=padding, alpha=0.02, **more)
    network.arrays["joint.output.bias"][-1] -= 0.3
    rows = audio()
    for begin, end in ((2000, 9000), (9500, 15000)):
        rows[0][begin:end] = rows[5][begin : end - 500] = 0.0
    rows[1][5000:] = rows[6][:2990] = 0.0
    got = training_tokens(network, rows)
    plain = tiny_network(4, initial_padding=padding, alpha=0.02)
    plain.arrays["joint.output.bias"][-1] -= 0.3
    assert got[0] != training_tokens(plain, rows)[0]
    for row, samples in zip(got, rows, strict=True):
        recogniser = Recogniser(network, "numpy")
        results = [r for piece in np.array_split(samples, 7) for r in recogniser.push(piece)]
        results += recogniser.finish()
        assert row == [(token.id, token.step) for result in results for token in result.tokens]


def test_a_model_in_training_that_never_stops_talking_is_cut_short() -> None:
    network = tiny_network(4)
    network.arrays["joint.output.bias"][-1] -= 50.0
    module = Transducer.from_network(network)
    rng = np.random.default_rng(0)
    said = [rng.standard_normal(samples).astype(np.float32) for samples in (1, 3_000, 6_400)]
    free, cut = (
        tokens_of_all(module, network.normaliser, said, capped=capped) for capped in (False, True)
    )
    for every, some in zip(free, cut, strict=True):
        frames = len(every) // 30  # which are full, each
        assert some == every[: 2 * frames + 10]
    assert len(free[2]) > len(cut[2]) > 0
    alone = [tokens_of_all(module, network.normaliser, [samples])[0] for samples in said]
    assert alone == cut


def test_a_cap_changes_nothing_for_a_model_that_speaks_like_people() -> None:
    network = open_model(model_path())
    module = Transducer.from_network(network)
    said = [utterance.read() for utterance in recordings()[:4]]
    free, cut = (
        tokens_of_all(module, network.normaliser, said, capped=capped) for capped in (False, True)
    )
    assert free == cut and all(free)


def test_the_order_of_rows_does_not_matter() -> None:
    network = tiny_network(4)
    network.arrays["joint.output.bias"][-1] -= 0.3
    assert training_tokens(network, audio()[::-1]) == training_tokens(network, audio())[::-1]


def test_padding_is_zero_and_lengths_are_kept() -> None:
    batch, lengths = pad([np.ones(3, np.float32), np.ones(0, np.float32), np.ones(1, np.float32)])
    assert batch.tolist() == [[1, 1, 1], [0, 0, 0], [1, 0, 0]]
    assert lengths.tolist() == [3, 0, 1]


def test_batches_hold_all_in_order_and_no_more_seconds_than_asked() -> None:
    seconds = [1.0, 1.0, 2.0, 2.0, 9.0, 30.0, 30.0]
    found = by_length(seconds, 10.0)
    assert [i for rows in found for i in rows] == list(range(7))
    for rows in found:
        assert len(rows) == 1 or max(seconds[i] for i in rows) * len(rows) <= 10.0


@pytest.mark.parametrize("padding", [0, 6400])
def test_a_stream_that_ends_just_before_it_is_muted_has_the_tokens_of_training(
    padding: int,
) -> None:
    network = talking_network()
    specification = msgspec.structs.replace(
        network.specification, mute_chunks=2, initial_padding=False, final_padding=padding
    )
    network = replace(network, specification=specification)
    noise = np.random.default_rng(0).normal(0.0, 0.1, 1796)
    # The chunk that would be muted has come, and the first samples of the next one have not.
    for zeros in range(3300, 4300, 100):
        samples = np.pad(noise, (315, zeros)).astype(np.float32)
        results = Recogniser(network, "numpy").stream(samples)
        found = [(token.id, token.step) for result in results for token in result.tokens]
        assert found == training_tokens(network, [samples])[0], zeros
