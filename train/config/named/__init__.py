"""Configurations that ship with Rill and are asked for by name."""

from __future__ import annotations

from pathlib import Path

NAMED = {path.stem: path for path in sorted(Path(__file__).parent.glob("*.toml"))}
