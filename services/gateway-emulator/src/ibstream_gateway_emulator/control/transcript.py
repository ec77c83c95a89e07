"""What was said, as rows. Writing a message out costs; so an answer is bounded, and the Gateway goes on between its parts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.simulation.sessions import from_ns
from ibstream_gateway_emulator.control.journal import Direction, Said
from ibstream_gateway_emulator.control.views import MessageRow, Messages
from ibstream_gateway_emulator.gateway import Gateway
from ibstream_gateway_emulator.protocol.base import encode

T = TypeVar("T")

MESSAGES_AT_ONCE = 1_000
"""Messages told at once unless said otherwise."""
MESSAGES_AT_ONCE_MAX = 10_000
"""The most that are told at once, whatever is said."""
_LOOKED_AT, _WRITTEN = 5_000, 50
"""Messages looked at, and written out, before the Gateway has a turn: some milliseconds."""
_LENGTH_BYTES = 4
"""What a frame begins with."""


async def messages(
    gateway: Gateway,
    *,
    client_id: int | None = None,
    direction: Direction | None = None,
    name: str | None = None,
    after: int | None = None,
    limit: int = MESSAGES_AT_ONCE,
) -> Messages:
    """The messages that are kept; of one client, direction or name, where that is given.

    At most `limit`: the latest, or with `after` the first ones with a higher number, so that a reader can go on from there.
    """
    dropped, fitting = gateway.journal.messages_dropped, list[Said]()
    for looked_at in _parts(list(gateway.journal.messages), _LOOKED_AT):
        fitting += [
            one
            for one in looked_at
            if (after is None or one.number > after)
            and client_id in (None, one.client_id)
            and direction in (None, one.direction)
            and name in (None, _name(one))
        ]
        await SYSTEM_CLOCK.sleep(0)
    most = max(min(limit, MESSAGES_AT_ONCE_MAX), 0)
    chosen = fitting[:most] if after is not None else fitting[max(len(fitting) - most, 0) :]
    rows: list[MessageRow] = []
    for written in _parts(chosen, _WRITTEN):
        rows += map(_message, written)
        await SYSTEM_CLOCK.sleep(0)
    return Messages(messages=tuple(rows), dropped=dropped, left_out=len(fitting) - len(rows))


def _parts(whole: list[T], size: int) -> Iterator[list[T]]:
    return (whole[start : start + size] for start in range(0, len(whole), size))


def _message(one: Said) -> MessageRow:
    return MessageRow(
        number=one.number,
        time=from_ns(one.time_ns),
        client_id=one.client_id,
        direction=one.direction,
        name=_name(one),
        fields=_fields(one),
    )


def _name(one: Said) -> str:
    return one.content[0] if isinstance(one.content, tuple) else type(one.content).__name__


def _fields(one: Said) -> tuple[str, ...]:
    if isinstance(one.content, tuple):
        return one.content
    payload = encode(one.content, one.server_version)[_LENGTH_BYTES:]
    return tuple(payload.decode().split("\0")[:-1])
