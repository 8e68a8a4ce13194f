"""Trials: what a beam search hears of some recordings with each of some settings, and the best of them.

Encoder frames are computed once (`train.lm.encoded`), so that a trial is a beam search and no more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from stream.backends import Backend
from stream.decoding.decoding import Decoding
from stream.decoding.options import DecoderOptions
from stream.error_rate import ErrorRate, character_error_rate, word_error_rate
from stream.language_model.files import language_model
from stream.language_model.fusion import Fusion
from stream.language_model.ngram import Table
from stream.model.network import Network
from train.lm.encoded import Encoded
from train.lm.search import Search, Values

# Parameters of a trial.
ALPHA, BETA, UNKNOWN, INTERNAL = "weight", "word_bonus", "unknown_penalty", "internal_weight"
WIDTH, BOOST = "beam_width", "boost"
FUSION = (ALPHA, BETA, UNKNOWN, INTERNAL)


@dataclass(frozen=True)
class Trial:
    """What was heard with some values.

    Attributes:
        values: of the parameters.
        words: word errors; characters: character errors.
        seconds: of processor time that the search took.
    """

    values: Values
    words: ErrorRate
    characters: ErrorRate
    seconds: float

    @property
    def loss(self) -> float:
        """What is minimised: the word error rate, and of equal ones the character error rate."""
        return self.words.wer + 1e-6 * self.characters.wer


class Bench:
    """Decodes some recordings again and again.

    Args:
        network: the model.
        backend: computed the frames.
        encoded: the recordings.
        texts: what they say.
        options: how they are decoded, but for what a trial changes.
        table: n-grams of the language model; None: without one.
        hotwords: as they are spelt, for the parameter `BOOST`.
    """

    def __init__(
        self,
        network: Network,
        backend: Backend,
        encoded: Encoded,
        texts: Sequence[str],
        options: DecoderOptions,
        table: Table | None = None,
        hotwords: Sequence[str] = (),
    ) -> None:
        self._network, self._backend, self._encoded = network, backend, encoded
        self._texts, self._options, self._table = texts, options, table
        self._hotwords = hotwords

    def trial(self, values: Mapping[str, float]) -> Trial:
        """Decode with some values; those that are missing are 0, or as the options have them."""
        boost = values.get(BOOST, 0.0)
        keywords = dict.fromkeys(self._hotwords, boost) if boost else None
        began = time.process_time()
        heard = self._encoded.transcripts(
            self._backend, self._network.vocabulary, self._decoding(values), keywords
        )
        seconds = time.process_time() - began
        words = word_error_rate(self._texts, heard)
        return Trial(dict(values), words, character_error_rate(self._texts, heard), seconds)

    def _decoding(self, values: Mapping[str, float]) -> Decoding:
        vocabulary = self._network.vocabulary
        options = replace(
            self._options, beam_width=int(values.get(WIDTH, self._options.beam_width))
        )
        ngram, fusion = None, Fusion(*(values.get(name, 0.0) for name in FUSION))
        if self._table is not None and options.beam:
            skipped = options.skipped(vocabulary.pieces)
            ngram = language_model(self._table, vocabulary, fusion, skipped)
        frame_seconds = self._network.specification.encoder.frame_seconds
        return options.decoding(vocabulary.pieces, ngram, frame_seconds, fusion.internal_weight)


def run(
    bench: Bench,
    search: Search,
    first: Sequence[Values],
    trials: int,
    report: Callable[[Trial], None] = lambda trial: None,
) -> list[Trial]:
    """Run trials.

    Args:
        first: values that are tried before those of the search, such as those of now.
        trials: how many the search proposes.
        report: called with each.
    """
    done: list[Trial] = []
    for values in first:
        done.append(bench.trial(values))
        report(done[-1])
    for _ in range(trials):
        done.append(bench.trial(search.ask()))
        search.tell(done[-1].loss)
        report(done[-1])
    return done


def best_of(trials: Sequence[Trial]) -> Trial:
    """Return the best trial: of the same errors the one of the least weights."""
    return min(
        trials, key=lambda trial: (trial.loss, sum(abs(value) for value in trial.values.values()))
    )
