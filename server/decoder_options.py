"""Decoder options: the flags for decoding, and the `Decoding` that they make.

Decoding depends on the model too: the id of its `<EOS>` piece, where it has one, and its n-gram
model are known only when it is read, so `DecoderOptions.decoding` is asked for each model.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stream.decoding.beam import BeamConfig
from stream.decoding.decoding import BEAMS, DECODERS, Decoding, Search
from stream.decoding.endpoint import EndpointConfig
from stream.decoding.eos import EOS, EosRule
from stream.decoding.greedy import GreedyConfig
from stream.decoding.overlap import ResetConfig
from stream.language_model.ngram import Ngram

__all__ = ["DECODERS", "EOS_MODES", "DecoderOptions", "add_flags", "seconds_or_off"]

EOS_MODES = ("endpoint", "ignore", "text")
OFF = "off"


@dataclass(frozen=True, kw_only=True)
class DecoderOptions:
    """How the streams of every model are decoded.

    Attributes:
        decoder: one of `DECODERS`.
        beam_width: hypotheses that a beam search keeps.
        ngram: path of a language model of a beam search, ARPA or KenLM's probing binary; None: the one
            that a model carries, if any.
        ngram_weight: factor of its log-probabilities.
        final_seconds: after which text of a beam search becomes final; None: when it is certain.
        endpoint_silence: seconds without text that end an utterance; None: none do.
        endpoint_length: seconds after which an utterance ends in any case; None: never.
        state_resets: whether states are reset on long streams.
        eos_mode: what the piece `<EOS>` means where the model has it. "endpoint": it ends an
            utterance and is no text; "ignore": it is never chosen; "text": it is text as any piece.
    Raises:
        ValueError: a number is out of its range.
    """

    decoder: str = "greedy"
    beam_width: int = BeamConfig.width
    ngram: str | None = None
    ngram_weight: float | None = None
    final_seconds: float | None = BeamConfig.final_delay
    endpoint_silence: float | None = 1.2
    endpoint_length: float | None = 60.0
    state_resets: bool = False
    eos_mode: str = "endpoint"

    def __post_init__(self) -> None:
        if (self.ngram is None) != (self.ngram_weight is None):
            raise ValueError("ngram: the model and its weight, ngram-weight, go together")
        if self.ngram is not None and not self.beam:
            raise ValueError(f"ngram is for a beam search, decoder is {self.decoder}")
        self.decoding(())

    @property
    def beam(self) -> bool:
        """Whether text is searched for with a beam."""
        return self.decoder in BEAMS

    def skipped(self, pieces: Sequence[str]) -> frozenset[int]:
        """Return the ids of pieces that are no text."""
        eos = self._eos(pieces)
        return frozenset() if eos is None else frozenset({eos})

    def decoding(self, pieces: Sequence[str], ngram: Ngram | None = None) -> Decoding:
        """Return how a model's streams are decoded.

        Args:
            pieces: of its vocabulary, by token id.
            ngram: its language model, of a beam search.
        """
        eos = self._eos(pieces)
        ends = eos if self.eos_mode == "endpoint" else None
        endpoint = None
        if (self.endpoint_silence, self.endpoint_length, ends) != (None, None, None):
            endpoint = EndpointConfig(self.endpoint_silence, None, self.endpoint_length, ends)
        resets = ResetConfig() if self.state_resets else None
        return Decoding(self._search(eos), ngram, resets, endpoint, DECODERS[self.decoder])

    def _search(self, eos: int | None) -> Search:
        ignored = self.eos_mode == "ignore"
        if not self.beam:
            return GreedyConfig(
                eos=eos, eos_mode="ignore" if ignored and eos is not None else "none"
            )
        rule = None if eos is None else EosRule(eos, "ignore" if ignored else "predict")
        return BeamConfig(self.beam_width, final_delay=self.final_seconds, eos=rule)

    def _eos(self, pieces: Sequence[str]) -> int | None:
        """Return the id of `<EOS>`, where there is one that is no text."""
        return pieces.index(EOS) if self.eos_mode != "text" and EOS in pieces else None


def add_flags(add: Callable[..., None]) -> None:
    """Add the flags that have a value; `add` takes name, default, help text and type of one."""
    usual = DecoderOptions()
    add(
        "decoder",
        usual.decoder,
        f"how text is searched for: {', '.join(DECODERS)}; a beam search weighs several "
        "hypotheses, corrects provisional text, and takes more of the machine; ctc is for models with a "
        "CTC head beside a transducer",
    )
    add("beam-width", str(usual.beam_width), "hypotheses that a beam search keeps", int)
    add(
        "ngram",
        None,
        "language model of a beam search over the pieces of every model, ARPA or KenLM's probing "
        "binary",
        shown="the one that a model carries, if any",
    )
    add("ngram-weight", None, "factor of the log-probabilities of --ngram", float)
    add(
        "final-seconds",
        f"{usual.final_seconds:g}",
        f"after which text of a beam search becomes final; {OFF}: when it is certain",
        seconds_or_off,
    )
    add(
        "endpoint-silence",
        f"{usual.endpoint_silence:g}",
        f"seconds without text that end an utterance; {OFF}: none do",
        seconds_or_off,
    )
    add(
        "endpoint-length",
        f"{usual.endpoint_length:g}",
        f"seconds after which an utterance ends in any case; {OFF}: never",
        seconds_or_off,
    )
    add(
        "eos-mode",
        usual.eos_mode,
        "what the piece <EOS> means where a model has it: endpoint: it ends an utterance and is no "
        "text; ignore: it is never chosen; text: it is text",
    )


def seconds_or_off(text: str) -> float | None:
    """Read a flag's seconds; None for "off"."""
    try:
        return None if text == OFF else float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is neither seconds nor {OFF}") from error
