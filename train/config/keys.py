"""Keys of a configuration: which there are, what a wrong one may have meant."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias, Union, get_args, get_origin

import msgspec

from stream.encoders.family import Encoder
from stream.model.specification import Specification, families
from stream.prediction.family import Prediction
from train.config.run import Config

KeyPath: TypeAlias = tuple[str | int, ...]  # keys of tables, and places in lists


def dotted(path: KeyPath) -> str:
    """Return a path as it is written: data.train[0].weight."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


def flat(
    tree: Mapping[str, Any], separator: str = ".", prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    """Yield the values of nested tables with their paths, such as data.text; tuples as lists."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flat(value, separator, f"{prefix}{key}{separator}")
        else:
            yield f"{prefix}{key}", list(value) if isinstance(value, tuple) else value


def unknown(
    tree: dict[str, Any], kind: type[msgspec.Struct] = Config, path: KeyPath = ()
) -> Iterator[tuple[str, str]]:
    """Take unknown keys out of a table; yields each and what is said of it."""
    fields = _fields(kind)
    for key in list(tree):
        here = (*path, key)
        if key not in fields:
            del tree[key]
            yield dotted(here), f"unknown key {dotted(here) or repr(key)}{_meant(here, fields)}"
            continue
        value = tree[key]
        for number, each in enumerate(value) if isinstance(value, list) else [(None, value)]:
            inner = _struct(here, fields[key], each)
            if inner is not None and isinstance(each, dict):
                yield from unknown(each, inner, here if number is None else (*here, number))


def _struct(path: KeyPath, annotation: Any, table: Any) -> type[msgspec.Struct] | None:
    """Return the struct that a key's table, or a table in its list, is read into.

    Of several it is the one whose tag the table has.
    """
    if path == ("model",):
        return Specification
    kinds = [kind for kind in alternatives(annotation) if isinstance(kind, type)]
    structs = [
        kind for kind in kinds if issubclass(kind, msgspec.Struct) and kind.__struct_fields__
    ]
    if len(structs) == 1:
        return structs[0]
    tags = table if isinstance(table, dict) else {}
    tagged = (kind for kind in structs if tags.get(_config(kind).tag_field) == _config(kind).tag)
    return next(tagged, None)


def _config(kind: type[msgspec.Struct]) -> Any:
    return kind.__struct_config__


def alternatives(annotation: Any) -> Iterator[Any]:
    """Yield the types that a value, or an element of a tuple, may have."""
    if get_origin(annotation) in (Union, types.UnionType, tuple):
        for each in get_args(annotation):
            yield from alternatives(each)
    elif annotation in (Encoder, Prediction):
        yield from families(annotation).values()
    else:
        yield annotation


def _meant(path: KeyPath, fields: dict[str, Any]) -> str:
    """Return " (did you mean ...?)" where a key of the table, or of another table, is alike."""
    key = str(path[-1])
    if close := difflib.get_close_matches(key, fields, 1):
        return f" (did you mean {dotted((*path[:-1], close[0]))}?)"
    elsewhere = {name: name for name in _fields(Config)}
    for table, annotation in _fields(Config).items():
        if (inner := _struct((table,), annotation, None)) is not None:
            elsewhere = {name: f"{table}.{name}" for name in _fields(inner)} | elsewhere
    close = difflib.get_close_matches(key, elsewhere, 1, 0.8)
    return f" (did you mean {elsewhere[close[0]]}?)" if close else ""


def annotation_of(path: KeyPath, tree: Any) -> Any:
    """Return the type that a key of a tree has in the structs, or None where they do not know it."""
    kind: type[msgspec.Struct] | None = Config
    annotation: Any = None
    for depth, name in enumerate(path):
        tree = tree[name]
        if isinstance(name, str):
            annotation = None if kind is None else _fields(kind).get(name)
        kind = _struct(path[: depth + 1], annotation, tree)
    return annotation


def _fields(kind: type[msgspec.Struct]) -> dict[str, Any]:
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    tag = _config(kind).tag_field
    return fields if tag is None else {tag: str, **fields}
