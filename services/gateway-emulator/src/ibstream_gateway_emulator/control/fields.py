"""The fields of the verbs as their source has them: types, defaults, and the words beneath."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from itertools import zip_longest
from typing import NamedTuple

import msgspec


class Field(NamedTuple):
    """One field of a Struct."""

    name: str
    type: str
    default: str | None
    """None for a field that must be given."""
    words: str
    """Its docstring in one line; empty if it has none."""


def fields_of(kind: type[msgspec.Struct]) -> Iterator[Field]:
    """All fields of a Struct, inherited ones first."""
    for owner in reversed(kind.__mro__):
        if issubclass(owner, msgspec.Struct) and owner is not msgspec.Struct:
            body = _definition(owner).body
            for node, after in zip_longest(body, body[1:]):
                if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                    default = None if node.value is None else _source(node.value)
                    yield Field(node.target.id, _source(node.annotation), default, _words(after))


def _definition(owner: type) -> ast.ClassDef:
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    assert isinstance(definition, ast.ClassDef)  # noqa: S101 - the source of a class
    return definition


def _source(node: ast.expr) -> str:
    return ast.unparse(node).replace("'", '"')


def _words(after: ast.stmt | None) -> str:
    match after:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return " ".join(text.split())
        case _:
            return ""
