"""Where two transcripts diverge: by token and frame, by word without tokens, or in time alone."""

from __future__ import annotations

from export.compare.artefacts import Decoded, Emitted
from export.compare.divergence import diverge, edits


def decoded(*tokens: tuple[str, int]) -> Decoded:
    emitted = tuple(Emitted(*token) for token in tokens)
    return Decoded("".join(token.text for token in emitted).strip(), emitted)


def test_transcripts_diverge_at_the_first_token_that_differs_at_the_earlier_frame() -> None:
    reference = decoded((" a", 1), (" b", 4), (" c", 9))
    assert diverge(reference, reference) is None
    divergence = diverge(reference, decoded((" a", 2), (" x", 6), (" c", 9)))
    assert divergence is not None
    assert (divergence.index, divergence.step, divergence.edits, divergence.moved) == (
        1,
        4,
        1,
        False,
    )
    divergence = diverge(reference, decoded((" a", 1), (" b", 4)))
    assert divergence is not None
    assert (divergence.index, divergence.step, divergence.edits) == (2, 9, 1)


def test_the_same_tokens_at_other_frames_only_moved() -> None:
    divergence = diverge(decoded((" a", 1), (" b", 4)), decoded((" a", 1), (" b", 3)))
    assert divergence is not None
    assert (divergence.index, divergence.step, divergence.edits, divergence.moved) == (
        1,
        3,
        0,
        True,
    )


def test_a_transcript_without_tokens_diverges_by_words_at_the_others_frame() -> None:
    reference = decoded((" on", 1), ("e", 2), (" t", 5), ("wo", 6))
    assert diverge(reference, Decoded("one two")) is None
    divergence = diverge(reference, Decoded("one ten"))
    assert divergence is not None
    assert (divergence.index, divergence.step, divergence.edits) == (1, 5, 1)
    divergence = diverge(reference, Decoded("one two three"))
    assert divergence is not None
    assert (divergence.index, divergence.step) == (2, None)
    assert edits(["a b", "c"], ["a", "b", "c"]) == 2  # units, whatever stands in them
