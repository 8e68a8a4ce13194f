"""Quantisation: which integer formats a model is for. Rules by number: docs/integer.md.

Three choices are the model's: the exponent of the encoder's input (rule 2), the exponent of the joint's
hidden vector (rule 6), the bits of each layer's weights (rule 1). All other exponents follow from the
weights; `stream.integer.network` derives them.
"""

from __future__ import annotations

import math

import msgspec

WEIGHT_BITS = (8, 4)
INPUT_EXPONENTS = range(0, 8)  # int8: from +-128 to +-1
JOINT_EXPONENTS = range(-6, 16)  # u8: from 0..16320 to 0..1/128; e's exponent, 6 more, is 0 to 21


class Quantisation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Integer formats; an exponent f says that the integer q stands for q 2^-f.

    Attributes:
        input: exponent of the encoder's input, normalised log-mel in int8. 4 spans -8 to 7.94.
        joint: exponent of the joint's hidden vector after its ReLU, in u8.
        weight_bits: bits of the weights by layer name (`Specification.layer_names`), 8 or 4; a layer
            that is not named has 8. The embedding always has 8.
    Raises:
        ValueError: an exponent or a bit width is none of those.
    """

    input: int = 4
    joint: int
    weight_bits: dict[str, int] = {}

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("input", self.input, INPUT_EXPONENTS),
            ("joint", self.joint, JOINT_EXPONENTS),
        ):
            if value not in allowed:
                raise ValueError(
                    f"quantisation: the exponent {name} is {value}, "
                    f"wants {allowed.start} to {allowed.stop - 1}"
                )
        for layer, bits in self.weight_bits.items():
            if bits not in WEIGHT_BITS:
                raise ValueError(f"quantisation: {layer} has {bits} bits a weight, wants 8 or 4")

    def bits(self, layer: str) -> int:
        """Return the bits of a layer's weights."""
        return self.weight_bits.get(layer, 8)


def joint_exponent(largest: float) -> int:
    """Return the exponent at which u8 holds the joint's hidden vector.

    Args:
        largest: element of the vector on recordings; what is beyond 255 steps saturates.
    """
    if not largest > 0.0:
        return JOINT_EXPONENTS[-1]
    mantissa, exponent = math.frexp(largest)
    ceiling = exponent - (mantissa == 0.5)  # ceil(log2), exactly
    return min(max(8 - ceiling, JOINT_EXPONENTS[0]), JOINT_EXPONENTS[-1])
