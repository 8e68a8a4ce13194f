"""Differences between installations are found, counted once each, and named."""

from __future__ import annotations

import pytest

from tests.portability.comparison import Tokens, Transcript, differences

HEARD: Tokens = ((12, 5), (40, 9), (3, 21))


def transcript(
    installation: str, backend: str, tokens: Tokens = HEARD, *, row: int | None = None
) -> Transcript:
    return Transcript(installation, backend, "one.flac", row, tokens)


def test_equal_tokens_are_no_difference_whatever_the_machine_backend_or_row() -> None:
    same = [
        transcript(machine, backend, row=row)
        for machine in ("native", "haswell")
        for backend in ("numpy", "onnx")
        for row in (None, 0, 32)
    ]
    assert list(differences(same)) == []


@pytest.mark.parametrize(
    "planted, said",
    [
        (
            ((12, 5), (41, 9), (3, 21)),
            "token 1 is 41 at encoder frame 9, but 40 at encoder frame 9 in native, int8, one.flac "
            "alone",
        ),
        (
            ((12, 5), (40, 9), (3, 22)),
            "token 2 is 3 at encoder frame 22, but 3 at encoder frame 21 in native, int8, one.flac "
            "alone",
        ),
        (
            ((12, 5), (40, 9)),
            "token 2 is missing, but 3 at encoder frame 21 in native, int8, one.flac alone",
        ),
        (
            (*HEARD, (7, 30)),
            "token 3 is 7 at encoder frame 30, but missing in native, int8, one.flac alone",
        ),
    ],
    ids=["another token", "another frame", "one less", "one more"],
)
def test_a_planted_difference_names_machine_backend_recording_and_place(
    planted: Tokens, said: str
) -> None:
    transcripts = [
        transcript("native", "int8"),
        transcript("native", "int8", row=7),
        transcript("haswell", "int8"),
        transcript("haswell", "int8", planted, row=7),
    ]
    (difference,) = differences(transcripts)
    assert str(difference) == f"haswell, int8, one.flac in row 7 of a batch: {said}"


def test_a_row_that_differs_from_the_recording_alone_is_found_on_one_machine() -> None:
    (difference,) = differences(
        [transcript("native", "onnx"), transcript("native", "onnx", HEARD[:1], row=32)]
    )
    assert difference.got.row == 32


@pytest.mark.parametrize("pair", [("numpy", "onnx"), ("integer", "integer-onnx")])
def test_backends_of_one_arithmetic_are_compared_with_each_other(pair: tuple[str, str]) -> None:
    one, other = pair
    assert list(differences([transcript("native", one), transcript("native", other, HEARD[1:])]))


def test_arithmetics_that_round_in_other_ways_are_not_compared() -> None:
    kinds = [transcript("native", name, ((n, n),)) for n, name in enumerate(("onnx", "int8"))]
    assert list(differences(kinds)) == []


def test_recordings_are_not_mixed_up() -> None:
    other = Transcript("native", "onnx", "two.flac", None, HEARD[1:])
    assert list(differences([transcript("native", "onnx"), other])) == []
