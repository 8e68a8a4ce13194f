"""The training form of the Conformer has the values and gradients of its family, at every length of chunk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.utils import flop_counter

from stream.causality import CausalityError, check_causal
from stream.encoders.conformer import Conformer
from stream.stage import map_state
from tests.tiny import tiny_network, tiny_specification
from tests.train.tones import prepared
from train.config.learning import Dropout
from train.encoders.conformer import ConformerEncoder, TorchOperations
from train.encoders.input_norm import advance_norms
from train.model import Transducer
from train.run.inputs import Inputs
from train.run.state_passing import states_after

SIZES = Conformer(
    depth=2,
    size=16,
    heads=4,
    kernel=4,
    feed_forward=24,
    channels=3,
    subsampling=6,
    mamba_every=2,
    mamba_heads=4,
    mamba_state=5,
    chunk_ms=120,
    chunks_ms=(60, 120, 300),
)
ROWS, FRAMES, END = 3, 15, 71  # END: input frames of the last row


def form(dropout: float = 0.0, **sizes: Any) -> ConformerEncoder:
    """Return a form with random weights, of double precision."""
    specification = tiny_specification(other_encoder=msgspec.structs.replace(SIZES, **sizes))
    drop = Dropout(encoder=dropout)
    made = ConformerEncoder(specification, normalised=False, dropout=drop).double()
    made.initialise(torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in made.parameters():  # biases and scales, too
            parameter += 0.1 * torch.randn_like(parameter)
    return made


def inputs(frames: int = FRAMES) -> tuple[Any, Any]:
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((ROWS, 6 * frames, 80)))
    present = torch.ones(x.shape[:2], dtype=torch.bool)
    present[-1, END:] = False
    return x, present


@pytest.mark.parametrize("norm", ["rms", "layer"])
@pytest.mark.parametrize("ms", [60, 120, 300])
def test_it_has_the_values_and_gradients_of_the_step(ms: int, norm: Any) -> None:
    made = form(norm=norm, chunk_ms=ms).eval()
    x, present = inputs(20)
    found = []
    for own in (True, False):
        made.zero_grad()
        state = made.initial_state(ROWS)
        if own:
            y, after = made.step(x, state, present)
        else:
            y, after = made.family.step(dict(made._parameters_by_name()), x, state, present)
        y.square().sum().backward()
        leaves: list[Any] = [y]
        map_state(leaves.append, after)
        found.append([*leaves, *(p.grad.clone() for p in made.parameters())])
    for got, want in zip(*found, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("training", [True, False])
def test_nothing_is_encoded_of_recordings_without_a_frame(training: bool) -> None:
    made = form().train(training)
    state = made.initial_state(ROWS)
    x, present = inputs(0)
    y, after = made.step(x, state, present)
    assert y.shape == (ROWS, 0, SIZES.size)
    assert after is state


def test_each_batch_is_learned_with_one_of_the_chunks_and_all_come() -> None:
    made, (x, present) = form().train(), inputs()
    seen = set()
    by_chunk = {}
    for ms in SIZES.chunk_lengths:  # 15 frames are whole chunks of 1 and 5 frames, not of 2
        whole = torch.nn.functional.pad(x, (0, 0, 0, 6))[:, : 6 * FRAMES + 6 * (ms == 120)]
        mask = torch.nn.functional.pad(present, (0, 6))[:, : whole.shape[1]]
        state = made.initial_state(ROWS)
        arrays = dict(made._parameters_by_name())
        by_chunk[ms] = SIZES.with_chunk(ms).step(arrays, whole, state, mask)[0][:, :FRAMES]
    for seed in range(20):
        torch.manual_seed(seed)
        y, _ = made.step(x, made.initial_state(ROWS), present)
        equal = [ms for ms, want in by_chunk.items() if torch.allclose(y, want, rtol=0, atol=1e-9)]
        seen.update(equal)
        assert len(equal) == 1
    assert seen == set(SIZES.chunk_lengths)


def test_a_seed_gives_the_same_chunk_and_the_same_dropout() -> None:
    made, (x, present) = form(dropout=0.3).train(), inputs()
    torch.manual_seed(3)
    first, _ = made.step(x, made.initial_state(ROWS), present)
    torch.manual_seed(3)
    again, _ = made.step(x, made.initial_state(ROWS), present)
    assert torch.equal(first, again)
    assert not torch.equal(first, made.step(x, made.initial_state(ROWS), present)[0])


@pytest.mark.parametrize("ms", [60, 120, 300])
def test_its_forward_is_causal_chunk_by_chunk(ms: int) -> None:
    made = form(chunk_ms=ms).float().eval()

    @torch.inference_mode()
    def encode(x: Any) -> Any:
        return made.step(torch.from_numpy(x), made.initial_state(len(x)))[0].numpy()

    check_causal(encode, made.sizes, "test")


def test_what_all_frames_share_is_taken_out_of_its_output_and_folded_into_the_joint() -> None:
    specification = tiny_specification(other_encoder=SIZES)
    made = Transducer(specification, normalised=True).double()
    made.initialise(torch.Generator().manual_seed(0))
    x, present = inputs()
    y, _ = made.encoder.step(x, made.encoder.initial_state(ROWS), present)
    there = y[present[:, ::6]]
    torch.testing.assert_close(there.mean(0), torch.zeros(16).double(), rtol=0, atol=1e-6)
    torch.testing.assert_close(
        there.std(0, correction=0), torch.ones(16).double(), rtol=0, atol=1e-3
    )
    advance_norms(made, lambda tensor: [tensor])
    made.eval()
    arrays = {name: torch.from_numpy(array) for name, array in made.arrays().items()}
    h, _ = SIZES.step(arrays, x.float(), made.float().encoder.initial_state(ROWS), present)
    want = h @ arrays["joint.encoder.weight"].T + arrays["joint.encoder.bias"]
    f, _ = made.encode(x.float(), made.initial_state(ROWS)[0], present)
    torch.testing.assert_close(f, want, rtol=0, atol=1e-4)


def test_steps_and_decays_of_mamba_begin_where_its_authors_have_them() -> None:
    specification = tiny_specification(other_encoder=SIZES)
    made = ConformerEncoder(specification, normalised=True, dropout=Dropout())
    made.initialise(torch.Generator().manual_seed(0))
    arrays = made.arrays()
    steps = torch.nn.functional.softplus(arrays["encoder.1.mamba.dt_bias"])
    assert ((steps > 0.0009) & (steps < 0.11)).all()
    decays = arrays["encoder.1.mamba.decay"].exp()
    assert ((decays > 0.99) & (decays < 16.1)).all()
    assert (arrays["encoder.1.mamba.skip_scale"] == 1).all()


def test_a_convolution_that_sees_the_next_chunk_is_refused_before_the_first_update(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    depthwise = TorchOperations.depthwise

    def centred(self: TorchOperations, frames: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return depthwise(self, torch.cat([frames[:, 1:], frames[:, :1]], dim=1), weight)

    monkeypatch.setattr(TorchOperations, "depthwise", centred)
    encoder = 'model.encoder={ family="conformer", layers=1, size=16, heads=2, feed_forward=16, chunk_ms=120 }'
    run = prepared(folder, tmp_path / "run", encoder)
    with pytest.raises(CausalityError, match="training forward: encoder frame"):
        run.train()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("subsampling", [4, 6, 8])
def test_multiply_adds_are_those_that_torch_counts(subsampling: int) -> None:
    made = form(mamba_every=0, subsampling=subsampling, chunk_ms=240, chunks_ms=()).eval()
    chunk = torch.zeros(1, made.sizes.chunk_inputs, 80, dtype=torch.float64)
    with flop_counter.FlopCounterMode(display=False) as counter:
        made.step(chunk, made.initial_state(1))
    counted = counter.get_total_flops() / 2 / made.sizes.chunk_seconds
    assert made.sizes.macs_a_second == pytest.approx(counted)


def test_a_row_that_goes_on_from_another_is_the_rest_of_one_utterance() -> None:
    own = Transducer.from_network(tiny_network(2, other_encoder=SIZES))
    x = torch.randn(2, 48, 80, generator=torch.Generator().manual_seed(0))
    tokens = torch.zeros(2, 0, dtype=torch.int64)
    counts = torch.zeros(2, dtype=torch.int64)
    whole, _ = own.encode_rows(x, torch.tensor([48, 48]))
    first = Inputs(x[:, :24], torch.tensor([24, 11]), tokens, counts)
    passed = states_after(own, first, None)
    f, _ = own.encode_rows(x[:, 24:], torch.tensor([24, 24]), passed.encoder)
    torch.testing.assert_close(f[0], whole[0, 4:])
    _, filled, _ = passed.encoder  # the second row ended in its first chunk
    assert filled.sum(1).tolist() == [4, 2]
