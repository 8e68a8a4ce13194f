"""The page of a comparison in Chromium: for everybody, on any screen."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

from export.compare.clips import Clip
from export.compare.differences import Difference
from export.compare.findings import Comparison, Disagreement, Entry, Transcript
from export.compare.page import render
from export.compare.saturation import Saturation
from tests.server.page.axe import axe_findings, find_axe
from tests.server.page.browser import browsing, find_chromium, running_chromium

CHROMIUM = find_chromium()
STAGES = ("log-mel", "normalised", "encoder", "prediction", "logits")


def comparison() -> Comparison:
    """Return what a comparison of eight artefacts might have found."""
    entries = [
        Entry(
            label=f"model-{n}" if n else 'a<b "c"',
            artefact=f"models/{n}",
            description="hard activations, 2.63 M weights; onnx",
            wer=0.2 + n / 100,
            words=100,
            substitutions=12,
            deletions=7 + n,
            insertions=1,
            speed=100.0 + n,
            changed_words=n,
            tokens=200,
            different_tokens=n,
            different=n,
            divergences=[0.06 * k for k in range(n)],
            stages={stage: Difference(10.0 ** (n - k), 0.01 * k) for k, stage in enumerate(STAGES)},
            nodes=1000,
            flips=n,
            saturation=[Saturation(f"pre.{k}", 0.01, 0.2, 0.0) for k in range(4)],
        )
        for n in range(8)
    ]
    said = [
        Transcript(
            text="four two" if n % 2 else "four too",
            tokens=[(" four", 0.3), (" two" if n % 2 else " too", 0.6)],
            index=1 if n % 2 else None,
            frame=10 if n % 2 else None,
            seconds=0.6 if n % 2 else None,
        )
        for n in range(8)
    ]
    disagreements = [
        Disagreement(id=f"audio/{n}.flac", text="four two", duration=1.0, transcripts=said)
        for n in range(2)
    ]
    return Comparison(
        date="2026-11-29",
        machine="2 cores",
        manifest="dev.jsonl",
        recordings=50,
        seconds=120.0,
        artefacts=entries,
        disagreements=disagreements,
    )


def clip() -> Clip:
    outline = np.abs(np.sin(np.linspace(0, 8 * math.pi, 200))).astype(np.float32)
    return Clip(0.0, 1.0, b"RIFF", outline)


def test_every_picture_says_its_values() -> None:
    page = render(comparison(), {"audio/0.flac": clip()})
    pictures = re.findall(r"<svg[^>]*>", page)
    labels = re.findall(r'<svg[^>]* role="img" aria-label="([^"]+)"', page)
    assert len(labels) == len(pictures) == 8
    errors, speed, *_, strip, timeline = labels
    assert errors.startswith("a&lt;b &quot;c&quot;: substituted 12 %, deleted 7 %, inserted 1 %; ")
    assert "model-3: speed 103 ×" in speed
    assert "model-2: 0.00 s, 0.06 s; model-3" in strip
    assert "a&lt;b &quot;c&quot;: nowhere" not in strip  # the reference diverges from nothing
    assert timeline.startswith("a&lt;b &quot;c&quot;: four too; model-1: four two; ")


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium")
@pytest.mark.skipif(find_axe() is None, reason="needs axe-core-python")
async def test_everybody_can_read_it_on_any_screen(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(render(comparison(), {"audio/0.flac": clip()}), "utf-8")
    scrolls = "[...document.querySelectorAll('.overflows')].length"
    found = []
    assert CHROMIUM is not None
    with running_chromium(CHROMIUM, tmp_path / "profile") as devtools:
        async with browsing(devtools) as browser, browser.page(file.as_uri()) as page:
            for width, scheme, most in ((320, "light", 8), (1280, "light", 0), (1280, "dark", 0)):
                await page.prefer(scheme)
                await page.resize(width, 800)
                await page.until(f"{scrolls} > 0 === {str(most > 0).lower()}")
                wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
                found += [f"{width}: wider by {wide}"] if wide > 0 else []
                found += [f"{width}, {scheme}: {line}" for line in await axe_findings(page)]
    assert found == []
