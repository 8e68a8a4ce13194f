"""Chains: effects of a configuration one after the other, each by its own probability, as with SoX."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from train.config.effects import Effect, EffectName
from train.data.effects.filters import bandpass, bass, highpass, lowpass, treble
from train.data.effects.levels import gain
from train.data.effects.rates import pitch, played, tempo
from train.data.effects.rooms import reverberation

Samples: TypeAlias = NDArray[np.float32]

# Each draws its value from a range.
EFFECTS: Mapping[
    EffectName, Callable[[Samples, np.random.Generator, tuple[float, float]], Samples]
] = MappingProxyType(
    {
        "speed": played,
        "tempo": tempo,
        "pitch": pitch,
        "gain": gain,
        "reverb": reverberation,
        "lowpass": lowpass,
        "highpass": highpass,
        "bandpass": bandpass,
        "bass": bass,
        "treble": treble,
    }
)


def chained(x: Samples, rng: np.random.Generator, chain: Sequence[Effect]) -> Samples:
    """Apply the effects of a chain that are drawn, in their order."""
    for effect in chain:
        if len(x) and rng.random() < effect.probability:
            x = EFFECTS[effect.effect](x, rng, effect.range)
    return x
