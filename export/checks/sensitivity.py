"""Sensitivity: which layers cost words in int8 or integers, where the loss is above the limit.

int8: each layer is streamed alone in int8, with all others in float, as the server would. The layers that
change the most words are then kept in float, one more at a time, until the loss is within the limit, so
that the proposed layers have been tried.

Integers have no layers in float. There the weights of one layer at a time are replaced by their
dequantised integers, with all else in float32; a loss that all weights together do not explain comes from
rounded activations.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from export.checks.dequantised import dequantise_integers
from export.checks.precision import Baseline, Precision
from export.errors import ExportError
from export.onnx.ranges import Ranges
from stream.integer.network import to_integers
from stream.model import directory
from stream.model.network import Network, open_model

NO_FLOAT = "Integers keep no layer in float: fine-tune the model in them, --set quantize=int8"


class PrecisionError(ExportError):
    """int8 or integers whose loss is above the limit.

    Attributes:
        layers: loss of each layer alone by name, the one that changes the most words first.
        float_layers: layers that int8 has to keep in float to stay within the limit; none of a model
            for integers.
    """

    def __init__(
        self, message: str, layers: Mapping[str, Precision], float_layers: Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        self.layers, self.float_layers = dict(layers), tuple(float_layers)


def int8_error(
    network: Network,
    ranges: Ranges,
    baseline: Baseline,
    most: float,
    found: Precision,
    float_layers: Sequence[str],
) -> PrecisionError:
    """Return the error that names the layers that cost most in int8, and those to keep in float.

    Args:
        ranges: of the int8 graphs.
        baseline: float32 on the recordings.
        most: limit of the loss.
        found: loss with `float_layers` in float.
    """
    from export.build import build

    def tried(kept: Sequence[str], name: str) -> Precision:
        files = build(network, ranges=ranges, float_layers=kept)
        return _streamed(network, files, "int8", baseline, name)

    names = network.specification.layer_names
    layers = _ranked(
        (layer, tried([name for name in names if name != layer], f"{layer} alone in int8"))
        for layer in names
        if layer not in float_layers
    )
    said = (
        f"{_over('int8', found, most)}\nOne layer in int8, all others in float:\n{_table(layers)}\n"
    )
    if network.specification.quantisation is not None:
        return PrecisionError(f"{said}{NO_FLOAT}, or leave int8 out, --no-int8", layers)
    kept, then = list(float_layers), found
    for layer in layers:
        if then.loss <= most:
            break
        kept.append(layer)
        then = tried(kept, f"int8 but for {', '.join(kept)}")
    return PrecisionError(f"{said}With --float-layers {','.join(kept)}: {then}", layers, kept)


def integer_error(
    network: Network, baseline: Baseline, most: float, found: Precision
) -> PrecisionError:
    """Return the error that names the layers whose weights cost most in integers.

    Args:
        network: with a quantisation.
        baseline: float32 on the recordings.
        most: limit of the loss.
        found: loss.
    """
    from export.build import build

    dequantised, _ = dequantise_integers(network, to_integers(network))

    def tried(prefix: str, name: str) -> Precision:
        arrays = {
            key: (dequantised if key.startswith(prefix) else network).arrays[key]
            for key in network.arrays
        }
        changed = replace(network, arrays=arrays)
        called = f"weights of {name} in integers"
        return _streamed(changed, build(changed), "onnx", baseline, called)

    layers = _ranked(
        (layer, tried(f"{layer}.", layer))
        for layer in ("prediction.embedding", *network.specification.layer_names)
    )
    together = {"all weights": tried("", "all layers")}
    return PrecisionError(
        f"{_over('integers', found, most)}\nWeights of one layer in integers, all else in float:\n"
        f"{_table({**layers, **together})}\n{NO_FLOAT}",
        layers,
    )


def _streamed(
    network: Network, files: Mapping[str, bytes], backend: str, baseline: Baseline, name: str
) -> Precision:
    """Stream the recordings through a model directory that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        directory.write(network, path, files)
        return baseline.compare(open_model(path), backend, name)


def _ranked(found: Iterator[tuple[str, Precision]]) -> dict[str, Precision]:
    """Sort layers by the words that they change, which depends less on luck than the loss."""
    return dict(sorted(found, key=lambda each: (-each[1].changed, -each[1].loss)))


def _over(name: str, found: Precision, most: float) -> str:
    return f"{name}: {found}: {100 * found.loss:.2f} points lost, {100 * most:g} may be."


def _table(layers: Mapping[str, Precision]) -> str:
    width = max(map(len, layers), default=0)
    return "\n".join(
        f"    {name:{width}}  {100 * each.loss:+6.2f} points, "
        f"{100 * each.changed:6.2f} % of the words change"
        for name, each in layers.items()
    )
