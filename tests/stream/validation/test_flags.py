"""The flags of `rill validate` that other commands have too."""

from __future__ import annotations

import argparse

import pytest

from stream.validation.flags import padding_of


@pytest.mark.parametrize("seconds, samples", [("0", 0), ("0.4", 6400), ("5", 80_000)])
def test_a_flag_gives_seconds(seconds: str, samples: int) -> None:
    assert padding_of(seconds) == samples


@pytest.mark.parametrize("seconds", ["-1", "5.1", "nan", "much"])
def test_a_flag_that_is_no_length_is_refused(seconds: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=f"'{seconds}'; want 0 to 5 seconds"):
        padding_of(seconds)
