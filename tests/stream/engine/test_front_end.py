"""The choice of front end: wholly integer from 16-bit samples on, wherever a stream is recognised."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from stream.backends import load_backend
from stream.backends.numpy import NumpyBackend
from stream.bundled import model_path, recordings
from stream.engine.engine import Engine, load_engine
from stream.engine.front_end import front_end_stages
from stream.front_end.filterbank import Filterbank
from stream.front_end.log_mel import streamed_log_mel
from stream.front_end.normaliser import Normaliser
from stream.integer.fixed import quantise_input
from stream.integer.front_end import FixedFrontEnd
from stream.integer.normaliser import FixedNormaliser
from stream.model.network import Network
from stream.model.quantisation import Quantisation
from stream.model.specification import ModelError
from stream.recogniser import Recogniser
from stream.stage import whole
from stream.validation import validate
from tests.server.scripted import pcm, samples_of, talking_network
from tests.tiny import tiny_network

NOISE = [samples_of(pcm(seconds, seed)) for seed, seconds in enumerate((1.3, 0.9, 2.0))]
GENERATIONS = {"1.4": (False, 0), "1.14": (True, 3840)}


def network_of(generation: str, **fields: Any) -> Network:
    """The talking network with the front end of a generation."""
    talking = talking_network()
    padded, final = GENERATIONS[generation]
    specification = msgspec.structs.replace(
        talking.specification, initial_padding=padded, final_padding=final, **fields
    )
    return replace(talking, specification=specification)


class Listening(NumpyBackend):
    """Keeps the normalised frames that it is given."""

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self.heard: list[NDArray[np.float32]] = []

    def encode(self, x: Any, *rest: Any) -> Any:
        self.heard.append(np.array(x))
        return super().encode(x, *rest)


def tokens(engine: Engine, chunk: int, audio: list[NDArray[Any]]) -> list[list[tuple[int, int]]]:
    """Stream recordings side by side in chunks; returns (id, step) of each one's tokens."""
    slots = [engine.open() for _ in audio]
    found: dict[int | None, list[tuple[int, int]]] = {slot: [] for slot in slots}
    for begin in range(0, max(map(len, audio)), chunk):
        for slot, samples in zip(slots, audio, strict=True):
            assert slot is not None
            engine.push(slot, samples[begin : begin + chunk])
        for result in engine.tick() if engine.pending() else []:
            found[result.slot] += [(token.id, token.step) for token in result.tokens]
    for slot in slots:
        assert slot is not None
        engine.finish(slot)
    while engine.pending():
        for result in engine.tick():
            found[result.slot] += [(token.id, token.step) for token in result.tokens]
    return list(found.values())


@pytest.mark.parametrize("generation", GENERATIONS)
def test_the_encoder_hears_the_integers_of_the_stages(generation: str) -> None:
    network = network_of(generation)
    backend = Listening(network)
    tokens(Engine(network, backend, 1, front_end="fixed"), 777, [NOISE[0]])
    front_end, normaliser = front_end_stages(network, "fixed")
    z = whole(normaliser, streamed_log_mel(NOISE[0][None], front_end))
    heard = np.concatenate(backend.heard, axis=1).reshape(1, -1, 80)
    np.testing.assert_array_equal(heard[:, : z.shape[1]], z)
    assert not heard[:, z.shape[1] :].any()
    units = heard * 16
    np.testing.assert_array_equal(units, np.clip(np.rint(units), -128, 127))
    assert len(np.unique(units)) > 40


@pytest.mark.parametrize("generation", GENERATIONS)
def test_chunks_slots_and_neighbours_change_nothing(generation: str) -> None:
    network = network_of(generation)

    def engine(slots: int) -> Engine:
        return Engine(network, NumpyBackend(network), slots, front_end="fixed")

    alone = [tokens(engine(1), len(audio), [audio])[0] for audio in NOISE]
    assert any(alone)
    assert tokens(engine(3), 501, NOISE) == alone
    assert tokens(engine(3), 960, NOISE[::-1]) == alone[::-1]


@pytest.mark.parametrize("exponent", [3, 5])
def test_an_integer_network_gets_the_exponent_and_the_integers_that_it_is_for(
    exponent: int,
) -> None:
    network = network_of("1.4", quantisation=Quantisation(input=exponent, joint=4))
    front_end, normaliser = front_end_stages(network, "fixed")
    assert isinstance(normaliser, FixedNormaliser)
    x = streamed_log_mel(NOISE[0][None], front_end)
    state = normaliser.initial_state(1)
    q, _ = normaliser.quantised(x.astype(np.int64), state)
    np.testing.assert_array_equal(quantise_input(normaliser.step(x, state)[0], exponent), q)


def test_integers_from_samples_to_tokens_are_the_same_in_any_chunks_and_slots() -> None:
    network = network_of("1.4", quantisation=Quantisation(joint=4))

    def engine(slots: int) -> Engine:
        return Engine(network, load_backend("integer", network), slots, front_end="fixed")

    integers = [np.rint(audio * 32768).astype(np.int16) for audio in NOISE]
    alone = [tokens(engine(1), len(audio), [audio])[0] for audio in integers]
    assert any(alone)
    assert tokens(engine(3), 333, integers[::-1]) == alone[::-1]


def test_int16_samples_and_their_floats_are_the_same_stream() -> None:
    network = network_of("1.4")
    integers = np.rint(NOISE[0] * 32768).astype(np.int16)
    both = [
        tokens(Engine(network, NumpyBackend(network), 1, front_end="fixed"), 960, [audio])
        for audio in (integers, integers.astype(np.float32) / 32768)
    ]
    assert both[0] == both[1] != [[]]


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_stream_of_one_short_frame_is_served(generation: str) -> None:
    network = network_of(generation)
    engine = Engine(network, NumpyBackend(network), 1, front_end="fixed")
    for count in (0, 1, 241, 399):
        assert len(tokens(engine, 960, [NOISE[0][:count]])) == 1
        engine.close(0)


def test_a_recogniser_understands_the_bundled_recordings_either_way() -> None:
    report = validate(Recogniser(model_path()).network, recordings()[:3], front_end="fixed")
    assert report.wer == 0.0


def test_every_way_in_takes_the_choice() -> None:
    network = network_of("1.4")
    fixed = Recogniser(network, front_end="fixed").transcribe(NOISE[2])
    engine = load_engine(network, 1, "numpy", front_end="fixed")
    assert tokens(engine, 960, [NOISE[2]])[0] == [(token.id, token.step) for token in fixed.tokens]


def test_the_kinds_are_the_stages_that_they_are_named_for() -> None:
    network = network_of("1.14", window=320)
    front_end, normaliser = front_end_stages(network, "float")
    assert front_end == network.specification.front_end
    assert type(normaliser) is Normaliser
    fixed, integers = front_end_stages(network, "fixed")
    assert fixed == FixedFrontEnd(320, network.specification.floor, True, 3840)
    assert type(integers) is FixedNormaliser
    with pytest.raises(ValueError, match="there is no kind 'fluid', only float, fixed"):
        front_end_stages(network, "fluid")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [{"filterbank": Filterbank(mel="learned")}, {"normaliser": "layer"}],
)
def test_frames_that_fixed_point_has_not_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="the fixed-point front end wants frames of the fixed mel"):
        front_end_stages(tiny_network(**changes), "fixed")


@pytest.mark.parametrize("field", [{"floor": 1e-25}, {"alpha": 1e-9}])
def test_a_model_that_does_not_fit_the_formats_is_refused(field: dict[str, float]) -> None:
    network = network_of("1.4", **field)
    with pytest.raises(ModelError, match="wants"):
        front_end_stages(network, "fixed")
