"""Recogniser: samples or a recording in, text and timed words out. A thin engine of one slot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stream.audio import read_chunks
from stream.backends import Backend, default_backend, load_backend
from stream.bundled import model_path
from stream.decoding.decoding import Decoding, Search
from stream.decoding.greedy import Token
from stream.decoding.options import decoding_of
from stream.engine.engine import Engine, Result
from stream.engine.front_end import FrontEndKind
from stream.model.network import Network, open_model
from stream.model.specification import Head
from stream.stage import Floats, Integers, Samples
from stream.transcripts.transcript import TimedWord, Transcript


class Transcription(NamedTuple):
    """What was said in a recording.

    Attributes:
        text: all of it.
        words: with the seconds between which each sounds, and how sure the model is of it.
        tokens: of the text, with the encoder frame in which each was emitted.
    """

    text: str
    words: tuple[TimedWord, ...]
    tokens: tuple[Token, ...]


class Recogniser:
    """Recognises one stream after another.

    Args:
        model: a path that `open_model` takes, the name of a bundled model, or a network; None: the default one
            of the bundled models, "en-commands".
        backend: the name of one of `stream.backends.BACKENDS`, or one that computes the model; None:
            `default_backend`, ONNX Runtime where the model has graphs for it.
        decoding: greedy or beam search, and what goes with it; None: greedy.
        front_end: the model's in float, or the same in fixed point.
        keywords: boost of each keyword per character; see `stream.decoding.keywords`.
        head: of the model, "transducer" or "ctc"; None: that of the decoding, or else the model's first.
        chunk_ms: length of a chunk, one that the model was trained with; None: the model's own. A backend that
            is given has to compute the model with it.
    Attributes:
        network: the model.
    Raises:
        ModelError: the model cannot be read, or the backend cannot compute it.
        ValueError: there is no such backend, the model has no such head, it was not trained with such chunks, or a
            keyword cannot be spelt with its pieces.
    """

    def __init__(
        self,
        model: str | Path | Network | None = None,
        backend: str | Backend | None = None,
        decoding: Decoding | Search | None = None,
        front_end: FrontEndKind = "float",
        keywords: Mapping[str, float] | None = None,
        head: Head | None = None,
        chunk_ms: float | None = None,
    ) -> None:
        if not isinstance(model, Network):
            model = open_model(model_path() if model is None else model)
        if chunk_ms is not None:
            model = model.with_chunk(chunk_ms)
        self.network = model
        if backend is None or isinstance(backend, str):
            backend = load_backend(backend or default_backend(model), model)
        if head is not None:
            chosen = decoding_of(model) if decoding is None else Decoding.of(decoding)
            decoding = replace(chosen, head=head)
        self._engine = Engine(model, backend, 1, decoding, front_end)
        self._slot = self._engine.open(keywords) or 0

    def push(self, samples: Samples) -> list[Result]:
        """Recognise more of a stream; one result for every chunk of the model.

        Args:
            samples: (n,) at 16 kHz, any n: floats, of which 1 is full scale, or int16.
        Raises:
            TypeError: the samples are neither.
            ValueError: they are not (n,), one of them is no audio, or the stream was finished.
        """
        self._engine.push(self._slot, _checked(samples))
        return self._run()

    def finish(self) -> list[Result]:
        """End the stream; the last result has `last` set. Then `reset` begins another."""
        self._engine.finish(self._slot)
        return self._run()

    def reset(self, *, keep_statistics: bool = False) -> None:
        """Begin a new stream, with the running statistics as they are or fresh."""
        self._engine.restart(self._slot, keep_statistics=keep_statistics)

    def transcribe(self, recording: Samples | str | Path) -> Transcription:
        """Recognise a whole recording as a stream of its own.

        Args:
            recording: path of an audio file, of any rate and number of channels, or samples as
                `push` takes them.
        Raises:
            AudioError: the file cannot be read or decoded.
            TypeError, ValueError: see `push`.
        """
        pieces = read_chunks(recording) if isinstance(recording, str | Path) else (recording,)
        self.reset()
        results = [result for samples in pieces for result in self.push(samples)]
        results += self.finish()
        self.reset()
        transcript = Transcript()
        transcript.add(*results)
        tokens = tuple(token for result in results for token in result.tokens)
        return Transcription(transcript.text, transcript.words, tokens)

    def stream(self, samples: Floats, ends: Sequence[int] | Integers = ()) -> list[Result]:
        """Recognise a whole stream, handed in by pieces; `ends` are those of all but the last, in samples."""
        results = []
        for piece in np.split(samples, ends):
            results += self.push(piece)
        return results + self.finish()

    def _run(self) -> list[Result]:
        results = []
        while self._engine.pending():
            results += self._engine.tick()
        return results


def _checked(samples: Samples) -> Samples:
    """Raise `TypeError` unless the samples are an array of floats or int16."""
    if not isinstance(samples, np.ndarray):
        raise TypeError(
            f"samples are {type(samples).__name__}; want a NumPy array of float32 or int16, such as "
            "np.frombuffer(pcm, np.int16)"
        )
    if samples.dtype.kind != "f" and samples.dtype != np.int16:
        raise TypeError(
            f"samples are {samples.dtype}; want float32, of which 1 is full scale, or int16"
        )
    return samples
