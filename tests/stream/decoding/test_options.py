from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stream.decoding.beam import BeamConfig
from stream.decoding.decoding import Decoding
from stream.decoding.endpoint import EndpointConfig
from stream.decoding.eos import EosRule
from stream.decoding.greedy import GreedyConfig
from stream.decoding.options import WHOLE, DecoderOptions, decoding_of, seconds_or_off
from stream.decoding.overlap import ResetConfig
from stream.errors import ArgumentError
from stream.language_model.fusion import Fusion
from stream.model.network import NgramFile, open_model
from tests.tiny import tiny_network

PIECES = ("<unk>", "▁a", "<EOS>")


def test_without_flags_decoding_is_greedy_with_endpoints() -> None:
    got = DecoderOptions().decoding(("<unk>", "▁a"))
    assert got == Decoding(GreedyConfig(), endpoint=EndpointConfig(1.2, None, 60.0))


def test_a_beam_search_gets_its_width_its_delay_and_what_goes_with_it() -> None:
    options = DecoderOptions(
        decoder="beam",
        beam_width=2,
        final_seconds=None,
        endpoint_silence=None,
        endpoint_length=None,
        state_resets=True,
    )
    want = Decoding(BeamConfig(2, final_delay=None), resets=ResetConfig())
    assert options.decoding(PIECES[:2]) == want


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"decoder": "beam", "ngram": "lm.arpa"}, "ngram wants its weight, too"),
        ({"ngram": "lm.arpa", "ngram_weight": 0.5}, "ngram is for a beam search"),
        ({"word_bonus": 0.5}, "word-bonus is for a beam search, decoder is greedy"),
        ({"decoder": "beam", "internal_weight": float("nan")}, "internal-weight is nan"),
    ],
)
def test_a_language_model_wants_a_weight_and_a_beam(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DecoderOptions(**given)


def test_a_head_is_searched_greedily_or_with_a_beam() -> None:
    greedy, beam = (
        replace(WHOLE, head="ctc", decoder=decoder, beam_width=3) for decoder in ("greedy", "beam")
    )
    assert greedy.decoding(PIECES[:2]) == Decoding(head="ctc")
    assert beam.decoding(PIECES[:2]) == Decoding(BeamConfig(3), head="ctc")
    with pytest.raises(ArgumentError, match="head is 'rnnt'; there are transducer, ctc"):
        DecoderOptions(head="rnnt")  # type: ignore[arg-type]


@pytest.mark.parametrize("decoder", ["greedy", "beam"])
def test_the_end_of_speech_token_ends_an_utterance_is_never_chosen_or_is_text(decoder: str) -> None:
    def searches(mode: str) -> tuple[object, int | None]:
        decoding = DecoderOptions(decoder=decoder, eos_mode=mode).decoding(PIECES)
        assert decoding.endpoint is not None
        return decoding.search, decoding.endpoint.eos

    if decoder == "greedy":
        ends, ignored, text = (
            GreedyConfig(eos=2),
            GreedyConfig(eos=2, eos_mode="ignore"),
            GreedyConfig(),
        )
        assert [searches(m) for m in ("endpoint", "ignore", "text")] == [
            (ends, 2),
            (ignored, None),
            (text, None),
        ]
    else:
        rules = [EosRule(2), EosRule(2, "ignore"), None]
        assert [searches(m) for m in ("endpoint", "ignore", "text")] == [
            (BeamConfig(eos=rule), end) for rule, end in zip(rules, (2, None, None), strict=True)
        ]


def test_pieces_that_are_no_text_are_skipped_by_an_ngram_model() -> None:
    assert DecoderOptions().skipped(PIECES) == {2}
    assert DecoderOptions(eos_mode="text").skipped(PIECES) == frozenset()


def test_seconds_are_a_number_or_off() -> None:
    assert (seconds_or_off("off"), seconds_or_off("1.5")) == (None, 1.5)
    with pytest.raises(argparse.ArgumentTypeError, match="'soon' is neither seconds nor off"):
        seconds_or_off("soon")


def test_segments_between_resets_are_given_in_seconds_whatever_a_frame_lasts() -> None:
    options = DecoderOptions(state_resets=True, reset_segment=12.0, reset_overlap=2.4)
    assert options.decoding(PIECES).resets == ResetConfig(200, 40)
    assert options.decoding(PIECES, frame_seconds=0.04).resets == ResetConfig(300, 60)


def test_a_model_brings_its_end_of_speech_token_and_its_ngram_model(golden: Path) -> None:
    network = open_model(golden / "hwckpt_v1.14.0.pt")
    eos = network.vocabulary.pieces.index("<EOS>")
    greedy = decoding_of(network)
    assert greedy == Decoding(GreedyConfig(eos=eos), endpoint=EndpointConfig(None, None, None, eos))
    beam = decoding_of(network, replace(WHOLE, decoder="beam"))
    assert isinstance(beam.search, BeamConfig) and beam.search.eos == EosRule(eos)
    assert beam.ngram is not None


BEAM = replace(WHOLE, decoder="beam")
CARRIED = NgramFile(b"lm", 0.5, word_bonus=0.25, internal_weight=0.125)


def test_weights_that_are_not_given_are_those_that_the_model_carries() -> None:
    network = replace(tiny_network(), ngram=CARRIED)
    assert BEAM.fusion(network) == Fusion(0.5, 0.25, 0.0, 0.125)
    given = replace(BEAM, ngram_weight=1.0, unknown_penalty=3.0, internal_weight=0.0)
    assert given.fusion(network) == Fusion(1.0, 0.25, 3.0, 0.0)


def test_weights_of_a_model_are_not_those_of_another_language_model() -> None:
    given = replace(BEAM, ngram="lm.arpa", ngram_weight=1.0)
    assert given.fusion(replace(tiny_network(), ngram=CARRIED)) == Fusion(1.0)


def test_a_ctc_head_leaves_the_internal_language_model_of_the_transducer() -> None:
    network = replace(tiny_network(decoder="both"), ngram=CARRIED)
    assert replace(BEAM, head="ctc").fusion(network) == Fusion(0.5, 0.25)


def test_a_weight_of_no_language_model_is_refused() -> None:
    with pytest.raises(ArgumentError, match="word-bonus goes with ngram: the model carries none"):
        replace(BEAM, word_bonus=0.5).fusion(tiny_network())


def test_an_unknown_decoder_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="decoder is 'best'; there are greedy, beam$"):
        DecoderOptions(decoder="best")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"reset_overlap": 1.0},
            "reset-overlap is 1 s of a segment of 15 s; want 1.2 s to half of it",
        ),
        ({"reset_overlap": 8.0}, "reset-overlap is 8 s of a segment of 15 s"),
        ({"reset_segment": float("nan")}, "of a segment of nan s"),
        ({"reset_segment": float("inf")}, "of a segment of inf s"),
    ],
)
def test_resets_that_cannot_be_are_refused_in_seconds(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        DecoderOptions(state_resets=True, **given)


def test_the_end_of_speech_token_may_go_to_blank_or_be_weighed() -> None:
    def searches(**given: Any) -> list[object]:
        return [
            DecoderOptions(decoder=decoder, **given).decoding(PIECES).search
            for decoder in ("greedy", "beam")
        ]

    assert searches(eos_mode="blank") == [
        GreedyConfig(eos=2, eos_mode="blank"),
        BeamConfig(eos=EosRule(2, "blank")),
    ]
    assert searches(eos_alpha=0.5, eos_beta=0.1) == [
        GreedyConfig(eos=2, eos_mode="predict", eos_alpha=0.5, eos_beta=0.1),
        BeamConfig(eos=EosRule(2, "predict", 0.5, 0.1)),
    ]
    with pytest.raises(ArgumentError, match="alpha is 0"):
        DecoderOptions(eos_alpha=0.0)
