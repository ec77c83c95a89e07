"""How the types in the annotations of messages lie on the wire: the one place from which reading and writing are derived.

An `int`, `str`, `bool` or `Number` is one field; `X | None` is empty, or one of the largest numbers, where it is unset. A
tuple is its length and its items, a Struct is its fields one after the other. `Annotated` adds what a type cannot say alone:

Since         the field is there only from a server version on
UnsetAs       how None is written
Combination   the legs are there only if the contract before them is a combination
Flagged       the Struct is there only if the flag before it says so
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from ibstream_gateway_emulator.protocol.fields import ITEMS_MAX, Contract, Cursor, Number, Pen

Read = Callable[[Cursor], Any]
Write = Callable[[Pen, Any], None]
T = TypeVar("T", bound=msgspec.Struct)


class Since(msgspec.Struct, frozen=True):
    """The field is there from this server version on."""

    version: int


class UnsetAs(msgspec.Struct, frozen=True):
    """None is written as this text."""

    text: str


class Combination(msgspec.Struct, frozen=True):
    """The list is there only after a contract that is a combination."""


class Flagged(msgspec.Struct, frozen=True):
    """A flag says whether the Struct follows; without it the value is None."""


class Kind(msgspec.Struct, frozen=True):
    """How one annotated type is read and written."""

    read: Read
    write: Write
    since: int = 0
    """The first server version that has it."""


class Place(msgspec.Struct, frozen=True):
    """One field of a Struct."""

    name: str
    kind: Kind
    default: Any = msgspec.NODEFAULT


def _put_nothing(_pen: Pen, _value: Any) -> None:
    pass


def _write_contract(pen: Pen, contract: Contract) -> None:
    pen.contract = contract
    for value in msgspec.structs.astuple(contract):
        pen.put(value)


def _write_integer(pen: Pen, value: int) -> None:
    # Spares `Pen.put` its questions: most fields of most messages are numbers like this.
    pen.fields.append(str(int(value)))


_SINGLE: dict[Any, Kind] = {
    int: Kind(Cursor.integer, _write_integer),
    str: Kind(Cursor.text, Pen.put),
    bool: Kind(Cursor.flag, Pen.put),
    Decimal: Kind(Cursor.number, Pen.put),
    Number: Kind(Cursor.number, Pen.put),
    Contract: Kind(Cursor.twelve, _write_contract),
}
_OPTIONAL: dict[Any, Read] = {int: Cursor.optional_integer, Decimal: Cursor.decimal, Number: Cursor.decimal}


@cache
def places(struct: type[msgspec.Struct]) -> tuple[Place, ...]:
    """The fields of a Struct in wire order."""
    hints = get_type_hints(struct, include_extras=True)
    return tuple(
        Place(field.name, kind_of(hints[field.name]), field.default) for field in msgspec.structs.fields(struct)
    )


def read_struct(struct: type[T], cursor: Cursor, *, is_tolerant: bool = False) -> T:
    """A Struct from its fields. Where `is_tolerant`, fields missing at the end take their defaults, as in older versions."""
    values: dict[str, Any] = {}
    for place in places(struct):
        if cursor.server_version < place.kind.since:
            continue
        if is_tolerant and not cursor.left and place.default is not msgspec.NODEFAULT:
            continue
        values[place.name] = place.kind.read(cursor)
    return struct(**values)


def write_struct(pen: Pen, value: msgspec.Struct) -> None:
    """The fields of a Struct."""
    writers = _writers(type(value), pen.server_version)
    for write, field in zip(writers, msgspec.structs.astuple(value), strict=True):
        write(pen, field)


@cache
def _writers(struct: type[msgspec.Struct], server_version: int) -> tuple[Write, ...]:
    """What writes each field of a Struct; the fields that the version has not got are written by nothing."""
    kinds = [place.kind for place in places(struct)]
    return tuple(kind.write if server_version >= kind.since else _put_nothing for kind in kinds)


def kind_of(hint: Any) -> Kind:
    """How an annotated type lies on the wire. Raises `TypeError` for one that has no place there."""
    if hint in _SINGLE:
        return _SINGLE[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _marked(arguments[0], arguments[1:])
    if origin in (Union, UnionType) and NoneType in arguments:
        return _optional(Union[tuple(one for one in arguments if one is not NoneType)])  # noqa: UP007 - computed
    if origin is tuple and arguments[1:] == (...,):
        return list_of(kind_of(arguments[0]))
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return Kind(lambda cursor: read_struct(hint, cursor), write_struct)
    raise TypeError(f"{hint!r} has no form on the wire")


def _optional(hint: Any) -> Kind:
    read = _OPTIONAL.get(hint)
    if read is None:
        raise TypeError(f"{hint!r} | None has no form on the wire")
    return Kind(read, Pen.put)


def _marked(hint: Any, marks: tuple[Any, ...]) -> Kind:
    flagged = any(isinstance(mark, Flagged) for mark in marks)
    kind = _flagged(hint) if flagged else kind_of(hint)
    for mark in marks:
        match mark:
            case Since(version):
                kind = msgspec.structs.replace(kind, since=version)
            case UnsetAs(text):
                kind = msgspec.structs.replace(kind, write=_unset_as(text))
            case Combination():
                kind = _after_combination(kind)
    return kind


def _unset_as(text: str) -> Write:
    def write(pen: Pen, value: Any) -> None:
        pen.put(text if value is None else value)

    return write


def _flagged(hint: Any) -> Kind:
    (struct,) = (one for one in get_args(hint) if one is not NoneType)

    def read(cursor: Cursor) -> Any:
        return read_struct(struct, cursor) if cursor.flag() else None

    def write(pen: Pen, value: Any) -> None:
        pen.put(value is not None)
        if value is not None:
            write_struct(pen, value)

    return Kind(read, write)


def list_of(item: Kind, items_max: int = ITEMS_MAX) -> Kind:
    """A list: its length, at most `items_max`, then its items."""

    def read(cursor: Cursor) -> Any:
        return tuple([item.read(cursor) for _ in range(cursor.count(items_max))])

    def write(pen: Pen, values: Any) -> None:
        pen.put(len(values))
        for value in values:
            item.write(pen, value)

    return Kind(read, write)


def _after_combination(legs: Kind) -> Kind:
    def read(cursor: Cursor) -> Any:
        return legs.read(cursor) if cursor.contract.is_combination else ()

    def write(pen: Pen, values: Any) -> None:
        if pen.contract.is_combination:
            legs.write(pen, values)

    return Kind(read, write)
