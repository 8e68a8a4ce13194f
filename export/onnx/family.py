"""The graphs of a family of encoders or prediction networks, and the refusal of those that it lacks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from numpy.typing import NDArray

from export.onnx.arithmetic import Arithmetic
from export.onnx.ranges import Ranges
from stream.integer.network import IntegerLayer, IntegerNetwork
from stream.model.network import Network
from stream.model.specification import ModelError, Specification


class Family:
    """A family without graphs: each family overrides what it has.

    Args:
        part: "encoder" or "prediction network".
        name: of the family, as in the specification.
    """

    def __init__(self, part: str, name: str) -> None:
        self.part, self.name = part, name

    def write(self, graph: Arithmetic, specification: Specification) -> None:
        """Write the whole graph of the part, as `export.onnx` describes it.

        Raises:
            ModelError: the family has no graphs.
        """
        raise self._lacks("ONNX graphs")

    @property
    def calibrated(self) -> bool:
        """Whether int8 needs ranges for linear layers of the part, of which the values have no bounds."""
        return False

    def ranges(self, network: Network) -> Mapping[str, float]:
        """Return ranges for int8 that follow from the weights, by linear layer as `Ranges.layers`."""
        return {}

    def int8_arrays(
        self, network: Network, ranges: Ranges, float_layers: Collection[str]
    ) -> Mapping[str, NDArray[Any]]:
        """Return the part's weights in int8 by name, except those of layers in float.

        Raises:
            ModelError: the family has no int8 graphs.
        """
        raise self._lacks("int8 graphs")

    def integer_layers(self, network: IntegerNetwork) -> Mapping[str, IntegerLayer]:
        """Return the part's layers in integers by name.

        Raises:
            ModelError: the family has no integer graphs.
        """
        raise self._lacks("integer graphs")

    def _lacks(self, what: str) -> ModelError:
        return ModelError(
            f"the model's {self.part} is of the family {self.name!r}, which has no {what}"
        )
