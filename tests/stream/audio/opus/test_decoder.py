from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.audio.opus.decoder import RATE, Opus
from stream.audio.opus.framing import OggPackets, OpusError, Packets, WebmPackets, framing_of
from tests.stream.audio.opus.opus_streams import CONTENT, packets


def heard(samples: np.ndarray) -> float:
    """Return the loudest frequency, Hz."""
    return float(np.abs(np.fft.rfft(samples)).argmax() * RATE / len(samples))


def test_bare_packets_are_decoded_one_by_one() -> None:
    opus = Opus(Packets())
    parts = [opus.decode(packet) for packet in packets()]
    assert {part.dtype for part in parts} == {np.dtype(np.float32)}
    samples = np.concatenate(parts)
    assert len(samples) / RATE == pytest.approx(1.0, abs=0.05)
    assert heard(samples) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("name", CONTENT)
@pytest.mark.parametrize("piece", [1, 100, 1 << 20])
def test_a_container_is_decoded_however_it_is_cut(name: str, piece: int) -> None:
    content = CONTENT[name]
    framing = framing_of(content)
    assert framing is not None
    opus = Opus(framing)
    parts = [opus.decode(content[at : at + piece]) for at in range(0, len(content), piece)]
    samples = np.concatenate(parts)
    assert len(samples) / RATE == pytest.approx(1.0, abs=0.05)
    assert heard(samples) == pytest.approx(440, abs=2)


def test_an_element_without_a_size_is_entered_as_browsers_write_it() -> None:
    live = CONTENT["webm"]
    at = live.index(b"\x18\x53\x80\x67") + 4
    width = 9 - live[at].bit_length()
    unknown = bytes([(1 << (8 - width)) | ((1 << (8 - width)) - 1)]) + b"\xff" * (width - 1)
    opus = Opus(WebmPackets())
    samples = opus.decode(live[:at] + unknown + live[at + width :])
    assert len(samples) / RATE == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(
    "framing, content",
    [
        (Packets(), b"\xff\xff\xff"),
        (OggPackets(), b"RIFF" + bytes(40)),
        (WebmPackets(), bytes(10)),
        (WebmPackets(), b"\xa3\x08\xff\xff\xff\xff\xff\xff\xff"),
        (WebmPackets(), b"\xa3\x80"),
        (WebmPackets(), b"\xa3\x86\x81\x00\x00\x02xx"),
        (WebmPackets(), b"\x16\x54\xae\x6b\x88A_VORBIS"),
    ],
)
def test_what_is_no_opus_is_an_error(framing: Any, content: bytes) -> None:
    with pytest.raises(OpusError):
        Opus(framing).decode(content)


def test_a_packet_without_an_end_is_not_kept_for_ever() -> None:
    page = b"OggS\0\1" + bytes(20) + b"\xff" + b"\xff" * 255 + bytes(255 * 255)
    opus = Opus(OggPackets())
    with pytest.raises(OpusError, match="more than"):
        for _ in range(10):
            opus.decode(page)


@given(st.sampled_from(sorted(CONTENT)), st.integers(0, 400), st.binary(min_size=1, max_size=8))
def test_damage_raises_nothing_but_that(name: str, at: int, damage: bytes) -> None:
    content = CONTENT[name]
    framing = OggPackets() if name == "ogg" else WebmPackets()
    with suppress(OpusError):
        Opus(framing).decode(content[:at] + damage + content[at + len(damage) :])


def test_a_message_cannot_become_hours_of_audio_or_of_work() -> None:
    with pytest.raises(OpusError, match="more than 60 s in a message"):
        Opus(OggPackets()).decode(62 * CONTENT["ogg"])
    with pytest.raises(OpusError, match="elements of WebM in a message"):
        Opus(WebmPackets()).decode(b"\xec\x80" * 40_000)  # empty ones, to be skipped
