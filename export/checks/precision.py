"""Precision: what int8 or integers lose against float32, in words, on recordings.

All are streamed, every recording from the data set's statistics, and their errors compared. The loss is
the rise in WER. For recordings without texts it is the WER against float32's transcripts, which is never
less. `export.checks.sensitivity` finds the layers that cause a loss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from stream.error_rate import word_error_rate
from stream.manifest import Utterance
from stream.model.network import Network
from stream.validation import Report, validate

MOST_LOSS = 0.003  # by which a WER may be above that of float32

Progress: TypeAlias = Callable[[str, int, int], None]  # what is streamed, recordings done, all


@dataclass(frozen=True)
class Precision:
    """The loss of a backend against float32, all fractions.

    Attributes:
        changed: edits between the two transcripts over float32's words.
        wer_float32, wer: WER of float32 and of the backend, against the manifest's texts.
        words: number of words in these texts.
        recordings: number of recordings streamed.
    """

    changed: float
    wer_float32: float
    wer: float
    words: int
    recordings: int

    @property
    def loss(self) -> float:
        """The rise of the WER."""
        return self.wer - self.wer_float32 if self.words else self.changed

    def __str__(self) -> str:
        return (
            f"WER of {self.recordings} recordings {100 * self.wer_float32:.2f} % -> "
            f"{100 * self.wer:.2f} %, {100 * self.changed:.2f} % of the words change"
        )


class Baseline:
    """Float32 on recordings, streamed once, that other backends are compared with.

    Args:
        network: from a model directory with float32 graphs.
        progress: called as they are streamed.
    Raises:
        AudioError: a recording cannot be decoded.
    """

    def __init__(
        self, network: Network, utterances: Sequence[Utterance], progress: Progress | None = None
    ) -> None:
        self._utterances, self._progress = utterances, progress
        self._float32 = self._stream(network, "onnx", "float32")

    @property
    def wer(self) -> float:
        """The WER of float32, a fraction."""
        return self._float32.wer

    @property
    def words(self) -> int:
        """Words of the recordings' texts."""
        return self._float32.words

    def compare(self, network: Network, backend: str, name: str) -> Precision:
        """Stream the recordings through a backend of a model directory.

        Args:
            network: from the directory.
            backend: of it.
            name: of what is streamed, for the progress.
        """
        found = self._stream(network, backend, name)
        transcripts = (
            [each.hypothesis for each in report.utterances] for report in (self._float32, found)
        )
        return Precision(
            word_error_rate(*transcripts).wer,
            self._float32.wer,
            found.wer,
            found.words,
            len(self._utterances),
        )

    def _stream(self, network: Network, backend: str, name: str) -> Report:
        progress = self._progress
        return validate(
            network,
            self._utterances,
            backend=backend,
            reset_stats=True,
            progress=progress and (lambda done, total: progress(name, done, total)),
        )
