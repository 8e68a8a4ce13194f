"""What a package index shows: README.md with links that lead to the repository instead of files beside it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r'(\]\(|(?:src|srcset|href)=")(?!https?:|#)([^)"]+)')


class Readme(MetadataHookInterface):
    """Set `readme`, which pyproject.toml calls dynamic."""

    def update(self, metadata: dict[str, Any]) -> None:
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": absolute(text, metadata["urls"]["Repository"]),
        }


def absolute(text: str, repository: str) -> str:
    """Return Markdown whose relative links and pictures are those of a repository's main branch."""

    def link(found: re.Match[str]) -> str:
        view = "raw" if found[2].endswith((".svg", ".png")) else "blob"
        return f"{found[1]}{repository}/{view}/main/{found[2]}"

    return LINK.sub(link, text)
