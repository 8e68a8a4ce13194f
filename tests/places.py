"""Where tests find things in the repository."""

from __future__ import annotations

from pathlib import Path

__all__ = ["REPOSITORY", "VECTORS"]

REPOSITORY = Path(__file__).resolve().parent.parent
VECTORS = REPOSITORY / "tests" / "vectors"
