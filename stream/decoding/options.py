"""Options of decoding: their flags, and the `Decoding` that they make with a model.

How a model is decoded depends on the model too: which piece is `<EOS>`, the n-gram model that it carries,
the duration of its encoder frames, and how its generation counts tokens (`Specification.symbol_counter`).
`decoding_of` is the one place where options and model meet: server, validation and export call it.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import get_args

from stream.decoding.beam import BeamConfig
from stream.decoding.decoding import DECODERS, Decoding, Search
from stream.decoding.endpoint import EndpointConfig
from stream.decoding.eos import EOS, EosRule
from stream.decoding.greedy import GreedyConfig
from stream.decoding.overlap import QUIET, ResetConfig
from stream.encoders.lstm import LSTM
from stream.errors import ArgumentError
from stream.language_model.files import language_model, ngram_of, open_ngram
from stream.language_model.fusion import Fusion, LanguageModel, carried
from stream.model.network import Network, NgramFile
from stream.model.specification import Head

HEADS: tuple[Head, ...] = get_args(Head)
EOS_MODES = ("endpoint", "blank", "ignore", "text")
OFF = "off"
# Options that are weights of a language model, in the order of the fields of `Fusion`.
FUSION = ("ngram_weight", "word_bonus", "unknown_penalty", "internal_weight")


@dataclass(frozen=True, kw_only=True)
class DecoderOptions:
    """How the streams of any model are decoded.

    Attributes:
        head: what is decoded, one of `HEADS`; None: the transducer of a model that has one.
        decoder: how it is searched, one of `DECODERS`.
        beam_width: hypotheses that a beam search keeps.
        ngram: path of a language model of a beam search, ARPA or KenLM's binary; None: the one that a model
            carries, if any.
        ngram_weight: factor of its log-probabilities; None: the model's own, of one that it carries.
        word_bonus, unknown_penalty, internal_weight: of `stream.language_model.fusion.Fusion`; None: likewise, else 0.
        final_seconds: after which text of a beam search becomes final; None: when it is certain.
        endpoint_silence: seconds without text that end an utterance; None: none do.
        endpoint_length: seconds after which an utterance ends in any case; None: never.
        state_resets: whether states are reset on long streams.
        reset_segment, reset_overlap: seconds of a segment between resets, and of its overlap with the next.
        eos_mode: what the piece `<EOS>` means where the model has it. "endpoint": it ends an
            utterance and is no text; "blank": its probability goes to blank; "ignore": it is never chosen;
            "text": it is text as any piece.
        eos_alpha, eos_beta: of "endpoint", see `stream.decoding.eos.EosRule`.
    Raises:
        ValueError: a number is out of its range.
    """

    head: Head | None = None
    decoder: str = "greedy"
    beam_width: int = BeamConfig.width
    ngram: str | None = None
    ngram_weight: float | None = None
    word_bonus: float | None = None
    unknown_penalty: float | None = None
    internal_weight: float | None = None
    final_seconds: float | None = BeamConfig.final_delay
    endpoint_silence: float | None = 1.2
    endpoint_length: float | None = 60.0
    state_resets: bool = False
    reset_segment: float = 15.0
    reset_overlap: float = 3.0
    eos_mode: str = "endpoint"
    eos_alpha: float = 1.0
    eos_beta: float = 0.0

    def __post_init__(self) -> None:
        for name, value, known in (
            ("head", self.head or HEADS[0], HEADS),
            ("decoder", self.decoder, DECODERS),
            ("eos-mode", self.eos_mode, EOS_MODES),
        ):
            if value not in known:
                raise ArgumentError(f"{name} is {value!r}; there are {', '.join(known)}")
        if self.ngram is not None and self.ngram_weight is None:
            raise ArgumentError("ngram wants its weight, too: ngram-weight")
        for name in ("ngram", *FUSION):
            if getattr(self, name) is not None and not self.beam:
                flag = name.replace("_", "-")
                raise ArgumentError(f"{flag} is for a beam search, decoder is {self.decoder}")
        self._fused(NgramFile(b"", 0.0))
        self.decoding(())
        self._eos_rule(0)

    @property
    def beam(self) -> bool:
        """Whether text is searched for with a beam."""
        return self.decoder == "beam"

    def skipped(self, pieces: Sequence[str]) -> frozenset[int]:
        """Return the ids of pieces that are no text."""
        eos = self._eos(pieces)
        return frozenset() if eos is None else frozenset({eos})

    def fusion(self, network: Network) -> Fusion | None:
        """Return how much the language model of a beam search of a model counts; None: the model does not say.

        Raises:
            ArgumentError: a weight is given, and no language model.
        """
        ngram = NgramFile(b"", None) if self.ngram is not None else network.ngram
        if ngram is None:
            for name in FUSION:
                if getattr(self, name) is not None:
                    flag = name.replace("_", "-")
                    raise ArgumentError(f"{flag} goes with ngram: the model carries none")
            return None
        fusion = self._fused(ngram)
        of_ctc = network.specification.head(self.head) == "ctc"
        if fusion is not None and self.internal_weight is None and of_ctc:
            return replace(fusion, internal_weight=0.0)  # the model's is of its transducer
        return fusion

    def _fused(self, ngram: NgramFile) -> Fusion | None:
        given = {
            of.name: getattr(self, name) for of, name in zip(fields(Fusion), FUSION, strict=True)
        }
        return carried(replace(ngram, **{name: v for name, v in given.items() if v is not None}))

    def decoding(
        self,
        pieces: Sequence[str],
        ngram: LanguageModel | None = None,
        frame_seconds: float = LSTM().frame_seconds,
        internal_weight: float = 0.0,
    ) -> Decoding:
        """Return how the streams of a model are decoded; `decoding_of` calls it with the model's own.

        Args:
            pieces: of its vocabulary, by token id.
            ngram: language model of a beam search.
            frame_seconds: of its encoder frames.
            internal_weight: of `Fusion`.
        """
        eos = self._eos(pieces)
        ends = eos if self.eos_mode == "endpoint" else None
        endpoint = None
        if (self.endpoint_silence, self.endpoint_length, ends) != (None, None, None):
            endpoint = EndpointConfig(self.endpoint_silence, None, self.endpoint_length, ends)
        resets = None
        if self.state_resets:
            resets = self._resets(frame_seconds)
        return Decoding(self._search(eos, internal_weight), ngram, resets, endpoint, self.head)

    def _resets(self, frame_seconds: float) -> ResetConfig:
        """Return when states are reset, in encoder frames."""
        segment, overlap = self.reset_segment, self.reset_overlap
        least = 2 * QUIET * frame_seconds
        if not least <= overlap <= segment / 2 < math.inf:
            raise ArgumentError(
                f"reset-overlap is {overlap:g} s of a segment of {segment:g} s; want {least:g} s to half of it"
            )
        return ResetConfig(round(segment / frame_seconds), round(overlap / frame_seconds))

    def _search(self, eos: int | None, internal_weight: float) -> Search:
        rule = None if eos is None else self._eos_rule(eos)
        if self.beam:
            return BeamConfig(
                self.beam_width,
                final_delay=self.final_seconds,
                eos=rule,
                internal_weight=internal_weight,
            )
        if rule is None:
            return GreedyConfig()
        if rule == EosRule(rule.id):  # what the rule changes nothing of
            return GreedyConfig(eos=eos)
        return GreedyConfig(eos=eos, eos_mode=rule.mode, eos_alpha=rule.alpha, eos_beta=rule.beta)

    def _eos_rule(self, eos: int) -> EosRule:
        match self.eos_mode:
            case "blank":
                return EosRule(eos, "blank")
            case "ignore":
                return EosRule(eos, "ignore")
        return EosRule(eos, "predict", self.eos_alpha, self.eos_beta)

    def _eos(self, pieces: Sequence[str]) -> int | None:
        """Return the id of `<EOS>`, where there is one that is no text."""
        return pieces.index(EOS) if self.eos_mode != "text" and EOS in pieces else None


# For recordings, which end where they end: no endpoint but `<EOS>`.
WHOLE = DecoderOptions(endpoint_silence=None, endpoint_length=None)


def decoding_of(network: Network, options: DecoderOptions = WHOLE) -> Decoding:
    """Return how the streams of a model are decoded.

    Args:
        network: the model. Its n-gram model, if it carries one, is used by a beam search.
        options: of the user.
    Raises:
        ModelError: the n-gram model that it carries cannot be used.
        NgramError: the file that the options name is no language model.
        FileNotFoundError: there is no such file.
    """
    vocabulary, ngram = network.vocabulary, None
    skipped = options.skipped(vocabulary.pieces)
    fusion = options.fusion(network) if options.beam else None
    if fusion is not None and options.ngram is not None:
        ngram = language_model(open_ngram(options.ngram), vocabulary, fusion, skipped)
    elif options.beam:
        ngram = ngram_of(network, skipped, fusion)
    internal = 0.0 if fusion is None else fusion.internal_weight
    frame_seconds = network.specification.encoder.frame_seconds
    return options.decoding(vocabulary.pieces, ngram, frame_seconds, internal)


def value_flags(
    group: argparse._ActionsContainer,
    default_of: Callable[[str, str | None], str | None] = lambda flag, default: default,
) -> Callable[..., None]:
    """Return a function that adds a flag with a value to a parser or a group of one.

    It takes the flag's name, default, help text and type, and how the default is shown.

    Args:
        default_of: returns the default to use, from the flag's name and its usual default.
    """

    def add(
        flag: str,
        default: str | None,
        text: str,
        kind: Callable[[str], object] = str,
        shown: str | None = None,
    ) -> None:
        group.add_argument(
            f"--{flag}",
            default=default_of(flag, default),
            type=kind,
            metavar=flag.upper().split("-")[-1],
            help=f"{text} (default: {shown or default})",
        )

    return add


def add_flags(add: Callable[..., None], usual: DecoderOptions) -> None:
    """Add the flags that have a value.

    Args:
        add: of `value_flags`.
        usual: the defaults.
    """
    add(
        "head",
        usual.head,
        f"what is decoded: {', '.join(HEADS)}",
        shown=f"{HEADS[0]}, if a model has it",
    )
    add(
        "decoder",
        usual.decoder,
        f"how text is searched for: {', '.join(DECODERS)}; a beam search weighs several "
        "hypotheses, corrects provisional text, and takes more of the machine",
    )
    add("beam-width", str(usual.beam_width), "hypotheses that a beam search keeps", int)
    add(
        "ngram",
        None,
        "language model of a beam search, over the pieces of every model or over words: ARPA or "
        "KenLM's binary",
        shown="the one that a model carries, if any",
    )
    own = "the model's own, if it carries an n-gram model, else 0"
    add(
        "ngram-weight",
        None,
        "factor of its log-probabilities, alpha",
        float,
        "the model's own, of one that it carries",
    )
    add("word-bonus", None, "added for each word, natural logarithm, beta", float, own)
    add(
        "unknown-penalty",
        None,
        "subtracted for each word that the language model does not know",
        float,
        own,
    )
    add(
        "internal-weight",
        None,
        "factor of the log-probabilities of the transducer's internal language model, which are subtracted",
        float,
        own,
    )
    add(
        "final-seconds",
        _shown(usual.final_seconds),
        f"after which text of a beam search becomes final; {OFF}: when it is certain",
        seconds_or_off,
    )
    add(
        "endpoint-silence",
        _shown(usual.endpoint_silence),
        f"seconds without text that end an utterance; {OFF}: none do",
        seconds_or_off,
    )
    add(
        "endpoint-length",
        _shown(usual.endpoint_length),
        f"seconds after which an utterance ends in any case; {OFF}: never",
        seconds_or_off,
    )
    add(
        "reset-segment",
        f"{usual.reset_segment:g}",
        "seconds of a segment, where states are reset",
        float,
    )
    add(
        "reset-overlap",
        f"{usual.reset_overlap:g}",
        "seconds of it that the next one repeats",
        float,
    )
    add(
        "eos-mode",
        usual.eos_mode,
        "what the piece <EOS> means where a model has it: endpoint: it ends an utterance and is no "
        "text; blank: its probability goes to blank; ignore: it is never chosen; text: it is text",
    )
    add(
        "eos-alpha",
        f"{usual.eos_alpha:g}",
        "factor of its log-probability as an endpoint; below 1 it comes more often",
        float,
    )
    add("eos-beta", f"{usual.eos_beta:g}", "probability that it has to exceed then", float)


def seconds_or_off(text: str) -> float | None:
    """Read a flag's seconds; None for "off"."""
    try:
        return None if text == OFF else float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is neither seconds nor {OFF}") from error


def options_of(arguments: argparse.Namespace, *, state_resets: bool) -> DecoderOptions:
    """Return the options that parsed flags of `add_flags` ask for.

    Raises:
        ValueError: a number is out of its range, or flags do not go together.
    """
    names = {field.name for field in fields(DecoderOptions)} - {"state_resets"}
    given = {name: getattr(arguments, name) for name in names}
    return DecoderOptions(**given, state_resets=state_resets)


def _shown(seconds: float | None) -> str:
    return OFF if seconds is None else f"{seconds:g}"
