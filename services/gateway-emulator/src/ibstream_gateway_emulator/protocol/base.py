"""What the messages of both directions have in common, and the parts that several requests share."""

from __future__ import annotations

from functools import cache
from typing import Annotated, ClassVar, Self

import msgspec

from ibstream_gateway_emulator.protocol.fields import Cursor, Pen
from ibstream_gateway_emulator.protocol.framing import frame
from ibstream_gateway_emulator.protocol.kinds import Combination, Flagged, read_struct, write_struct


class Wired(msgspec.Struct, frozen=True):
    """A message as a Struct, its fields in wire order."""

    HEAD: ClassVar[tuple[int, ...]] = ()
    """What it begins with: its id and, where the layout has one, its version, which nobody looks at."""

    def write(self, pen: Pen) -> None:
        """Write the fields in wire order, without the head. Raises `FieldError` for what no field can hold."""
        write_struct(pen, self)


class Message(Wired, frozen=True):
    """Base of all messages to a client."""

    @classmethod
    def read(cls, cursor: Cursor) -> Message:
        """The message from behind its head; fields that older versions lack at its end take their defaults.

        Raises `FieldError` where a field cannot be read.
        """
        return read_struct(cls, cursor, is_tolerant=True)


class Request(Wired, frozen=True):
    """Base of all requests of a client."""

    @classmethod
    def read(cls, cursor: Cursor) -> Self:
        """The request from behind its head; fields at its end that have a default may be missing, and more may follow.

        Raises `FieldError` where another field is missing, or one cannot be read.
        """
        return read_struct(cls, cursor, is_tolerant=True)


def encode(message: Wired, server_version: int) -> bytes:
    """The frame of a message between peers that speak `server_version`. Raises `FieldError` for what no field can hold."""
    pen = Pen(server_version)
    pen.fields.extend(_head(message.HEAD))
    message.write(pen)
    return frame(pen.fields)


@cache
def _head(numbers: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(map(str, numbers))


class Leg(msgspec.Struct, frozen=True):
    """One leg of a combination, where only its identity matters."""

    con_id: int
    ratio: int
    action: str
    exchange: str


Legs = Annotated[tuple[Leg, ...], Combination()]
"""Present only after a contract that is a combination; preceded by their number."""


class DeltaNeutral(msgspec.Struct, frozen=True):
    """What is traded against a volatility order."""

    con_id: int
    delta: str
    price: str


Hedge = Annotated[DeltaNeutral | None, Flagged()]
"""A flag, and three fields if it is set."""
