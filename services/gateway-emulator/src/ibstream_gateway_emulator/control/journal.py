"""What happened: all that was heard, told, commanded and lost. Kept in bounds; what is dropped is counted."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Literal, NamedTuple

from ibstream_gateway_emulator.domain.bounds import keep_latest
from ibstream_gateway_emulator.faults.verb import Verb
from ibstream_gateway_emulator.protocol.messages import Message
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder

COMMANDS_MAX = 10_000
"""Commands that are remembered, the latest."""
LOST_ORDERS_MAX = 100_000
"""Lost orders that are remembered, the latest."""
TICKED_CLIENTS_MAX = 10_000
"""Clients whose ticks are counted, the latest to get any for the first time."""

Direction = Literal["in", "out"]


class Said(NamedTuple):
    """One message. `in` is from the client, with its fields as they came; `out` is to it."""

    number: int
    """Counts all messages from 1, so that a reader sees what was dropped and can ask for what is newer."""
    time_ns: int
    client_id: int
    direction: Direction
    content: tuple[str, ...] | Message
    server_version: int


class Commanded(NamedTuple):
    """One verb. `ended` marks the end of a state, by command or by time."""

    time_ns: int
    verb: Verb
    ended: bool = False


class LostOrder(NamedTuple):
    """An order that a client sent and that disappeared by command."""

    time_ns: int
    client_id: int
    order: PlaceOrder
    why: str
    """The fault's name: `lose_order`, `lose_link`, `restart`, `half_open`, `silent_after_handshake`; or `closed` or `reset`: it
    was on its way when the Gateway or the client cut the connection."""
    is_change: bool
    """Whether it was a change of an order that had been taken."""


class Journal:
    """`messages_max` bounds the messages that are kept, the latest; 0 keeps none."""

    def __init__(self, messages_max: int) -> None:
        self.messages: deque[Said] = deque(maxlen=messages_max)
        self.commands: deque[Commanded] = deque(maxlen=COMMANDS_MAX)
        self.lost_orders: deque[LostOrder] = deque(maxlen=LOST_ORDERS_MAX)
        self.orders_lost = 0
        """All lost orders so far."""
        self.messages_seen = 0
        """All messages so far, the ticks that are written ready-made excepted."""
        self.tick_bytes: dict[int, int] = {}
        """Bytes of such ticks, by client id; they are not kept."""

    @property
    def lost_orders_dropped(self) -> int:
        """Lost orders that are no longer kept."""
        return self.orders_lost - len(self.lost_orders)

    @property
    def messages_dropped(self) -> int:
        """Messages that are no longer kept."""
        return self.messages_seen - len(self.messages)

    def heard(self, time_ns: int, client_id: int, fields: tuple[str, ...], server_version: int) -> None:
        """A client said something."""
        self.messages_seen += 1
        self.messages.append(Said(self.messages_seen, time_ns, client_id, "in", fields, server_version))

    def told(self, time_ns: int, client_id: int, messages: Iterable[Message], server_version: int) -> None:
        """A client was told something."""
        for message in messages:
            self.messages_seen += 1
            self.messages.append(Said(self.messages_seen, time_ns, client_id, "out", message, server_version))

    def ticked(self, client_id: int, size: int) -> None:
        """A client was sent ready-made ticks."""
        self.tick_bytes[client_id] = self.tick_bytes.get(client_id, 0) + size
        keep_latest(self.tick_bytes, TICKED_CLIENTS_MAX)

    def commanded(self, time_ns: int, verb: Verb, *, ended: bool = False) -> None:
        """A verb was commanded, or its state has ended."""
        self.commands.append(Commanded(time_ns, verb, ended))

    def lost(self, time_ns: int, client_id: int, order: PlaceOrder, why: str, *, is_change: bool) -> None:
        """An order, or a change of one, disappeared by command."""
        self.orders_lost += 1
        self.lost_orders.append(LostOrder(time_ns, client_id, order, why, is_change))
