"""Configuration of what is learned from: batches, augmentation, and what channels heard before."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import msgspec

from train.config.effects import Effect


class BatchConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Composition of a batch.

    By default rows are single clips of any length. The rest is a curriculum for corpora of short clips,
    from single words to streams, and refused where the clips are none (`Batches`).

    Attributes:
        seconds: padded audio in a batch, about.
        accumulate: batches of each process whose gradients are summed for an update. So an update learns from
            seconds x accumulate x processes, and those of fewer processes that accumulate more are the same.
        weights: how often an utterance of a corpus is drawn, against 1 for others.
        balance: how far rare words are drawn more often than in their corpus. An utterance is drawn in
            proportion to n^-balance, where n is how often the corpus has its words, their geometric mean. 0: all
            alike; 1, of single words: each word alike.
        short_seconds: longest clip before update `join_from`: words are learned first. None: any.
        join_from, join_until: updates between which `join` rises from 0 to its value: then streams.
        join: probability that a batch is one of joined clips.
        join_clips: range of the number of clips in a joined row.
        repeat: probability that the next clip of a joined row is the last one again: a word is heard on
            for some frames after its token, so a model that never hears a word twice learns that none
            follows itself.
        join_seconds: longest joined row.
        splice: probability that the rows of a batch of joined clips are spliced: each clip gives a run of its
            words, of which the data set says when they sound, and nothing is silent in between.
        splice_apart: probability that the runs of a spliced batch stand apart, with silences between them as
            between whole clips: so words that a corpus has in sentences alone are learned alone, too.
        splice_words: range of the number of words in a run.
        without_speech: probability that a row has noise only and no tokens.
    """

    seconds: float = 120.0
    accumulate: int = 1
    weights: dict[str, float] = {}
    balance: float = 0.0
    short_seconds: float | None = None
    join_from: int = 500
    join_until: int = 1500
    join: float = 0.0
    join_clips: tuple[int, int] = (1, 6)
    repeat: float = 0.0
    join_seconds: float = 10.0
    splice: float = 0.0
    splice_apart: float = 0.0
    splice_words: tuple[int, int] = (1, 4)
    without_speech: float = 0.02

    def __post_init__(self) -> None:
        for name in ("seconds", "short_seconds", "join_seconds"):
            value = getattr(self, name)
            if value is not None and not value > 0.0:
                raise ValueError(f"batches.{name} is {value}, wants more than 0")
        if self.accumulate < 1:
            raise ValueError(f"batches.accumulate is {self.accumulate}, wants at least 1")
        for name in ("balance", "join", "repeat", "splice", "splice_apart", "without_speech"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"batches.{name} is {getattr(self, name)}, wants 0 to 1")
        if not all(0.0 <= weight < math.inf for weight in self.weights.values()):
            raise ValueError(f"batches.weights is {self.weights}, wants 0 or more")
        for name in ("join_clips", "splice_words"):
            least, most = getattr(self, name)
            if not 1 <= least <= most:
                raise ValueError(f"batches.{name} is {(least, most)}, wants 1 or more, least first")


CodecName: TypeAlias = Literal["mu-law", "a-law", "gsm", "mp3", "opus", "vorbis"]
PROBABILITIES = (
    "quiet",
    "noise",
    "babble",
    "reverberation",
    "narrowband",
    "codec",
    "spelling_share",
    "trim",
    "dither",
    "digital_zeros",
    "long_zeros",
    "room",
)
RANGES = (
    "gain_db",
    "quiet_db",
    "noise_snr_db",
    "babble_snr_db",
    "babble_voices",
    "noise_snr_start_db",
    "long_zeros_seconds",
    "room_dbfs",
)


class AugmentationConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Probabilities and ranges.

    Attributes:
        speed: largest relative change of length, up and down.
        gain_db: range of the level.
        quiet, quiet_db: probability that a whole row, its noise and silences too, is as a quiet
            microphone gives it, and the range of its level.
        noise, noise_snr_db: probability of added noise, and its range.
        babble, babble_voices, babble_snr_db: probability that other clips talk at the same time, the range
            of their number, and of the ratio to their sum.
        noise_snr_start_db, noise_delay, noise_ramp: range of both ratios at the start, the updates that it
            lasts, and those over which they then move to the ranges above; None: these from the start.
        reverberation: probability of a synthetic room.
        narrowband: probability of a telephone's bandwidth.
        codec, codecs: probability that a clip is encoded and decoded again, and by which.
        vocal_tract: largest relative change of the formants, up and down.
        trim, trim_db, trim_seconds: probability that outer silence is cut, the level under the loudest
            128 ms that is silence, and how much of it stays.
        chain: effects as SoX has them, in their order, each with a probability and a range (`Effect`).
        spellings, spelling_alpha: number of most probable spellings of a text that its tokens are drawn
            from, 1 for the most probable one, and what their probabilities are raised to.
        spelling_share: probability that the tokens of a text are drawn so.
        dither: probability of a dither of 1e-5; without it silence stays exactly zero.
        lead_seconds: most silence before the first clip; its length is also the random phase.
        gap_seconds: most silence between and after clips.
        digital_zeros: probability that a silence is exact zeros rather than a noise floor.
        long_zeros, long_zeros_seconds: probability, in joined rows, that a silence is long, and its range.
        room, room_dbfs: probability that a silence is a room, a recording of noise or synthetic noise, and the
            range of its level, dB below full scale.
        frequency_masks, frequency_width: SpecAugment, bins.
        time_masks, time_share: SpecAugment; the widest mask as a share of the row.
    """

    speed: float = 0.12
    gain_db: tuple[float, float] = (-12.0, 8.0)
    quiet: float = 0.0
    quiet_db: tuple[float, float] = (-40.0, -12.0)
    noise: float = 0.4
    noise_snr_db: tuple[float, float] = (3.0, 35.0)
    babble: float = 0.0
    babble_voices: tuple[int, int] = (3, 8)
    babble_snr_db: tuple[float, float] = (5.0, 30.0)
    noise_snr_start_db: tuple[float, float] | None = None
    noise_delay: int = 4896
    noise_ramp: int = 4896
    reverberation: float = 0.2
    narrowband: float = 0.05
    codec: float = 0.0
    codecs: tuple[CodecName, ...] = ("mu-law", "a-law", "gsm", "mp3", "opus")
    vocal_tract: float = 0.0
    trim: float = 0.0
    trim_db: float = -60.0
    trim_seconds: float = 0.1
    chain: tuple[Effect, ...] = ()
    spellings: int = 1
    spelling_share: float = 1.0
    spelling_alpha: float = 0.2
    dither: float = 0.5
    lead_seconds: float = 0.4
    gap_seconds: float = 0.6
    digital_zeros: float = 0.3
    long_zeros: float = 0.08
    long_zeros_seconds: tuple[float, float] = (0.8, 2.5)
    room: float = 0.0
    room_dbfs: tuple[float, float] = (-65.0, -40.0)
    frequency_masks: int = 2
    frequency_width: int = 12
    time_masks: int = 2
    time_share: float = 0.04

    def __post_init__(self) -> None:
        for name in PROBABILITIES:
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"augmentation.{name} is {getattr(self, name)}, wants 0 to 1")
        for name in ("speed", "vocal_tract"):
            if not 0.0 <= getattr(self, name) < 0.5:
                raise ValueError(f"augmentation.{name} is {getattr(self, name)}, wants 0 to 0.5")
        for name in ("noise_delay", "noise_ramp", "trim_seconds", "spelling_alpha"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"augmentation.{name} is {getattr(self, name)}, wants 0 or more")
        for name in RANGES:
            low, high = getattr(self, name) or (0.0, 0.0)
            if low > high:
                raise ValueError(f"augmentation.{name} is {[low, high]}, wants the lower end first")
        if self.babble_voices[0] < 1:
            raise ValueError(
                f"augmentation.babble_voices is {list(self.babble_voices)}, wants 1 or more"
            )
        if not -math.inf < self.trim_db < 0.0:
            raise ValueError(f"augmentation.trim_db is {self.trim_db}, wants less than 0")
        if not self.codecs:
            raise ValueError("augmentation.codecs is empty; for none set augmentation.codec to 0")
        if self.spellings < 1:
            raise ValueError(f"augmentation.spellings is {self.spellings}, wants 1 or more")


class HistoryConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What precedes a row; a row that nothing precedes begins with the data set's statistics.

    Attributes:
        rows: probability that it was another row of the batch.
        noise: probability that it was a room, a recording of noise or synthetic noise.
        seconds: range of its length, drawn evenly in the logarithm.
        noise_dbfs: range of a room's level, dB below full scale.
    """

    rows: float = 0.0
    noise: float = 0.0
    seconds: tuple[float, float] = (1.0, 300.0)
    noise_dbfs: tuple[float, float] = (-65.0, -35.0)

    def __post_init__(self) -> None:
        if not (self.rows >= 0.0 and self.noise >= 0.0 and self.rows + self.noise <= 1.0):
            raise ValueError(
                f"history: rows {self.rows} and noise {self.noise} are probabilities: want 0 to 1, "
                "also together"
            )
        if not 0.0 < self.seconds[0] <= self.seconds[1]:
            raise ValueError(f"history.seconds is {list(self.seconds)}, wants 0 < low <= high")
        if not self.noise_dbfs[0] <= self.noise_dbfs[1] <= 0.0:
            raise ValueError(
                f"history.noise_dbfs is {list(self.noise_dbfs)}, wants low <= high <= 0"
            )
