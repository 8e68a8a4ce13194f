"""Samples to log-mel frames: the front end of NUMERICS 1, as stages.

16 kHz mono samples in [-1, 1] (not clipped), (batch, samples) float -> (batch, frames, 80), natural
log of mel power, one frame every 10 ms. The filters are Slaney's mel bank or, of a model that learned
its own, an array (`stream.front_end.filterbank`). Written over the array namespace of its input: NumPy serves
and torch trains through these lines. Reading audio files is in `stream.audio`, normalising in
`stream.front_end.normaliser`, joining frames in `stream.front_end.stacking`.

Two generations differ only in what comes before the first sample:

1. 1.4: nothing. Frame k covers samples [160k, 160k + window); the first `lead` = window - 160 samples
   of a stream prime the state (`FrontEnd.prime`), and every 160 samples after them give one frame.
   The first sample's predecessor, for pre-emphasis, is the sample itself.
2. 1.14: window - 160 zeros, so the state starts primed and lead = 0. 160 samples give one frame.

Where the specification has a `GainControl`, quiet channels are then lifted and tones taken out
(`stream.front_end.gain_control`).

At the end of a stream an incomplete window is dropped, except that a stream without any frame but
with more than window - 160 samples (padding included) gives one, zero-filled after pre-emphasis.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from array_api_compat import array_namespace, device, to_device
from numpy.typing import NDArray

from stream.front_end.gain_control import Gain, GainControl
from stream.stage import Array, Stage, State, constant_like, map_state

SAMPLE_RATE = 16_000  # Hz
HOP = 160  # samples, 10 ms
FFT = 512
BINS = 80
PRE_EMPHASIS = 0.97  # fixed in the generations' code, whatever their configuration says
CARD_FLOOR = 1e-20  # floor of mel power before the log, on Myrtle's card; log = -46.05
LEAST_POWER = 1e-36  # of which a magnitude is taken: the gradient of a root at 0 is infinite

Spectrum: TypeAlias = Literal["power", "magnitude"]


@functools.cache
def hann(window: int) -> NDArray[np.float64]:
    """Return the Hann window with half-sample offset, (window,): neither periodic nor symmetric."""
    return 0.5 * (1.0 - np.cos(2.0 * np.pi * (np.arange(window) + 0.5) / window))


@functools.cache
def mel_matrix() -> NDArray[np.float64]:
    """Return the Slaney mel filterbank, (80, 257): triangles over power, normalised by area."""
    top = 15.0 + np.log(8000.0 / 1000.0) / (np.log(6.4) / 27.0)  # mel of 8 kHz
    mels = np.linspace(0.0, top, BINS + 2)
    linear = mels * (200.0 / 3.0)
    edges = np.where(mels < 15.0, linear, 1000.0 * np.exp((mels - 15.0) * (np.log(6.4) / 27.0)))
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bin_hz = SAMPLE_RATE * np.arange(FFT // 2 + 1) / FFT
    rising = (bin_hz - low) / (centre - low)
    falling = (high - bin_hz) / (high - centre)
    matrix: NDArray[np.float64] = np.maximum(0.0, np.minimum(rising, falling))
    return 2.0 / (high - low) * matrix


@functools.cache
def mel_bank(spectrum: Spectrum) -> NDArray[np.float64]:
    """Return the filters, (80, 257), of a fixed bank; a learned one begins with them.

    Those for magnitudes are scaled so that a flat spectrum gives the frames that it gives as power.
    """
    if spectrum == "power":
        return mel_matrix()
    matrix = mel_matrix()
    bank: NDArray[np.float64] = matrix / np.sqrt(matrix.sum(axis=1, keepdims=True))
    return bank


class PreEmphasis:
    """y[n] = x[n] - 0.97 x[n-1] over (batch, samples); state: the last sample, (batch, 1)."""

    block = 1

    def initial_state(self, batch: int) -> State:
        """Return the zero before the first sample."""
        return np.zeros((batch, 1), np.float32)

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Emphasise the samples x, (batch, samples)."""
        xp = array_namespace(x)
        joined = xp.concat([state, x], axis=1)
        return x - PRE_EMPHASIS * joined[:, :-1], joined[:, joined.shape[1] - 1 :]


class LogMel:
    """Emphasised samples (batch, 160 n) -> log-mel frames (batch, n, 80).

    State: the last window - 160 emphasised samples, (batch, window - 160).

    Args:
        window: 320 or 400 samples (20 or 25 ms), or any length from 161 to 512.
        floor: smallest mel power; the log is of max(power, floor).
        spectrum: that the filters are applied to.
        mel: the filters, (80, 257), of NumPy or, while they are learned, of torch; None: the fixed bank.
    """

    block = HOP

    def __init__(
        self,
        window: int,
        floor: float,
        spectrum: Spectrum = "power",
        mel: Array | None = None,
    ) -> None:
        self.window, self.floor, self.spectrum = window, floor, spectrum
        self._hann = np.concatenate([hann(window), np.zeros(FFT - window)])
        self._learning = mel is not None and not isinstance(mel, np.ndarray)
        bank = mel_bank(spectrum) if mel is None else mel
        self._mel = bank.T if self._learning else np.ascontiguousarray(bank.T)
        self._constants: dict[Any, tuple[Array, Array]] = {}

    def initial_state(self, batch: int) -> State:
        """Return the zeros before the first sample."""
        return np.zeros((batch, self.window - HOP), np.float32)

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Compute the frames that end within x, (batch, 160 n) emphasised samples.

        Raises:
            ValueError: the number of samples is not a multiple of 160.
        """
        xp = array_namespace(x)
        batch, samples = x.shape
        if samples % HOP:
            raise ValueError(f"log-mel: {samples} samples are not a multiple of the hop, {HOP}")
        frames = samples // HOP
        y = xp.concat([state, x], axis=1)
        after = y[:, samples:]
        where = device(x)
        if frames == 0 or batch == 0:
            return xp.zeros((batch, frames, BINS), dtype=x.dtype, device=where), after
        # The spectrum is float64's: in float32 the valleys of a loud frame are rounding, which differs
        # between NumPy and torch by up to 0.1 in the log, and NumPy's float32 transform is no faster.
        window, mel = self._in(x, where)
        hops = -(-self.window // HOP)  # that a window reaches into: windows are joined from slices
        fill = xp.zeros((batch, HOP * hops - self.window), dtype=x.dtype, device=where)
        pieces = xp.reshape(xp.concat([y, fill], axis=1), (batch, frames + hops - 1, HOP))
        widths = [HOP] * (hops - 1) + [self.window - HOP * (hops - 1)]
        slices = [pieces[:, n : n + frames, :width] for n, width in enumerate(widths)]
        beyond = xp.zeros((batch, frames, FFT - self.window), dtype=x.dtype, device=where)
        windows = xp.concat([*slices, beyond], axis=2)
        spectrum = xp.fft.rfft(xp.astype(windows, xp.float64) * window)
        power = xp.astype(xp.square(xp.real(spectrum)) + xp.square(xp.imag(spectrum)), x.dtype)
        if self.spectrum == "magnitude":
            energy = xp.square(xp.matmul(xp.sqrt(xp.clip(power, LEAST_POWER, None)), mel))
        else:
            energy = xp.matmul(power, mel)
        return xp.log(xp.clip(energy, self.floor, None)), after

    def _in(self, x: Array, where: Any) -> tuple[Array, Array]:
        xp = array_namespace(x)
        key = (xp.__name__, str(x.dtype), str(where))
        if key not in self._constants:
            hann = xp.asarray(self._hann, device=where)
            if self._learning:  # stays in the graph of its gradient, which asarray would leave
                mel = to_device(xp.astype(self._mel, x.dtype), where)
            else:
                mel = constant_like(self._mel, x)
            self._constants[key] = (hann, mel)
        return self._constants[key]


@dataclass(frozen=True)
class FrontEnd:
    """Samples to un-normalised log-mel frames, for one specification of the front end.

    A stage over (batch, 160 n) samples whose state is (previous sample, window tail), and the gain
    control's where there is one.

    Attributes:
        window: analysis window in samples.
        floor: smallest mel power.
        initial_padding: zeros before the first sample (generation 1.14) or none (1.4).
        final_padding: zeros, in samples, that an utterance is lengthened with at its end.
        unit: of the frames, nats; fixed point has another.
        gain_control: how quiet channels are lifted and tones taken out; None: not.
        spectrum: that the filters are applied to.
        learned: whether the filters are an array of the model, which computing frames needs.
        mel: that array, (80, 257), of NumPy, or of torch while it is learned.
    """

    window: int
    floor: float
    initial_padding: bool
    final_padding: int = 0
    gain_control: GainControl | None = None
    spectrum: Spectrum = "power"
    learned: bool = False
    mel: Array | None = field(default=None, compare=False, repr=False)

    block = HOP
    unit = 1.0

    @functools.cached_property
    def _stages(self) -> tuple[Stage, ...]:
        """Pre-emphasis, log-mel, and the gain where it is controlled."""
        if self.learned and self.mel is None:
            raise ValueError(
                "front end: the filters are learned; take that of the network, which has them"
            )
        control = self.gain_control
        floor = self.floor if control is None else control.lowest(self.floor)
        stages = PreEmphasis(), LogMel(self.window, floor, self.spectrum, self.mel)
        return stages if control is None else (*stages, Gain(control, self.floor))

    @property
    def lead(self) -> int:
        """Samples that prime the state before the first block; 0 with initial padding."""
        return 0 if self.initial_padding else self.window - HOP

    def initial_state(self, batch: int) -> State:
        """Return the state before the first sample; without initial padding, `prime` replaces it."""
        return tuple(stage.initial_state(batch) for stage in self._stages)

    def prime(self, x: Array) -> State:
        """Return the state after the first `lead` samples of a stream, x (batch, lead)."""
        if x.shape[1] != self.lead:
            raise ValueError(f"front end: primed with {x.shape[1]} samples, wants {self.lead}")
        state = map_state(lambda leaf: constant_like(leaf, x), self.initial_state(len(x)))
        if self.initial_padding:
            return state
        tail, previous = self._stages[0].step(x, x[:, :1])
        return (previous, tail, *state[2:])

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Compute one log-mel frame, (batch, n, 80), for each 160 samples of x, (batch, 160 n)."""
        frames, front = self.log_mel(x, state[:2])
        frames, gain = self.controlled(frames, state[2:])
        return frames, (*front, *gain)

    def log_mel(self, x: Array, state: State) -> tuple[Array, State]:
        """Do the first part of `step`, without gain control; state is that of the first two stages."""
        emphasised, previous = self._stages[0].step(x, state[0])
        frames, tail = self._stages[1].step(emphasised, state[1])
        return frames, (previous, tail)

    def controlled(self, frames: Array, state: State) -> tuple[Array, State]:
        """Do the rest of `step`, on log-mel frames; state is () or that of gain control."""
        if self.gain_control is None:
            return frames, state
        frames, after = self._stages[2].step(frames, state[0])
        return frames, (after,)

    def short_frame(self, x: Array, state: State) -> Array:
        """Compute the one frame, (batch, 1, 80), of a stream that ended before its first hop did.

        Args:
            x: (batch, 1 to 159) the samples after the `lead`.
            state: the primed state.
        """
        xp = array_namespace(x)
        y, _ = self._stages[0].step(x, state[0])
        fill = xp.zeros((len(x), HOP - x.shape[1]), dtype=y.dtype, device=device(y))
        y = xp.concat([y, fill], axis=1)
        for stage, before in zip(self._stages[1:], state[1:], strict=True):
            y, _ = stage.step(y, before)
        return y


def frame_count(samples: int, front_end: FrontEnd) -> int:
    """Return the number of log-mel frames of an utterance of that many real samples."""
    if samples <= 0:
        return 0
    after_lead = samples + front_end.final_padding - front_end.lead
    return max(after_lead // HOP, 1 if after_lead > 0 else 0)


def streamed_log_mel(x: Array, front_end: FrontEnd, together: int | None = None) -> Array:
    """Compute the frames of whole utterances in one step.

    Args:
        x: (batch, samples), all rows of equal length; a padded batch has frames past a row's
            `frame_count`, which are to be ignored.
        together: rows whose spectra are computed at once; None: all.
    Returns:
        (batch, frames, 80), frames = `frame_count(samples, front_end)`.
    """
    xp = array_namespace(x)
    frames = frame_count(x.shape[1], front_end)
    if frames == 0:
        return xp.zeros((len(x), 0, BINS), dtype=x.dtype, device=device(x))
    if front_end.final_padding:
        fill = xp.zeros((len(x), front_end.final_padding), dtype=x.dtype, device=device(x))
        x = xp.concat([x, fill], axis=1)
    state = front_end.prime(x[:, : front_end.lead])
    rest = x[:, front_end.lead :]
    if rest.shape[1] < HOP:
        return front_end.short_frame(rest, state)
    rest, rows = rest[:, : HOP * frames], together or max(len(x), 1)
    parts = []
    for first in range(0, max(len(x), 1), rows):
        some = slice(first, first + rows)
        parts.append(front_end.log_mel(rest[some], tuple(leaf[some] for leaf in state[:2]))[0])
    return front_end.controlled(xp.concat(parts, axis=0), state[2:])[0]
