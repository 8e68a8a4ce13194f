"""Keys of configurations that have another name now: the old ones are still read.

Files of users, and the configurations that runs and checkpoints keep, say `data.normalise`, which is
`data.text` now.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

__all__ = ["current", "current_item"]

# Key before: key now, and the values that have another name now.
RENAMED: Mapping[str, tuple[str, Mapping[str, str]]] = MappingProxyType(
    {"data.normalise": ("data.text", {"identity": "as-is"})}
)


def current(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a configuration with the present names of its keys.

    Raises:
        ValueError: it has a key under both of its names.
    """
    renamed: dict[str, Any] = {}
    for name, value in tree.items():
        key, value = current_item(prefix + name, value)
        if key != prefix + name and key.removeprefix(prefix) in tree:
            raise ValueError(f"{prefix}{name} is the old name of {key}: write one of them")
        renamed[key.removeprefix(prefix)] = (
            current(value, f"{key}.") if isinstance(value, Mapping) else value
        )
    return renamed


def current_item(key: str, value: Any) -> tuple[str, Any]:
    """Return the present name of a key, and of its value."""
    if key not in RENAMED:
        return key, value
    name, values = RENAMED[key]
    return name, values.get(value, value)
