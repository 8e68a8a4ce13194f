"""What an engine makes of a stream against the whole recording: mistakes of scale and padding are planted."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from export.checks.streaming import check_streaming
from export.errors import ExportError
from stream.backends import load_backend
from stream.bundled import model_path, recordings
from stream.decoding.options import decoding_of
from stream.engine import engine, features, rings
from stream.engine.endings import Endings
from stream.engine.features import ChannelFeatures
from stream.front_end.filterbank import Filterbank
from stream.model.network import Network, open_model
from stream.stage import write_rows
from tests.tiny import quiet_network

Patch = pytest.MonkeyPatch


def heard() -> Any:
    """A recording, and as much of it as leaves its last chunk a third full."""
    whole = recordings()[-1]
    return [whole, SimpleNamespace(id="cut", read=lambda: whole.read()[: 240 + 11 * 960 + 720])]


def check(network: Network) -> None:
    backend = load_backend("numpy", network)
    check_streaming(network, backend, backend, decoding_of(network), heard())


def trained() -> Network:
    return open_model(model_path())


@pytest.mark.parametrize(
    "specification",
    [
        {},
        {"initial_padding": True, "final_padding": 3840, "alpha": 0.0},
        {"filterbank": Filterbank(mel="learned", spectrum="magnitude"), "normaliser": "layer"},
        {"mute_chunks": 2, "sound_chunks": 3, "normaliser": "none"},
    ],
)
def test_an_engine_gives_the_frames_and_tokens_of_whole_recordings(
    specification: dict[str, Any],
) -> None:
    check(quiet_network(**specification))


def test_the_bundled_model_streams_what_it_says_of_whole_recordings() -> None:
    check(trained())


def as_integers(patch: Patch) -> None:
    """Samples of 16 bits are taken as they are, up to 32768."""
    patch.setattr(rings, "FULL_SCALE", np.float32(1.0))


def half_scale(patch: Patch) -> None:
    """Full scale is 65536."""
    patch.setattr(rings, "FULL_SCALE", np.float32(1.0 / 65536.0))


def zeros_before(patch: Patch) -> None:
    """The first window begins with zeros in place of the first samples."""

    def prime(self: Any, samples: Any, rows: Any) -> None:
        write_rows(rows, self._front_end.initial_state(len(rows)), self._front)
        self.primed[rows] = True

    patch.setattr(ChannelFeatures, "prime", prime)


def no_silence_after(patch: Patch) -> None:
    """The silence after a stream is left out."""
    patch.setattr(engine, "Endings", lambda slots, padding: Endings(slots, 0))


def twice_the_silence_after(patch: Patch) -> None:
    """The silence after a stream is twice as long."""
    patch.setattr(engine, "Endings", lambda slots, padding: Endings(slots, 2 * padding))


def zeros_after_count(patch: Patch) -> None:
    """Frames that only fill the last chunk count as heard."""
    tails = ChannelFeatures.tails

    def all_counted(self: Any, rests: Any, rows: Any) -> Any:
        x, counts = tails(self, rests, rows)
        return x, np.full_like(counts, x.shape[1])

    patch.setattr(ChannelFeatures, "tails", all_counted)


def statistics_start_again(patch: Patch) -> None:
    """Each chunk is normalised by the data set's statistics."""
    normalised = ChannelFeatures._normalised

    def afresh(self: Any, frames: Any, rows: Any) -> Any:
        write_rows(rows, self._normaliser.initial_state(len(rows)), self._statistics)
        return normalised(self, frames, rows)

    patch.setattr(ChannelFeatures, "_normalised", afresh)


MISTAKES: dict[Callable[[Patch], None], str] = {
    as_integers: "streamed input frame 0 ",
    half_scale: "streamed input frame 0 ",
    zeros_before: "streamed input frame 0 ",
    no_silence_after: "padding at its ends differs",
    twice_the_silence_after: "padding at its ends differs",
    zeros_after_count: "padding at its ends differs",
    statistics_start_again: "streamed input frame",
}


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_a_mistake_of_scale_or_padding_is_caught(
    mistake: Callable[[Patch], None], monkeypatch: Patch
) -> None:
    mistake(monkeypatch)
    with pytest.raises(ExportError, match=MISTAKES[mistake]):
        check(trained())


def test_an_engine_with_other_filters_than_the_model_learned_is_caught(monkeypatch: Patch) -> None:
    network = quiet_network(filterbank=Filterbank(mel="learned"))
    fixed = quiet_network()
    monkeypatch.setattr(
        features, "front_end_stages", lambda *_: (fixed.front_end, network.normaliser)
    )
    with pytest.raises(ExportError, match="streamed input frame"):
        check(network)


def test_a_backend_that_encodes_otherwise_is_caught_by_its_tokens() -> None:
    network = trained()
    arrays = {**network.arrays, "joint.encoder.bias": network.arrays["joint.encoder.bias"] + 3.0}
    changed = Network(network.specification, arrays, network.tokenizer)
    with pytest.raises(ExportError, match=r"streamed tokens \[.*the model's are"):
        check_streaming(
            network,
            load_backend("numpy", changed),
            load_backend("numpy", network),
            decoding_of(network),
            heard(),
        )
