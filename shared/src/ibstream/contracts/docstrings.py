"""The docstrings under fields and enum members, which Python forgets: read from the source for the published schemas."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from enum import Enum
from itertools import pairwise
from textwrap import dedent
from typing import Any

import msgspec

from ibstream.contracts.vocabulary import VOCABULARY

PACKAGE = __name__.partition(".")[0]


def documented(kind: type) -> dict[str, str]:
    """Name of each field or member that is followed by a docstring → that docstring, inherited ones included.

    Raises `OSError` where the source is not at hand.
    """
    ours = [base for base in reversed(kind.__mro__) if base.__module__.partition(".")[0] == PACKAGE]
    return {name: text for base in ours for name, text in _own(base)}


def described(definitions: dict[str, Any], kinds: list[type]) -> dict[str, Any]:
    """`definitions`, JSON Schemas by class name, with what stands under the fields and members of `kinds` and all they hold.

    What stands under a field says more than its type does, and takes the place of the type's description. A field that has
    neither is described by `VOCABULARY`.
    """
    classes = {kind.__name__: kind for kind in _held(kinds)}
    return {name: _with(schema, classes[name]) for name, schema in definitions.items()}


def _own(kind: type) -> Iterator[tuple[str, str]]:
    (declared,) = ast.parse(dedent(inspect.getsource(kind))).body
    assert isinstance(declared, ast.ClassDef)  # noqa: S101 - it is the source of a class
    for field, below in pairwise(declared.body):
        target = field.targets[0] if isinstance(field, ast.Assign) else getattr(field, "target", None)
        text = below.value if isinstance(below, ast.Expr) else None
        if isinstance(target, ast.Name) and isinstance(text, ast.Constant) and isinstance(text.value, str):
            yield target.id, inspect.cleandoc(text.value)


def _held(kinds: list[type]) -> set[type]:
    """`kinds` and every Struct and Enum that their fields can hold, however deep."""
    found: set[type] = set()
    waiting: list[Any] = [msgspec.inspect.type_info(kind) for kind in kinds]
    while waiting:
        match waiting.pop():
            case msgspec.inspect.StructType(cls=kind, fields=fields) if kind not in found:
                found.add(kind)
                waiting += [field.type for field in fields]
            case msgspec.inspect.EnumType(cls=kind):
                found.add(kind)
            case msgspec.inspect.Metadata(type=inner) | msgspec.inspect.VarTupleType(item_type=inner):
                waiting.append(inner)
            case msgspec.inspect.ListType(item_type=inner) | msgspec.inspect.DictType(value_type=inner):
                waiting.append(inner)
            case msgspec.inspect.UnionType(types=several):
                waiting += several
    return found


def _with(schema: dict[str, Any], kind: type) -> dict[str, Any]:
    texts = documented(kind)
    if issubclass(kind, Enum):
        lines = [
            f"- `{member.value}`: {' '.join(texts[member.name].split())}" for member in kind if member.name in texts
        ]
        about = [schema["description"], *(["\n".join(lines)] if lines else [])]
        return {**schema, "description": "\n\n".join(about)}
    if "prefixItems" in schema:
        names = inspect.get_annotations(kind)  # the columns, in their order
        columns = zip(names, schema["prefixItems"], strict=True)
        return {**schema, "prefixItems": [_field(column, name, texts) for name, column in columns]}
    return {**schema, "properties": {name: _field(one, name, texts) for name, one in schema["properties"].items()}}


def _field(schema: dict[str, Any], name: str, texts: dict[str, str]) -> dict[str, Any]:
    text = texts.get(name) or (None if _says_what_it_is(schema) else VOCABULARY.get(name))
    return schema if text is None else {"description": text, **{k: v for k, v in schema.items() if k != "description"}}


def _says_what_it_is(schema: dict[str, Any]) -> bool:
    """By its type: one that has a description of its own, or is described where it is defined."""
    return "description" in schema or "$ref" in schema or any(map(_says_what_it_is, schema.get("anyOf", [])))
