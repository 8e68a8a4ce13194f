"""The pictures of a live stream: every word appears when it came, in a picture that can be read without motion."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from stream.transcripts.transcript import TimedWord
from tests.documentation.live_picture import PAUSE, SCHEMES, Run, draw
from tests.places import REPOSITORY

RUN = Run(
    "a.flac",
    np.linspace(-1, 1, 32_000, dtype=np.float32),
    [TimedWord("four", 0.2, 0.5, 0.9), TimedWord("<two>", 1.0, 1.4, 0.9)],
    [0.6, 1.5],
)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_word_appears_when_it_came_and_is_there_without_motion(scheme: str) -> None:
    picture = draw(RUN, scheme)
    texts = [element.text for element in ElementTree.fromstring(picture).iter() if element.text]
    assert (
        texts.count("four") == texts.count("<two>") == 2
    )  # under its sound, and in the transcript
    period = 2.0 + PAUSE
    for number, at in enumerate(RUN.arrivals):
        assert f"@keyframes w{number}{{0%,{100 * at / period:.2f}%{{opacity:0}}" in picture
    assert "@media(prefers-reduced-motion:reduce)" in picture


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_picture_of_the_readme_was_drawn_by_the_script(scheme: str) -> None:
    picture = (REPOSITORY / "docs" / "images" / f"live-{scheme}.svg").read_text()
    assert re.search(
        r"<desc>python -m tests.documentation.live_picture, \d{4}-\d\d-\d\d</desc>", picture
    )
    assert len(picture) < 300_000
