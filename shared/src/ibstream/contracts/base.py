"""What every message is: a frozen, versioned Struct that travels as one stream entry.

An entry has two fields: `type`, the tag with its version (`orders.submit.v1`), and `data`, the message as JSON. Within a
version, fields are only ever added, with defaults. A reader peeks at `type` and skips what it does not know.

Patterns end in `$(?!\\n)`: Python's `$` alone would let a final line break through.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

UtcDatetime = Annotated[datetime, Meta(tz=True, description="ISO 8601 with offset; ibstream writes UTC")]
"""A point in time, aware. JSON: `2026-11-23T14:30:00Z`."""

TimeNs = Annotated[int, Meta(ge=0, description="nanoseconds since 1970-01-01 UTC")]
"""A point in time as an integer, where many of them travel."""

Text = Annotated[str, Meta(max_length=4096)]
"""A sentence for people."""

Symbol = Annotated[str, Meta(min_length=1, max_length=32, pattern=r"^[A-Z0-9][A-Z0-9.]*$(?!\n)")]
"""A symbol in canonical form: `AAPL`, `BRK.B` (IBKR writes `BRK B`)."""


class Side(StrEnum):
    """Which way."""

    BUY = "BUY"
    SELL = "SELL"


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Base of everything that travels on a stream or lies in a last-value key."""


M = TypeVar("M", bound=Message)


class ContractError(Exception):
    """Root of the failures to read a message."""


class UnknownTypeError(ContractError):
    """The `type` is not one this version knows. Skip it and count it: a newer writer may be about."""


class UndecodableError(ContractError):
    """The `data` is no valid message of its `type`. The text says where and why."""


def type_of(message: Message | type[Message]) -> str:
    """The tag with its version, as it stands in the entry's `type`."""
    tag = message.__struct_config__.tag
    assert isinstance(tag, str)  # noqa: S101 - every Message subclass is given its tag in words
    return tag


_encoder = msgspec.json.Encoder()


def encode(message: Message) -> bytes:
    """The message as JSON, its tag included, so that it explains itself wherever it is stored."""
    return _encoder.encode(message)


class Codec:
    """Decodes the messages of one stream: a table from tag to decoder, built once."""

    def __init__(self, *types: type[Message]) -> None:
        self._decoders = {type_of(kind).encode(): msgspec.json.Decoder(kind) for kind in types}

    def knows(self, tag: bytes) -> bool:
        """Whether `tag` is one of this stream's types."""
        return tag in self._decoders

    def decode(self, tag: bytes, data: bytes) -> Message:
        """The message in `data`.

        Raises `UnknownTypeError` for a tag not in the table and `UndecodableError` for data that does not fit it.
        """
        decoder = self._decoders.get(tag)
        if decoder is None:
            raise UnknownTypeError(tag.decode(errors="replace"))
        try:
            return decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UndecodableError(str(error)) from error
