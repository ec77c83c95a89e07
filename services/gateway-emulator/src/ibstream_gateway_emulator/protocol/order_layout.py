"""Layouts of the three messages that carry a whole order, as data that reader and writer walk alike.

A layout is a tuple of items. A `Field` is one attribute under its name in the API, with the type it has, the server versions
that have it, and what is written where nobody said anything. A `Group` is there only under a condition on the fields before
it. Lists are fields whose type counts its items. Read and written are dictionaries from names to values.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from ibstream_gateway_emulator.protocol.fields import Cursor, Pen, text_of
from ibstream_gateway_emulator.protocol.kinds import Kind, Write

Values = dict[str, Any]
_VERSION_MAX = 2**31


class Field(msgspec.Struct, frozen=True):
    """One attribute. Its server versions are `since` up to, and without, `until`."""

    name: str
    kind: Kind
    default: Any = None
    """The value that is written where there is none."""
    since: int = 0
    until: int = _VERSION_MAX

    def is_in(self, server_version: int) -> bool:
        """Whether this version has the field."""
        return self.since <= server_version < self.until


class Group(msgspec.Struct, frozen=True):
    """Items that are there only if `when` holds for the values before them."""

    when: Callable[[Values], bool]
    items: tuple[Field | Group, ...]


Layout = tuple[Field | Group, ...]


def read_layout(layout: Layout, cursor: Cursor, values: Values) -> None:
    """Add to `values` what the fields hold. Raises `FieldError` where a field is missing or cannot be read."""
    for item in layout:
        if isinstance(item, Group):
            if item.when(values):
                read_layout(item.items, cursor, values)
        elif item.is_in(cursor.server_version):
            values[item.name] = item.kind.read(cursor)


def write_layout(layout: Layout, pen: Pen, values: Values) -> None:
    """Write `values`, to which the defaults of what they lack are added. Raises `FieldError` for what no field can hold."""
    for item in layout:
        if isinstance(item, Group):
            if item.when(values):
                write_layout(item.items, pen, values)
        elif item.is_in(pen.server_version):
            item.kind.write(pen, values.setdefault(item.name, item.default))


def names(layout: Layout) -> frozenset[str]:
    """All names a layout may hold."""
    found: set[str] = set()
    for item in layout:
        found |= names(item.items) if isinstance(item, Group) else {item.name}
    return frozenset(found)


def _put(pen: Pen, value: Any) -> None:
    pen.put(value)


def _double(pen: Pen, value: Any) -> None:
    pen.put(value if value is None else _with_point(Decimal(value)))


def _with_point(value: Decimal) -> str:
    text = f"{value.normalize():f}" if value else "0"
    return text if "." in text else f"{text}.0"


def _maximum(text: str) -> Write:
    def write(pen: Pen, value: Any) -> None:
        pen.put(text if value is None else text_of(value))

    return write


def text(name: str, default: str = "", *, since: int = 0, until: int = _VERSION_MAX) -> Field:
    """A text."""
    return Field(name, Kind(Cursor.text, _put), default, since, until)


def flag(name: str, *, default: bool = False, since: int = 0) -> Field:
    """A flag."""
    return Field(name, Kind(Cursor.flag, _put), default, since)


def integer(name: str, default: int | None = None, *, unset: str = "", since: int = 0) -> Field:
    """A whole number of 32 bits; None is written as `unset`."""
    return Field(name, Kind(Cursor.optional_integer, _maximum(unset)), default, since)


def long(name: str, default: int = 0) -> Field:
    """A whole number of 64 bits."""
    return Field(name, Kind(Cursor.long, _put), default)


def number(name: str, default: str | None = None, *, unset: str = "", since: int = 0) -> Field:
    """A number, as exact as it was written; None is written as `unset`."""
    return Field(name, Kind(Cursor.decimal, _maximum(unset)), None if default is None else Decimal(default), since)


def double(name: str, default: str | None = None) -> Field:
    """A number that is written with a decimal point, as Gateways write prices."""
    return Field(name, Kind(Cursor.decimal, _double), None if default is None else Decimal(default))


def offset(name: str, default: str | None = None, *, since: int = 0) -> Field:
    """A number that may be infinite."""
    return Field(name, Kind(Cursor.offset, _put), None if default is None else Decimal(default), since)


def has(name: str) -> Callable[[Values], bool]:
    """Whether an attribute is set."""
    return lambda values: bool(values.get(name))


def is_type(*order_types: str) -> Callable[[Values], bool]:
    """Whether the order is of one of these types."""
    return lambda values: values.get("orderType") in order_types
