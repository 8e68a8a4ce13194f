"""Records as Lhotse's cuts: the JSON of a `MonoCut` or `MixedCut`.

A recording's sampling rate is the record's `sampling_rate`, or 16 kHz. Its length is the record's duration;
of a record that is a part of a recording, the part's end: what follows it is not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from stream.manifest import located
from train.data.records.files import absolute, listed_path
from train.data.records.record import File, LhotseCut, Mix, Record
from train.data.records.words import TimedWord

SAMPLING_RATE = 16_000  # Hz, where the record does not say
RATE_KEY = "sampling_rate"
ALIGNMENT = "word"  # Lhotse's name of what is aligned


def written_cut(record: Record, folder: Path) -> dict[str, Any]:
    """Return the cut of a record, whose recording is named by its path.

    Args:
        folder: of the file of cuts, from which relative paths count.
    Raises:
        ManifestError: the record is of no file of its own.
    """
    if isinstance(record.audio, LhotseCut):
        cut: dict[str, Any] = msgspec.json.decode(record.audio.cut)
        return cut
    rate = record.extra.get(RATE_KEY)
    rate = rate if isinstance(rate, int) and rate > 0 else SAMPLING_RATE
    if isinstance(record.audio, Mix):
        return _mixed_cut(record, record.audio, rate)
    seconds = record.part.offset + (record.duration or 0.0)
    name = located(str(folder), listed_path(record, folder))
    recording = _recording(record.id, name, rate, seconds, record.part.channel)
    return cut_of(record, recording, record.part.offset)


def cut_of(record: Record, recording: dict[str, Any], start: float = 0.0) -> dict[str, Any]:
    """Return the cut of a record.

    Args:
        recording: its manifest.
        start: where in it the record begins, seconds.
    """
    duration, channel = record.duration or 0.0, record.part.channel or 0
    cut = {"id": record.id, "start": start, "duration": duration, "channel": channel}
    cut |= {"supervisions": [_supervision(record, start)], "recording": recording}
    custom = {key: value for key, value in record.extra.items() if key != RATE_KEY}
    if record.corpus is not None:
        custom["corpus"] = record.corpus
    if custom:
        cut["custom"] = custom
    return {**cut, "type": "MonoCut"}


def _supervision(record: Record, shift: float) -> dict[str, Any]:
    """Return the supervision of a record that begins so many seconds into its recording."""
    supervision: dict[str, Any] = {
        "id": record.id,
        "recording_id": record.id,
        "start": 0.0,
        "duration": record.duration or 0.0,
        "channel": record.part.channel or 0,
        "text": record.text,
    }
    if record.language is not None:
        supervision["language"] = record.language
    if record.speaker is not None:
        supervision["speaker"] = record.speaker
    return supervision | _alignment(record.words, shift)


def _alignment(words: Sequence[TimedWord], shift: float) -> dict[str, Any]:
    """Return the key of a supervision that says when words sound, `shift` seconds later in the recording."""
    items = [
        [word.text, round(shift + word.start, 4), round(word.end - word.start, 4)]
        for word in words
        if word.start is not None and word.end is not None
    ]
    return {"alignment": {ALIGNMENT: items}} if items else {}


def _recording(
    name: str, path: str, rate: int, seconds: float, channel: int | None
) -> dict[str, Any]:
    channels = list(range((channel or 0) + 1))
    return {
        "id": name,
        "sources": [
            {"type": "url" if "://" in path else "file", "channels": channels, "source": path}
        ],
        "sampling_rate": rate,
        "num_samples": round(seconds * rate),
        "duration": seconds,
        "channel_ids": channels,
    }


def _mixed_cut(record: Record, mix: Mix, rate: int) -> dict[str, Any]:
    tracks: list[dict[str, Any]] = []
    for number, track in enumerate(mix.tracks):
        cut: dict[str, Any]
        name = f"{record.id}-{number}"
        if not isinstance(track.audio, File):
            if track.audio is not None:
                raise record.error(f"a track of {record.id} is no file of its own: --audio DIR")
            kind, cut = "PaddingCut", {"sampling_rate": rate, "feat_value": 0.0}
            cut |= {"num_samples": round(track.seconds * rate)}
        else:
            kind, part = "MonoCut", track.part
            cut = {"start": part.offset, "channel": part.channel or 0, "supervisions": []}
            seconds = part.offset + track.seconds
            path = absolute(track.audio.path)
            cut |= {"recording": _recording(name, path, rate, seconds, part.channel)}
        cut |= {"id": name, "duration": track.seconds, "type": kind}
        item = {"cut": cut, "type": kind, "offset": track.begin}
        tracks.append(item if track.snr_db is None else {**item, "snr": track.snr_db})
    first = next(track for track in tracks if track["type"] == "MonoCut")
    supervision = _supervision(record, first["cut"]["start"] - first["offset"])
    first["cut"]["supervisions"] = [supervision | {"start": -first["offset"]}]
    return {"id": record.id, "tracks": tracks, "type": "MixedCut"}
