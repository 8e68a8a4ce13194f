"""Precision: what int8 or integers lose against float32, in words, on recordings.

All are streamed, every recording from the data set's statistics, and their errors compared. The loss is
the rise in WER. For recordings without texts it is the WER against float32's transcripts, which is never
less. Of a model with two heads both are streamed, and the one that loses more counts.
`export.checks.sensitivity` finds the layers that cause a loss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from stream.decoding.options import WHOLE, decoding_of
from stream.error_rate import word_error_rate
from stream.manifest import Utterance
from stream.model.network import Network
from stream.model.specification import Head
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
        head: that this is of, where a model has two.
    """

    changed: float
    wer_float32: float
    wer: float
    words: int
    recordings: int
    head: Head | None = None

    @property
    def loss(self) -> float:
        """The rise of the WER."""
        return self.wer - self.wer_float32 if self.words else self.changed

    def __str__(self) -> str:
        with_head = f" by {self.head}" if self.head else ""
        return (
            f"WER of {self.recordings} recordings{with_head} {100 * self.wer_float32:.2f} % -> "
            f"{100 * self.wer:.2f} %, {100 * self.changed:.2f} % of the words change"
        )


class Baseline:
    """Float32 on recordings, streamed once, that other backends are compared with.

    Args:
        network: from a model directory with float32 graphs.
        progress: called as they are streamed.
    Attributes:
        rates: WER, fractions, by the name of what was streamed; of a second head "NAME, HEAD".
    Raises:
        AudioError: a recording cannot be decoded.
    """

    def __init__(
        self, network: Network, utterances: Sequence[Utterance], progress: Progress | None = None
    ) -> None:
        self._utterances, self._progress = utterances, progress
        self.rates: dict[str, float] = {}
        self._heads = network.specification.heads
        self._float32 = {
            head: self._stream(network, "onnx", "float32", head) for head in self._heads
        }

    @property
    def words(self) -> int:
        """Words of the recordings' texts."""
        return self._float32[self._heads[0]].words

    def compare(self, network: Network, backend: str, name: str) -> Precision:
        """Stream the recordings through a backend of a model directory.

        Args:
            network: from the directory.
            backend: of it.
            name: of what is streamed.
        """
        found = [
            self._precision(before, self._stream(network, backend, name, head), head)
            for head, before in self._float32.items()
        ]
        return max(found, key=lambda precision: precision.loss)

    def _precision(self, before: Report, after: Report, head: Head) -> Precision:
        transcripts = (
            [each.hypothesis for each in report.utterances] for report in (before, after)
        )
        return Precision(
            word_error_rate(*transcripts).wer,
            before.wer,
            after.wer,
            after.words,
            len(self._utterances),
            head if len(self._heads) > 1 else None,
        )

    def _stream(self, network: Network, backend: str, name: str, head: Head) -> Report:
        shown, progress = name if head == self._heads[0] else f"{name}, {head}", self._progress
        report = validate(
            network,
            self._utterances,
            backend=backend,
            reset_stats=True,
            decoding=decoding_of(network, replace(WHOLE, head=head)),
            progress=progress and (lambda done, total: progress(shown, done, total)),
        )
        self.rates[shown] = report.wer
        return report
