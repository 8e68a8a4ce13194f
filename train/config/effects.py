"""Configuration of a chain of effects: what SoX calls them, how probable each is, and from what it is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import msgspec

EffectName = Literal[
    "speed",
    "tempo",
    "pitch",
    "gain",
    "reverb",
    "lowpass",
    "highpass",
    "bandpass",
    "bass",
    "treble",
]

# What the range of each may be, and its unit.
LIMITS: Mapping[EffectName, tuple[float, float, str]] = MappingProxyType(
    {
        "speed": (0.5, 2.0, "times the speed"),
        "tempo": (0.5, 2.0, "times the tempo"),
        "pitch": (-1200.0, 1200.0, "cents"),
        "gain": (-60.0, 60.0, "dB"),
        "reverb": (0.01, 3.0, "seconds to -60 dB"),
        "lowpass": (50.0, 8000.0, "Hz"),
        "highpass": (1.0, 7000.0, "Hz"),
        "bandpass": (50.0, 7000.0, "Hz"),
        "bass": (-40.0, 40.0, "dB"),
        "treble": (-40.0, 40.0, "dB"),
    }
)


class Effect(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One effect of `augmentation.chain`.

    Attributes:
        effect: its name.
        probability: of each clip.
        range: from which its value is drawn evenly: factors of speed and tempo, cents of pitch, dB of gain, bass
            and treble, seconds of reverb, Hz of the passes.
    """

    effect: EffectName
    range: tuple[float, float]
    probability: float = 1.0

    def __post_init__(self) -> None:
        where = f"augmentation.chain: {self.effect}"
        if not 0.0 <= self.probability <= 1.0:
            raise ValueError(f"{where}: probability is {self.probability}, wants 0 to 1")
        low, high, unit = LIMITS[self.effect]
        if not low <= self.range[0] <= self.range[1] <= high:
            raise ValueError(
                f"{where}: range is {list(self.range)}, wants {low:g} to {high:g} ({unit}), "
                "the lower end first"
            )
