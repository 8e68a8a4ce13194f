"""Every stage of `stream` keeps the contract of a stage."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.backends import load_backend
from stream.backends.numpy import NumpyBackend
from stream.encoders.lstm_layer import LSTMLayer
from stream.front_end.frame_normaliser import AboveFloor, LayerNormaliser
from stream.front_end.gain_control import Gain, GainControl
from stream.front_end.gate import Gate
from stream.front_end.log_mel import FrontEnd, LogMel, PreEmphasis
from stream.front_end.normaliser import Normaliser
from stream.integer.front_end import FixedFrontEnd
from stream.integer.normaliser import FixedNormaliser
from stream.stage import Chain, Stage
from tests import contract
from tests.contract import Case, Encoder
from tests.tiny import tiny_network

MEAN = np.linspace(-12.0, -4.0, 80, dtype=np.float32)
VARIANCE = np.linspace(1.0, 9.0, 80, dtype=np.float32)
LEARNED = np.random.default_rng(0).uniform(0.0, 0.01, (80, 257)).astype(np.float32)
# float32's last digits: BLAS sums a product of one frame in another order than one of many. A log-mel
# value is the log of such a sum.
LOG_MEL = 1e-4


def front_end() -> FrontEnd:
    return FrontEnd(400, 2.0**-23, initial_padding=True)


def fixed_front_end() -> FixedFrontEnd:
    return FixedFrontEnd(400, 2.0**-23, initial_padding=True)


def before_stacking() -> Stage:
    stage = front_end()
    return Chain([stage, Normaliser(MEAN, VARIANCE, 0.001)], block=stage.block)


def fixed_before_stacking() -> Stage:
    stage = fixed_front_end()
    return Chain([stage, FixedNormaliser(MEAN, VARIANCE, 0.001)], block=stage.block)


def controlled(fixed: bool) -> Stage:
    """Front end and normaliser whose gain and statistics follow the channel."""
    kind = FixedFrontEnd if fixed else FrontEnd
    stage = kind(400, 2.0**-23, initial_padding=True, gain_control=GainControl(rise=90.0))
    normaliser = FixedNormaliser if fixed else Normaliser
    gate = Gate(margin=1.0, hold=0.02)
    return Chain([stage, normaliser(MEAN, VARIANCE, 0.05, gate=gate)], block=stage.block)


def lstm(activation: str, number_format: str = "float32") -> Stage:
    layer = dict(next(tiny_network().layers("encoder.pre")))
    return LSTMLayer(layer, activation, number_format)


def encoder(**specification: Any) -> Stage:
    return Encoder(NumpyBackend(tiny_network(**specification)))


# By name: how a stage is made, blocks, shape of a frame, tolerance.
STAGES: dict[str, tuple[Any, ...]] = {
    "pre-emphasis": (PreEmphasis, 40, ()),
    "log-mel of 20 ms": (lambda: LogMel(320, 1e-20), 12, (), LOG_MEL),
    "log-mel of 25 ms": (lambda: LogMel(400, 2.0**-23), 12, (), LOG_MEL),
    "log-mel of magnitudes": (lambda: LogMel(400, 2.0**-23, "magnitude"), 12, (), LOG_MEL),
    "log-mel of learned filters": (lambda: LogMel(400, 2.0**-23, mel=LEARNED), 12, (), LOG_MEL),
    "front end": (front_end, 12, (), LOG_MEL),
    "EWMA normaliser": (lambda: Normaliser(MEAN, VARIANCE, 0.05), 12, (80,)),
    "global normaliser": (lambda: Normaliser(MEAN, VARIANCE, 0.0), 12, (80,)),
    "layer normaliser": (LayerNormaliser, 12, (80,)),
    "no normaliser": (lambda: AboveFloor(2.0**-23), 12, (80,)),
    "front end and normaliser": (before_stacking, 12, (), LOG_MEL),
    "front end in fixed point": (fixed_front_end, 12, ()),
    "front end and normaliser in fixed point": (fixed_before_stacking, 12, ()),
    "gated normaliser": (lambda: Normaliser(MEAN, VARIANCE, 0.05, Gate(hold=0.02)), 12, (80,)),
    "gain control": (lambda: Gain(GainControl(rise=90.0, release=90.0), 0.5), 12, (80,)),
    "front end with gain control, gated": (lambda: controlled(False), 12, (), LOG_MEL),
    "the same in fixed point": (lambda: controlled(True), 12, ()),
    "hard LSTM": (lambda: lstm("hard"), 12, (240,)),
    "soft LSTM": (lambda: lstm("soft"), 12, (240,)),
    "LSTM in block floating point": (lambda: lstm("hard", "bfp16"), 12, (240,)),
    "hard encoder": (lambda: encoder(pre_layers=2), 6, (240,), 1e-6),
    "soft encoder": (lambda: encoder(activation="soft"), 6, (240,), 1e-6),
}


@pytest.fixture(scope="module", params=STAGES)
def case(request: pytest.FixtureRequest) -> Case:
    make, *rest = STAGES[request.param]
    return Case(request.param, make(), *rest)


@settings(max_examples=20)
@given(data=st.data())
def test_any_chunking_gives_the_frames_of_one_big_step(case: Case, data: st.DataObject) -> None:
    contract.check_chunking(case, data.draw(st.lists(st.integers(0, case.blocks), max_size=12)))


def test_the_state_keeps_its_tree_shapes_and_dtypes(case: Case) -> None:
    contract.check_state(case)


def test_nan_in_other_rows_changes_nothing(case: Case) -> None:
    contract.check_rows(case)


def test_nan_after_a_frame_changes_no_output_before_it(case: Case) -> None:
    contract.check_causality(case)


def test_a_row_that_is_reset_equals_a_fresh_one(case: Case) -> None:
    contract.check_reset(case)


def test_a_stream_that_is_saved_and_moved_goes_on_bit_for_bit(case: Case) -> None:
    contract.check_saving(case)


@functools.cache
def encoder_of(backend: str) -> Case:
    network = tiny_network(pre_layers=2)
    if backend == "torch":
        pytest.importorskip("torch")
        return Case(backend, Encoder(load_backend(backend, network)), 6, (240,), 1e-6)
    pytest.importorskip("onnx")
    from export.build import build
    from stream.backends.onnx import OnnxBackend

    return Case(
        backend, Encoder(OnnxBackend(network, build(network, inside=True))), 6, (240,), 1e-6
    )


@pytest.mark.parametrize("backend", ["torch", "onnx"])
@pytest.mark.parametrize("check", contract.CHECKS)
def test_the_other_backends_encoders_keep_the_contract(backend: str, check: object) -> None:
    assert callable(check)
    check(encoder_of(backend))


class Leaky:
    """Breaks the contract: each output depends on all that its step has seen."""

    block = 1

    def initial_state(self, batch: int) -> np.ndarray:
        return np.zeros((batch, 1), np.float32)

    def step(self, x: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return x - 0.1 * x.sum(axis=(0, 1), keepdims=True), state


@pytest.mark.parametrize(
    "check",
    [
        functools.partial(contract.check_chunking, cuts=[2]),
        contract.check_rows,
        contract.check_causality,
    ],
)
def test_a_stage_that_looks_at_other_rows_and_ahead_is_caught(check: object) -> None:
    assert callable(check)
    with pytest.raises(AssertionError):
        check(Case("leaky", Leaky(), 12, ()))
