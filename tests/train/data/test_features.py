"""Features of a padded batch are those of each recording alone, to the bit where it matters."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from stream.encoders.lstm import LSTM
from stream.front_end.log_mel import FrontEnd, frame_count, streamed_log_mel
from stream.front_end.normaliser import Normaliser, utterance_normalise
from stream.front_end.stacking import stack
from tests.tiny import tiny_network
from train.data.features import log_mel, normalised, normalised_by_themselves, stacked
from train.evaluation import pad

SAMPLES = [16000, 9119, 400, 399, 160, 1, 7000, 0, 12345, 801]
SPECIFICATIONS = {
    "1.4": {},
    "1.14": {
        "window": 320,
        "final_padding": 3840,
        "initial_padding": True,
        "activation": "soft",
        "alpha": 0.0,
    },
}


@pytest.fixture(params=SPECIFICATIONS.values(), ids=list(SPECIFICATIONS))
def front_end(request: pytest.FixtureRequest) -> FrontEnd:
    return tiny_network(**request.param).specification.front_end


@pytest.fixture(scope="module")
def recordings() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [0.2 * rng.standard_normal(n, np.float32) for n in SAMPLES]


def test_each_row_is_the_recordings_own(front_end: FrontEnd, recordings: list[np.ndarray]) -> None:
    frames, counts = log_mel(*pad(recordings), front_end)
    assert counts.tolist() == [frame_count(n, front_end) for n in SAMPLES]
    assert frames.shape[1] == max(counts)
    for row, samples in enumerate(recordings):
        want = streamed_log_mel(samples[None], front_end)[0]
        np.testing.assert_allclose(frames[row, : counts[row]], want, atol=2e-4)


def test_a_rows_features_do_not_depend_on_its_neighbours(
    front_end: FrontEnd, recordings: list[np.ndarray]
) -> None:
    frames, counts = log_mel(*pad(recordings), front_end)
    loud = [1000.0 * np.ones(30000, np.float32), *recordings[:0:-1], np.ones(5, np.float32)]
    others, other_counts = log_mel(*pad(loud), front_end)
    for row in range(1, len(recordings)):
        other, count = len(recordings) - row, counts[row]
        assert other_counts[other] == count
        torch.testing.assert_close(others[other, :count], frames[row, :count], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("samples", [[0], [0, 0], [240, 3], [300, 250, 399], [399, 0, 1]])
def test_a_batch_of_rows_shorter_than_a_window_is_computed(
    front_end: FrontEnd, samples: list[int]
) -> None:
    rng = np.random.default_rng(2)
    audio = [0.2 * rng.standard_normal(n, np.float32) for n in samples]
    frames, counts = log_mel(*pad(audio), front_end)
    assert frames.shape == (len(samples), max(frame_count(n, front_end) for n in samples), 80)
    for row, x in enumerate(audio):
        want = streamed_log_mel(x[None], front_end)[0]
        assert counts[row] == len(want)
        np.testing.assert_allclose(frames[row, : len(want)], want, atol=2e-4)


def test_rows_are_normalised_from_their_own_start_and_zero_past_their_end() -> None:
    rng = np.random.default_rng(1)
    frames = rng.normal(-10.0, 3.0, (3, 50, 80)).astype(np.float32)
    normaliser = Normaliser(*rng.uniform(1.0, 4.0, (2, 80)).astype(np.float32), 0.01)
    counts = torch.tensor([50, 20, 0])
    z = normalised(torch.from_numpy(frames), counts, normaliser)
    for row, count in enumerate(counts.tolist()):
        want, _ = normaliser.step(frames[row : row + 1, :count], normaliser.initial_state(1))
        np.testing.assert_allclose(z[row, :count], want[0], atol=1e-5)
        assert not z[row, count:].any()


def test_another_starting_state_is_taken() -> None:
    rng = np.random.default_rng(1)
    frames = torch.from_numpy(rng.normal(-10.0, 3.0, (2, 30, 80)).astype(np.float32))
    normaliser = Normaliser(*rng.uniform(1.0, 4.0, (2, 80)).astype(np.float32), 0.01)
    counts = torch.tensor([30, 30])
    start = (torch.full((2, 80), -9.0), torch.full((2, 80), 2.0))
    moved = normalised(frames, counts, normaliser, start)
    assert not torch.allclose(moved[:, 0], normalised(frames, counts, normaliser)[:, 0])
    want, _ = normaliser.step(frames.numpy(), tuple(s.numpy() for s in start))
    np.testing.assert_allclose(moved, want, atol=1e-5)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 6, 7, 11, 12])
def test_stacks_are_padded_to_whole_pairs(count: int) -> None:
    z = torch.randn(1, count, 80)
    x, lengths = stacked(z, torch.tensor([count]), LSTM())
    assert x.shape[1] % 2 == 0
    assert lengths.item() == -(-count // 3)
    filled = torch.zeros(1, 3 * x.shape[1], 80)
    filled[:, :count] = z
    assert torch.equal(x, stack(filled))


def test_rows_by_themselves_have_their_own_statistics_whatever_their_padding() -> None:
    generator = torch.Generator().manual_seed(0)
    frames = torch.randn(3, 9, 80, generator=generator) * 2 - 8
    frames[0, :, 5] = -46.0  # never changes
    counts = torch.tensor([9, 4, 1])
    z = normalised_by_themselves(frames, counts)
    assert torch.equal(z[1, :4], utterance_normalise(frames[1:2, :4])[0])
    assert not z[1, 4:].any() and not z[2].any() and not z[0, :, 5].any()
    torch.testing.assert_close(z[0, :, :5].std(0, correction=0), torch.ones(5))
    torch.testing.assert_close(z[0, :, :5].mean(0), torch.zeros(5), rtol=0, atol=1e-5)
