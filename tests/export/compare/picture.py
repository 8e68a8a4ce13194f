"""python -m tests.export.compare.picture MANIFEST: the page of docs/compare.md's example, as docs/images/compare.png.

Runs the bundled model in four arithmetics over 120 recordings of a manifest. The table that it prints is the example's.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from pathlib import Path

from export.compare.__main__ import main as compare
from tests.places import REPOSITORY
from tests.server.page.browser import browsing, find_chromium, running_chromium

PICTURE = REPOSITORY / "docs" / "images" / "compare.png"
WIDTH, HEIGHT = 1100, 1930  # pixels: down to the first recording
BACKENDS = ("", ":int8", ":integer", ":integer-onnx")
LIMIT = 120


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.export.compare.picture",
        description="Draw the comparison of docs/compare.md again.",
        allow_abbrev=False,
    )
    parser.add_argument("manifest", type=Path, help="the development set")
    manifest = parser.parse_args(argv).manifest.resolve()
    program = find_chromium()
    if program is None:
        raise SystemExit("needs Chromium: apt install chromium")
    os.chdir(REPOSITORY)
    artefacts = [f"models/en-commands{backend}" for backend in BACKENDS]
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        flags = ["--manifest", str(manifest), "--limit", str(LIMIT), "--output", str(page)]
        status = compare([*artefacts, *flags])
        if page.exists():
            asyncio.run(_draw(program, Path(folder) / "profile", page))
    return status


async def _draw(program: str, profile: Path, report: Path) -> None:
    with running_chromium(program, profile) as devtools:
        async with browsing(devtools) as browser, browser.page(report.as_uri()) as page:
            await page.prefer("light")
            await page.resize(WIDTH, HEIGHT)
            await page.screenshot(PICTURE)


if __name__ == "__main__":
    raise SystemExit(main())
