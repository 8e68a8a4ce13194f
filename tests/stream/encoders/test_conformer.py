"""The Conformer: one function for whole utterances and for chunks, whatever a stream's age and neighbours."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.encoders.conformer import Conformer
from stream.stage import State, map_state, take_rows, write_rows
from tests import contract

SIZES: dict[str, Any] = {
    "depth": 3,
    "size": 16,
    "heads": 4,
    "groups": 2,
    "kernel": 4,
    "feed_forward": 24,
    "subsampling": 6,
    "channels": 3,
    "mamba_every": 2,
    "mamba_heads": 4,
    "mamba_state": 5,
    "chunk_ms": 120,
    "chunks_ms": (60, 120, 240),
}


def encoder(**sizes: Any) -> Conformer:
    return Conformer(**{**SIZES, **sizes})


@functools.lru_cache(maxsize=8)
def arrays_of(sizes: Conformer, dtype: str = "float64") -> dict[str, Any]:
    """Return random arrays: scales about 1, the rest about 0."""
    rng = np.random.default_rng(0)
    return {
        name: (rng.normal(0, 0.3, shape) + name.endswith("scale")).astype(dtype)
        for name, shape in sizes.shapes().items()
    }


def frames(sizes: Conformer, chunks: int, rows: int = 2, seed: int = 0) -> np.ndarray:
    shape = (rows, chunks * sizes.chunk_inputs, 80)
    return np.random.default_rng(seed).standard_normal(shape)


def start(sizes: Conformer, rows: int = 2) -> State:
    return map_state(in_double, sizes.initial_state(rows))


def in_double(leaf: np.ndarray) -> np.ndarray:
    return leaf.astype(np.float64) if leaf.dtype == np.float32 else leaf


def in_parts(
    sizes: Conformer, x: Any, state: State, ends: Sequence[int], present: Any = None
) -> tuple[Any, State]:
    """Encode x in parts that end at these chunks."""
    outputs, low = [], 0
    for end in [*sorted(ends), x.shape[1] // sizes.chunk_inputs]:
        high = end * sizes.chunk_inputs
        some = None if present is None else present[:, low:high]
        y, state = sizes.step(arrays_of(sizes), x[:, low:high], state, some)
        outputs.append(y)
        low = high
    return np.concatenate(outputs, axis=1), state


def close(got: Any, want: Any, tolerance: float = 1e-10) -> None:
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance)


def same_states(got: State, want: State) -> None:
    map_state(close, map_state(lambda leaf: leaf.astype(float), got), want)


SIZES_TO_DRAW = st.fixed_dictionaries(
    {
        "depth": st.integers(1, 3),
        "heads": st.sampled_from([1, 2, 4]),
        "groups": st.just(1),
        "kernel": st.integers(1, 6),
        "left_chunks": st.integers(0, 3),
        "mamba_every": st.integers(0, 3),
        "norm": st.sampled_from(["rms", "layer"]),
        "subsampling": st.sampled_from([4, 6, 8]),
    }
)


@settings(max_examples=40)
@given(
    drawn=SIZES_TO_DRAW,
    frames_of_chunk=st.integers(1, 5),
    ends=st.lists(st.integers(0, 7), max_size=6),
    lengths=st.tuples(st.integers(0, 7 * 5 * 8), st.integers(0, 7 * 5 * 8)),
)
def test_any_cut_on_borders_of_chunks_gives_frames_and_state_of_one_big_step(
    drawn: dict[str, Any], frames_of_chunk: int, ends: list[int], lengths: tuple[int, int]
) -> None:
    ms = 10 * drawn["subsampling"] * frames_of_chunk
    sizes = encoder(**drawn, chunk_ms=ms, chunks_ms=())
    x = frames(sizes, 7)
    for present in (None, np.arange(x.shape[1]) < np.array(lengths)[:, None]):
        want, end = in_parts(sizes, x, start(sizes), [], present)
        got, after = in_parts(sizes, x, start(sizes), ends, present)
        close(got, want)
        same_states(after, end)


@pytest.mark.parametrize("ms", [60, 120, 240])
def test_one_cache_serves_every_length_of_chunk(ms: int) -> None:
    sizes = encoder().with_chunk(ms)
    assert (sizes.left, sizes.chunk_frames) == (4, ms // 60)
    x = frames(sizes, 960 // ms)
    want, _ = in_parts(sizes, x, start(sizes), [])
    got, _ = in_parts(sizes, x, start(sizes), range(960 // ms))
    close(got, want)
    others = [
        in_parts(encoder().with_chunk(other), x, start(sizes), [])[0]
        for other in (60, 120, 240)
        if other != ms
    ]
    assert all(np.abs(other - want).max() > 1e-3 for other in others)


def test_a_chunk_that_the_model_is_not_trained_with_is_refused() -> None:
    with pytest.raises(ValueError, match="a chunk of 960 ms: .* chunks of 60, 120, 240 ms"):
        encoder().with_chunk(960)
    assert encoder(chunks_ms=()).with_chunk(120) == encoder(chunks_ms=())
    with pytest.raises(ValueError, match="a chunk of 60 ms: .* chunks of 120 ms"):
        encoder(chunks_ms=()).with_chunk(60)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"depth": 0}, "layers is 0, wants at least 1"),
        ({"size": 20}, "size is 20, wants a multiple of 8"),
        ({"groups": 3}, "groups is 3, wants a divisor of heads, 4"),
        ({"subsampling": 5}, "subsampling is 5, wants 4, 6 or 8"),
        ({"left_chunks": -1}, "left_chunks is -1, wants at least 0"),
        ({"mamba_heads": 3}, "mamba_heads is 3, wants a divisor of mamba_expand x size, 32"),
        (
            {"chunks_ms": (120, 100)},
            "chunks_ms has 100, wants a multiple of an encoder frame, 60 ms",
        ),
        ({"chunk_ms": 0}, "chunk_ms is 0, wants a multiple of an encoder frame, 60 ms"),
        ({"chunks_ms": (120, 120)}, "chunks_ms is 120, 120, wants each length once"),
        ({"chunk_ms": 180}, "chunk_ms is 180, wants one of chunks_ms, 60, 120, 240"),
    ],
)
def test_sizes_that_cannot_be_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encoder(**wrong)


def test_a_file_calls_the_number_of_layers_layers() -> None:
    content = msgspec.to_builtins(encoder())
    assert (content["family"], content["layers"]) == ("conformer", 3)
    assert msgspec.convert(content, Conformer) == encoder()


def test_a_frame_sees_its_own_chunk_and_the_frames_before_it_and_no_more() -> None:
    sizes = encoder(depth=1, mamba_every=0, kernel=1, left_chunks=1)
    x = frames(sizes, 6, rows=1)
    want, _ = in_parts(sizes, x, start(sizes, 1), [])
    at = 5  # encoder frame, in the third chunk of two frames
    disturbed = x.copy()
    disturbed[:, at * 6] += 1.0  # which the subsampling of no other frame sees
    got, _ = in_parts(sizes, disturbed, start(sizes, 1), [])
    changed = np.flatnonzero(np.abs(got - want).max((0, 2)) > 1e-9).tolist()
    assert changed == [4, 5, 6, 7, 8, 9]  # left of 4 frames: up to the chunk that begins at 8


def test_what_is_absent_has_no_influence() -> None:
    sizes = encoder()
    x, length = frames(sizes, 5), 3 * 12 + 7
    present = np.ones(x.shape[:2], np.bool_)
    present[0, length:] = False
    want, _ = in_parts(sizes, x, start(sizes), range(5), present)
    for value in (np.nan, 1e3):
        disturbed = x.copy()
        disturbed[0, length:] = value
        got, _ = in_parts(sizes, disturbed, start(sizes), range(5), present)
        np.testing.assert_array_equal(got, want)
    # Of a chunk that ends early, the frames that are there are as if it had no others.
    alone, _ = in_parts(sizes, x[:1, :48], start(sizes, 1), [], present[:1, :48])
    close(alone[:, :8], want[:1, :8])


def test_nothing_before_the_start_is_taken_for_speech() -> None:
    sizes = encoder(mamba_every=0)
    x = frames(sizes, 3)
    state = start(sizes)
    want, _ = in_parts(sizes, x, state, [])
    noise = np.random.default_rng(1)
    caches = tuple(
        (tuple(noise.standard_normal(leaf.shape) for leaf in mixed), convolved)
        for mixed, convolved in state[2]
    )
    got, _ = in_parts(sizes, x, (state[0], state[1], caches), [])
    close(got, want, 0.0)
    taken, _ = in_parts(sizes, x, (state[0], ~state[1], state[2]), [])
    assert np.abs(taken - want).max() > 1e-2


def test_a_stream_of_any_age_gives_what_one_with_the_same_state_gives() -> None:
    """Nothing but the state goes from step to step, and no leaf of it counts time."""
    sizes = encoder(mamba_every=0)
    x = frames(sizes, 40, rows=1)
    long, _ = in_parts(sizes, x, start(sizes, 1), range(40))
    # Attention and convolutions reach back so many chunks; before them, a fresh stream may begin.
    reach = 3 * (sizes.left // sizes.chunk_frames + 2) + 1
    for begin in (5, 20, 40 - reach - 1):
        late = x[:, begin * sizes.chunk_inputs :]
        fresh, _ = in_parts(sizes, late, start(sizes, 1), range(40 - begin))
        kept = long[:, begin * sizes.chunk_frames :]
        close(fresh[:, reach * sizes.chunk_frames :], kept[:, reach * sizes.chunk_frames :])


def test_rows_of_many_ages_in_a_batch_are_each_as_alone() -> None:
    sizes = encoder()
    x = frames(sizes, 8, rows=64)
    states, want = start(sizes, 64), []
    for row in range(64):
        alone, aged = in_parts(sizes, x[row : row + 1], start(sizes, 1), [], None)
        age = row % 8
        _, aged = in_parts(sizes, x[row : row + 1, : age * 12], start(sizes, 1), [])
        write_rows(np.array([row]), aged, states)
        now = x[row : row + 1, age * 12 : (age + 1) * 12]
        y, after = in_parts(sizes, now, aged, [])
        close(y, alone[:, age * 2 : age * 2 + 2])
        want.append((y, after))
    now = np.stack([x[row, row % 8 * 12 : (row % 8 + 1) * 12] for row in range(64)])
    got, after = in_parts(sizes, now, states, [])
    for row, (y, alone) in enumerate(want):
        close(got[row : row + 1], y)
        same_states(take_rows(after, np.array([row])), alone)


class Stage:
    """The encoder as a stage, float32."""

    def __init__(self, sizes: Conformer) -> None:
        self.sizes, self.block = sizes, sizes.chunk_inputs
        self._arrays = sizes.prepare(arrays_of(sizes, "float32"))

    def initial_state(self, batch: int) -> State:
        return self.sizes.initial_state(batch)

    def step(self, x: Any, state: State) -> tuple[Any, State]:
        return self.sizes.step(self._arrays, x, state)


CASES = [
    contract.Case("attention", Stage(encoder(mamba_every=0)), 6, (80,), 1e-4),
    contract.Case("Mamba", Stage(encoder(mamba_every=1)), 6, (80,), 1e-4),
    contract.Case("both, short chunks", Stage(encoder(chunk_ms=60)), 12, (80,), 1e-4),
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("check", contract.CHECKS)
def test_it_keeps_the_contract_of_a_stage(check: Any, case: contract.Case) -> None:
    check(case)


@pytest.mark.parametrize("mamba_every", [0, 1, 2])
def test_torch_has_values_and_gradients_whole_and_in_chunks(mamba_every: int) -> None:
    torch = pytest.importorskip("torch")
    sizes = encoder(mamba_every=mamba_every)
    x, present = frames(sizes, 9), np.ones((2, 9 * 12), np.bool_)
    present[1, 75:] = False
    want, _ = in_parts(sizes, x, start(sizes), [], present)
    weight = torch.from_numpy(np.random.default_rng(2).standard_normal(want.shape))
    weight[1, 13:] = 0.0  # where the frames are absent
    gradients = []
    for ends in ([], [1, 4, 5], range(1, 9)):
        tensors = {n: torch.tensor(a, requires_grad=True) for n, a in arrays_of(sizes).items()}
        tensors["x"] = torch.tensor(x, requires_grad=True)
        state, outputs = map_state(torch.from_numpy, start(sizes)), []
        for low, high in zip([0, *ends], [*ends, 9], strict=True):
            some = slice(12 * low, 12 * high)
            y, state = sizes.step(
                tensors, tensors["x"][:, some], state, torch.from_numpy(present[:, some])
            )
            outputs.append(y)
        got = torch.cat(outputs, 1)
        close(got.detach().numpy()[0], want[0])
        close(got.detach().numpy()[1, :13], want[1, :13])
        (got * weight).sum().backward()
        gradients.append({name: t.grad.numpy() for name, t in tensors.items()})
    for name, whole in gradients[0].items():
        assert np.abs(whole).max() > 0, name
        for others in gradients[1:]:
            close(others[name], whole, 1e-9 * max(1.0, float(np.abs(whole).max())))
