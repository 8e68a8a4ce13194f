"""axe-core in a page: what it finds wrong for people who do not see, hear or point as others do.

The package axe-core-python brings axe-core 4.4; $RILL_AXE names the file of a newer one (axe.min.js).
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from tests.server.page.browser import Page


def find_axe() -> Path | None:
    """Return the script, None where there is none."""
    if given := os.environ.get("RILL_AXE"):
        return Path(given)
    found = importlib.util.find_spec("axe_core_python")
    return Path(found.origin).with_name("axe.min.js") if found and found.origin else None


async def axe_findings(page: Page) -> list[str]:
    """Return what axe-core finds in a page as it is now, a line for each element."""
    script = find_axe()
    assert script is not None
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(f"{script.read_text()};0")
    found: list[str] = await page.evaluate(
        """axe.run().then(({violations}) => violations.flatMap(({id, nodes}) =>
            nodes.map(({target, failureSummary}) => `${id}: ${target}: ${failureSummary}`)))"""
    )
    return found
