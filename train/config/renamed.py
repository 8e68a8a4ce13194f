"""Other names of keys that configurations may say.

data.normalise   what data.text was called before: files of users, and the configurations that runs and
                 checkpoints keep, say it
WARMUP_STEPS     Myrtle's name, as their scripts take it from the environment; here it is a key of a file,
                 or of --set
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any


def _same(value: Any) -> Any:
    return value


def _text(value: Any) -> Any:
    return "as-is" if value == "identity" else value


def _epochs(value: Any) -> Any:
    return f"{value} epochs" if isinstance(value, int) else value


def _several_epochs(value: Any) -> Any:
    words = value if isinstance(value, list) else str(value).split()
    return [f"{word} epochs" for word in words]


# Other name: key, and what its value is there.
NAMES: Mapping[str, tuple[str, Callable[[Any], Any]]] = MappingProxyType(
    {
        "data.normalise": ("data.text", _text),
        "LEARNING_RATE": ("optimiser.rate", _same),
        "MIN_LEARNING_RATE": ("optimiser.min_rate", _same),
        "WARMUP_STEPS": ("optimiser.warmup", _same),
        "HOLD_STEPS": ("optimiser.hold", _same),
        "HALF_LIFE_STEPS": ("optimiser.half_life", _same),
        "EPOCHS": ("epochs", _same),
        "TRAINING_STEPS": ("updates", _same),
        "SAVE_FREQUENCY": ("checkpoint_every", _epochs),
        "SAVE_MILESTONES": ("milestones", _several_epochs),
    }
)


def current(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration under the names that its keys have.

    Raises:
        ValueError: it has a key under two names.
    """
    renamed = _copy(tree)
    for name in NAMES:
        table, last = _table(renamed, name)
        if last not in table:
            continue
        key, value = current_item(name, table.pop(last))
        table, last = _table(renamed, key, make=True)
        if last in table:
            raise ValueError(f"{name} is another name of {key}: write one of them")
        table[last] = value
    return renamed


def current_item(key: str, value: Any) -> tuple[str, Any]:
    """Return the name that a key has, and its value there."""
    name, convert = NAMES.get(key, (key, _same))
    return name, convert(value)


def _copy(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _copy(v) if isinstance(v, Mapping) else v for k, v in tree.items()}


def _table(tree: dict[str, Any], key: str, *, make: bool = False) -> tuple[dict[str, Any], str]:
    """Return the table that a key is in, and its name there; without `make` perhaps an empty one."""
    *tables, last = key.split(".")
    for name in tables:
        inner = tree.setdefault(name, {}) if make else tree.get(name, {})
        tree = inner if isinstance(inner, dict) else {}
    return tree, last
