"""python -m tests.server.page.screenshots [FOLDER]: pictures of the live page.

Without a folder docs/images/page.png; else FOLDER/STATE-WIDTH-SCHEME.png for each state (idle, live, done,
fault), width and scheme, to be looked at. The server runs the bundled model, and the microphone plays
bundled recordings.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import soundfile

from server.demo import running_server
from stream.audio import read_audio
from stream.bundled import recordings
from tests.places import REPOSITORY
from tests.server.page.browser import Browser, Page, browsing, find_chromium, running_chromium

SIZES = [(320, 640), (390, 844), (740, 360), (1280, 800), (2560, 1440)]
PAUSE_SECONDS = 1.5  # between what the microphone hears: each recording is an utterance
PICTURE = REPOSITORY / "docs" / "images" / "page.png"


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.server.page.screenshots",
        description="Write screenshots of the live page.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "folder", type=Path, nargs="?", help="folder to write (default: docs/images/page.png alone)"
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
    program = find_chromium()
    if program is None:
        raise SystemExit("needs Chromium: apt install chromium")
    with tempfile.TemporaryDirectory() as folder:
        spoken = Path(folder) / "spoken.wav"
        pause = np.zeros(int(16000 * PAUSE_SECONDS), np.float32)
        audio = [part for each in recordings()[:6] for part in (read_audio(each.audio), pause)]
        soundfile.write(spoken, np.concatenate(audio), 16000, subtype="PCM_16")
        flags = [
            "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-audio-capture={spoken}",
        ]
        with (
            running_server("--slots", "2") as url,
            running_chromium(program, Path(folder) / "profile", *flags) as devtools,
        ):
            page = f"http://{urlsplit(url).netloc}/"
            asyncio.run(_visit(devtools, page, arguments.folder))
    return 0


async def _visit(devtools: str, address: str, folder: Path | None) -> None:
    async with browsing(devtools) as browser:
        async with browser.page(address) as page:
            await page.until("!document.querySelector('#knows').hidden")
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
                await _shoot(page, folder, "idle")
            await page.prefer("light", motion="reduce")
            await page.click("#microphone")
            await page.until("document.querySelectorAll('#transcript p').length > 2")
            await page.until(
                "document.querySelectorAll('#transcript p:last-child .word').length > 4"
            )
            if folder is None:
                await page.screenshot(PICTURE)
                return
            await _shoot(page, folder, "live")
            await page.click("#microphone")
            await page.until("document.body.dataset.state === 'idle'")
            await page.point(".word:nth-of-type(3)")
            await _shoot(page, folder, "done")
        await _show_fault(browser, address, folder)


async def _show_fault(browser: Browser, address: str, folder: Path) -> None:
    async with browser.page(address, microphone="denied") as page:
        await page.until("!document.querySelector('#knows').hidden")
        await page.click("#microphone")
        await page.until("!document.querySelector('#fault').hidden")
        await _shoot(page, folder, "fault")


async def _shoot(page: Page, folder: Path, state: str) -> None:
    for width, height in SIZES:
        await page.resize(width, height, phone=width < 800)
        for scheme in ("light", "dark"):
            await page.prefer(scheme)
            await asyncio.sleep(0.3)  # until it is drawn in its colours
            await page.screenshot(folder / f"{state}-{width}-{scheme}.png")
    await page.resize(1200, 800)
    await page.prefer("light")


if __name__ == "__main__":
    raise SystemExit(main())
