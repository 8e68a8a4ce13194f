"""The live page in Chromium: a microphone that plays a recording, a dropped file, and what goes wrong.

With $RILL_SCREENSHOTS set to a folder, what the tests see is written there.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from stream.audio import read_audio
from stream.bundled import recordings
from stream.error_rate import word_error_rate
from tests.conftest import REPOSITORY
from tests.server.page.browser import Page, browsing, find_chromium, running_chromium

CHROMIUM = find_chromium()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium")
RECORDING = recordings()[0]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server of one slot, and the address of its page."""
    command = [sys.executable, "-m", "server", "--port", "0", "--slots", "1"]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        found = re.match(r"ws://(.+:\d+)/", process.stdout.readline())
        assert found is not None
        try:
            yield f"http://{found[1]}/"
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture(scope="module")
def devtools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Chromium, whose microphone plays the recording once and is silent then."""
    folder = tmp_path_factory.mktemp("chromium")
    spoken = folder / "spoken.wav"
    soundfile.write(spoken, read_audio(RECORDING.audio), 16000, subtype="PCM_16")
    assert CHROMIUM is not None
    with running_chromium(
        CHROMIUM,
        folder / "profile",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={spoken}%noloop",
        "--autoplay-policy=no-user-gesture-required",
    ) as address:
        yield address


async def look(page: Page, name: str) -> None:
    """Write a screenshot where one is asked for."""
    if folder := os.environ.get("RILL_SCREENSHOTS"):
        await page.screenshot(Path(folder) / f"{name}.png")


async def wait_idle(page: Page) -> None:
    await page.until("document.body.dataset.state === 'idle'")


def said(text: str) -> str:
    """Return a JavaScript condition: the transcript's words, headings aside, end with a text."""
    shown = "document.querySelector('#transcript').textContent.replace(/\\s+/g, ' ').trim()"
    return f"{shown}.endsWith({text!r})"


async def test_what_is_spoken_is_written(server: str, devtools: str) -> None:
    async with browsing(devtools) as browser, browser.page(server) as page:
        await wait_idle(page)
        await page.click("#microphone")
        await page.until("document.body.dataset.state === 'live'")
        await page.until("+document.querySelector('#meter').getAttribute('aria-valuenow') > 0.05")
        words = RECORDING.text.split()
        await page.until(
            f"document.querySelector('#transcript').textContent.includes({words[-2]!r})"
        )
        await page.until("document.querySelector('#heard').textContent >= '0:05'")
        await look(page, "microphone")
        await page.click("#microphone")
        await wait_idle(page)
        # A busy machine may drop some of a microphone's sound, never of a file's: see below.
        heard = (await page.text("#transcript")).split()[-len(words) :]
        assert word_error_rate([RECORDING.text], [" ".join(heard)]).wer <= 0.3
        assert re.fullmatch(r"[\d.]+ ms", await page.text("#cl50"))
        assert await page.text("#heard") != "0:00"
        assert page.errors == []


async def test_a_dropped_recording_is_transcribed(server: str, devtools: str) -> None:
    async with browsing(devtools) as browser, browser.page(server) as page:
        await wait_idle(page)
        await page.prefer("dark")
        await page.click("#paced")  # as fast as the server takes it
        await page.drop("#transcript", RECORDING.audio)
        await page.until(said(RECORDING.text))
        await wait_idle(page)
        await look(page, "dropped-dark")
        await page.prefer("light")
        await page.resize(390, 844, phone=True)
        await look(page, "phone")
        assert page.errors == []
        await page.click("#clear")
        assert await page.text("#transcript") == ""


async def test_a_microphone_that_is_refused_is_said(server: str, devtools: str) -> None:
    async with browsing(devtools) as browser, browser.page(server, microphone="denied") as page:
        await wait_idle(page)
        await page.click("#microphone")
        await page.until("!document.querySelector('#fault').hidden")
        assert "microphone" in (await page.text("#fault")).lower()
        await look(page, "refused")
        await wait_idle(page)


async def test_a_server_that_is_full_is_said(server: str, devtools: str) -> None:
    async with browsing(devtools) as browser, browser.page(server) as first:
        await wait_idle(first)
        await first.click("#microphone")
        await first.until("document.body.dataset.state === 'live'")
        async with browser.page(server) as second:
            await wait_idle(second)
            await second.drop("#transcript", RECORDING.audio)
            await second.until("!document.querySelector('#fault').hidden")
            assert "server is full" in await second.text("#fault")
            await wait_idle(second)
        await first.click("#microphone")
        await wait_idle(first)
