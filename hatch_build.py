"""What hatchling cannot know: the README for a package index, and where the bundled models go.

The links of the README lead to the repository instead of files beside it. The wheel has the models in `stream.bundled`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r'(\]\(|(?:src|srcset|href)=")(?!https?:|#)([^)"]+)')


MODELS = ("en-commands", "en-commands-conformer")  # NAMES of stream/bundled


class BundledModels(BuildHookInterface):
    """Put the models that are there into a wheel; an editable install finds them in the checkout."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "standard":
            for name in MODELS:
                if (model := Path(self.root) / "models" / name).is_dir():
                    build_data["force_include"][str(model)] = f"stream/bundled/{name}"


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
