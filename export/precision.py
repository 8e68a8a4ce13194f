"""Whether int8 is as good as float32: both are streamed over recordings, and their errors compared.

The loss is the rise of the WER. Where the recordings have no texts it is int8's WER against float32's
transcript, which is never less.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from export.calibration import Calibration
from stream import directory
from stream.backends import load_backend
from stream.error_rate import word_error_rate
from stream.manifest import Utterance
from stream.network import Network, open_model
from stream.validation import validate

__all__ = ["Precision", "int8_files"]


@dataclass(frozen=True)
class Precision:
    """What int8 loses, all fractions.

    Attributes:
        changed: edits between the two transcripts over float32's words.
        wer_float32, wer_int8: against the manifest's texts.
        words: of these texts.
        recordings: how many were streamed.
    """

    changed: float
    wer_float32: float
    wer_int8: float
    words: int
    recordings: int

    @property
    def loss(self) -> float:
        """The rise of the WER."""
        return self.wer_int8 - self.wer_float32 if self.words else self.changed


def int8_files(
    network: Network, graphs: Mapping[str, bytes], utterances: Sequence[Utterance]
) -> tuple[dict[str, bytes], Precision]:
    """Build the int8 graphs of a network, and measure them.

    Args:
        network: of number format float32.
        graphs: its float32 graphs, as `export.graphs` built them for a model directory.
        utterances: recordings that the ranges are measured and the precisions compared on.
    Returns:
        contents by file name, as `stream.directory.writing` takes them, and what they lose.
    """
    module = importlib.import_module("export.int8")  # the package onnx is not always there
    calibration = Calibration(network, load_backend("numpy", network), utterances)
    ranges = module.Ranges(calibration.x, calibration.joint(load_backend("numpy", network)))
    files: dict[str, bytes] = module.build_int8(network, ranges)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        directory.write(network, path, {**graphs, **files})
        read = open_model(path)
        float32, int8 = (
            validate(read, utterances, backend=backend, reset_stats=True)
            for backend in ("onnx", "int8")
        )
    changed = word_error_rate(
        [each.hypothesis for each in float32.utterances],
        [each.hypothesis for each in int8.utterances],
    )
    count = len(utterances)
    return files, Precision(changed.wer, float32.wer, int8.wer, float32.words, count)
