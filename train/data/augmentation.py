"""Augmentation of waveforms: small functions (samples,) float32 -> (samples,) float32.

Each draws what it needs from an explicit `numpy.random.Generator`, so a batch is a function of its
number. Noise is mixed by the rule of `train.data.mixing`; SpecAugment works on normalised frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.front_end.log_mel import SAMPLE_RATE
from train.config.batches import AugmentationConfig
from train.data.effects.chain import chained
from train.data.effects.codecs import transcode
from train.data.effects.levels import gain
from train.data.effects.noise_schedule import scheduled_snr
from train.data.effects.rates import narrowband, speed
from train.data.effects.rooms import reverberation
from train.data.effects.trimming import trimmed
from train.data.effects.vocal_tract import warp_formants
from train.data.mixing import blend, lengthened

if TYPE_CHECKING:
    from torch import Tensor

FADE = 160  # samples, 10 ms, of one piece into the next
Samples = NDArray[np.float32]
Generator = np.random.Generator
Draw: TypeAlias = Callable[[Generator], Samples]


def coloured_noise(samples: int, rng: Generator) -> Samples:
    """Draw noise of unit power with a spectrum of f^-a, a from 0 (white) to 2 (brown)."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    slope = rng.uniform(0.0, 2.0) / 2.0
    spectrum *= np.maximum(np.arange(len(spectrum)), 1.0) ** -slope
    noise = np.fft.irfft(spectrum, samples)
    return np.asarray(noise / max(np.sqrt(np.mean(noise**2)), 1e-9), np.float32)


def any_noise(samples: int, rng: Generator, recordings: list[Samples]) -> Samples:
    """Draw a whole recording of noise, or so many samples of synthetic noise."""
    if recordings and rng.random() < 0.6:
        return recordings[rng.integers(len(recordings))]
    return coloured_noise(samples, rng)


def room(
    samples: int, rng: Generator, recordings: list[Samples], dbfs: tuple[float, float]
) -> Samples:
    """Draw the sound of a room without speech: a piece of a recording of noise, or synthetic noise.

    Args:
        dbfs: range of its level, dB below full scale.
    """
    noise = lengthened(any_noise(samples, rng, recordings), samples)
    begin = int(rng.integers(len(noise) - samples + 1))
    piece = noise[begin : begin + samples]
    level = max(float(np.sqrt(np.mean(np.square(piece, dtype=np.float64)))), 1e-9)
    return piece * np.float32(10.0 ** (rng.uniform(*dbfs) / 20.0) / level)


def add_noise(
    x: Samples, rng: Generator, recordings: list[Samples], snr_db: tuple[float, float]
) -> Samples:
    """Add a recording of noise, or synthetic noise, at a signal-to-noise ratio of U(snr_db)."""
    noise = any_noise(len(x), rng, recordings)
    return blend(x, noise, rng.uniform(*snr_db), rng.random()).astype(np.float32)


def add_babble(
    x: Samples, rng: Generator, clip: Draw, voices: tuple[int, int], snr_db: tuple[float, float]
) -> Samples:
    """Let other people talk at the same time, all equally loud, at a ratio of U(snr_db) to their sum.

    Args:
        clip: draws a clip of the training set; a short one is repeated, of a long one a piece is heard.
        voices: range of their number. With one it is the babble of generation 1.14: the next utterance.
    """
    babble = np.zeros(len(x))
    for _ in range(rng.integers(voices[0], voices[1] + 1)):
        voice = lengthened(clip(rng), len(x))
        start = int(rng.integers(len(voice) - len(x) + 1))
        piece = voice[start : start + len(x)].astype(np.float64)
        babble += piece / max(float(np.sqrt(np.mean(piece**2))), 1e-9)
    return blend(x, babble, rng.uniform(*snr_db), 0.0).astype(np.float32)


def at_update(config: AugmentationConfig, update: int) -> AugmentationConfig:
    """Return the configuration with the signal-to-noise ratios that it schedules for an update."""
    start = config.noise_snr_start_db
    if start is None:
        return config
    schedule = (config.noise_delay, config.noise_ramp)
    return msgspec.structs.replace(
        config,
        noise_snr_start_db=None,
        noise_snr_db=scheduled_snr(update, start, config.noise_snr_db, *schedule),
        babble_snr_db=scheduled_snr(update, start, config.babble_snr_db, *schedule),
    )


def augment(
    x: Samples,
    rng: Generator,
    config: AugmentationConfig,
    recordings: list[Samples],
    clip: Draw,
) -> Samples:
    """Change one clip; its words stay what and about where they are.

    What is off draws nothing, so that a new effect leaves the runs alone that do not ask for it.

    Args:
        recordings: of noise.
        clip: draws a clip of the training set, for babble.
    """
    if config.trim and rng.random() < config.trim:
        x = trimmed(x, config.trim_db, int(config.trim_seconds * SAMPLE_RATE))
    if config.chain:
        x = chained(x, rng, config.chain)
    if config.speed:
        x = speed(x, rng, config.speed)
    if config.vocal_tract:
        x = warp_formants(x, rng.uniform(1.0 - config.vocal_tract, 1.0 + config.vocal_tract))
    if rng.random() < config.reverberation:
        x = reverberation(x, rng)
    if rng.random() < config.narrowband:
        x = narrowband(x)
    x = gain(x, rng, config.gain_db)
    if rng.random() < config.noise:
        x = add_noise(x, rng, recordings, config.noise_snr_db)
    if config.babble and rng.random() < config.babble:
        x = add_babble(x, rng, clip, config.babble_voices, config.babble_snr_db)
    if config.codec and rng.random() < config.codec:
        x = transcode(x, rng, config.codecs[rng.integers(len(config.codecs))])
    return x


def silence(
    rng: Generator,
    config: AugmentationConfig,
    most_seconds: float,
    level: float,
    long: bool,
    recordings: list[Samples],
) -> Samples:
    """Draw a silence: a room, digital zeros, or noise of the given level; perhaps a long one.

    Args:
        most_seconds: of a silence that is not long.
        level: RMS of the noise, full scale 1.
        recordings: of noise.
    """
    seconds = rng.uniform(0.0, most_seconds)
    if long and rng.random() < config.long_zeros:
        seconds = rng.uniform(*config.long_zeros_seconds)
    samples = int(seconds * SAMPLE_RATE)
    if config.room and samples and rng.random() < config.room:
        return room(samples, rng, recordings, config.room_dbfs)
    if samples == 0 or rng.random() < config.digital_zeros:
        return np.zeros(samples, np.float32)
    return coloured_noise(samples, rng) * np.float32(level)


def joined(
    clips: list[Samples],
    rng: Generator,
    config: AugmentationConfig,
    long_silences: bool,
    recordings: list[Samples],
) -> Samples:
    """Join clips with silences before, between and after them, as a channel that stays open.

    The first silence also moves the clip against the grid of 60 ms. Without long silences a batch of
    short clips pads little.

    Args:
        recordings: of noise.
    """
    parts = []
    for index, clip in enumerate(clips):
        quiet = np.sort(np.abs(clip))[: max(len(clip) // 5, 1)]
        level = float(np.sqrt(np.mean(quiet**2)))
        most = config.gap_seconds if index else config.lead_seconds
        parts += [silence(rng, config, most, level, long_silences, recordings), clip]
    parts.append(silence(rng, config, config.gap_seconds, level, long_silences, recordings))
    x = np.concatenate(parts)
    if config.quiet and rng.random() < config.quiet:
        x = gain(x, rng, config.quiet_db)
    if rng.random() < config.dither:
        x = x + np.float32(1e-5) * rng.standard_normal(len(x), dtype=np.float32)
    return x


def crossfaded(pieces: Sequence[Samples]) -> Samples:
    """Join pieces without a silence, each faded into the next."""
    row = pieces[0]
    for piece in pieces[1:]:
        overlap = min(FADE, len(row), len(piece))
        rise = np.linspace(0.0, 1.0, overlap, dtype=np.float32)
        between = row[len(row) - overlap :] * (1.0 - rise) + piece[:overlap] * rise
        row = np.concatenate([row[: len(row) - overlap], between, piece[overlap:]])
    return row


def faded(piece: Samples) -> Samples:
    """Fade a piece in and out, so that where it was cut is not heard."""
    ramp = np.linspace(0.0, 1.0, min(FADE, len(piece) // 2), dtype=np.float32)
    x = piece.copy()
    x[: len(ramp)] *= ramp
    x[len(x) - len(ramp) :] *= ramp[::-1]
    return x


def spec_augment(z: Tensor, lengths: Tensor, config: AugmentationConfig, rng: Generator) -> Tensor:
    """Mask bands and stretches of normalised frames with zeros (NUMERICS 1.7).

    Args:
        z: (B, F, 80); lengths: (B,) frames of each row.
    """
    batch, frames, bins = z.shape
    keep = np.ones((batch, frames, bins), np.bool_)
    for row, length in enumerate(lengths.tolist()):
        for _ in range(config.frequency_masks):
            width = int(rng.integers(config.frequency_width + 1))
            start = int(rng.integers(bins - width + 1))
            keep[row, :, start : start + width] = False
        for _ in range(config.time_masks):
            width = int(rng.integers(round(config.time_share * length) + 1))
            start = int(rng.integers(max(length - width, 0) + 1))
            keep[row, start : start + width] = False
    import torch  # here alone: the processes that draw batches need no torch

    return z * torch.from_numpy(keep).to(z.device)
