"""The working orders of one account, found by id, instrument, family, group and time. It decides nothing."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import TypeVar

from ibstream.simulation.orders import OrderId, Ticket, WorkingOrder

_Key = TypeVar("_Key")


def book_key(ticket: Ticket) -> str:
    """Under what orders for the same thing are kept: the instrument's key, or for a combo its legs."""
    if not ticket.legs:
        return ticket.symbol
    return "|".join(f"{leg.side} {leg.ratio} {leg.symbol}" for leg in ticket.legs)


def group_of(ticket: Ticket) -> str:
    """The one-cancels-all group of an order; empty for none. Children of one parent are one without being told."""
    if ticket.oca_group:
        return f"oca:{ticket.oca_group}"
    return "" if ticket.parent_id is None else f"parent:{ticket.parent_id}"


class OrderBook:
    """Orders by id, oldest first, with what is needed to find them again."""

    def __init__(self) -> None:
        self._orders: dict[OrderId, WorkingOrder] = {}
        self._by_key: dict[str, dict[OrderId, None]] = {}
        self._by_group: dict[str, dict[OrderId, None]] = {}
        self._by_parent: dict[OrderId, dict[OrderId, None]] = {}
        self._due: list[tuple[int, int, OrderId]] = []
        self._due_of: dict[OrderId, int] = {}
        self.changed: set[str] = set()
        """Book keys whose orders changed; whoever watches them empties it."""

    def __len__(self) -> int:
        return len(self._orders)

    def __iter__(self) -> Iterator[WorkingOrder]:
        return iter(self._orders.values())

    def __contains__(self, order_id: object) -> bool:
        return order_id in self._orders

    def get(self, order_id: OrderId) -> WorkingOrder | None:
        """The order as it stands."""
        return self._orders.get(order_id)

    def put(self, order: WorkingOrder) -> None:
        """Add an order, or what has become of one. Its id, instrument, group and parent never change."""
        ticket = order.ticket
        if ticket.order_id not in self._orders:
            self._link(ticket)
        self._orders[ticket.order_id] = order
        self.changed.add(book_key(ticket))
        self._schedule(order, -1)

    def remove(self, order_id: OrderId) -> WorkingOrder:
        """Take an order out. Raises `KeyError` if it is not there."""
        order = self._orders.pop(order_id)
        ticket = order.ticket
        self._due_of.pop(order_id, None)
        self.changed.add(book_key(ticket))
        _unlink(self._by_key, book_key(ticket), order_id)
        _unlink(self._by_group, group_of(ticket), order_id)
        if ticket.parent_id is not None:
            _unlink(self._by_parent, ticket.parent_id, order_id)
        return order

    def instruments(self) -> tuple[str, ...]:
        """The book keys that have orders."""
        return tuple(self._by_key)

    def of(self, key: str) -> list[WorkingOrder]:
        """The orders under one book key, oldest first."""
        return [self._orders[one] for one in self._by_key.get(key, ())]

    def first(self, key: str) -> WorkingOrder:
        """The oldest order under one book key. Raises `KeyError` if there is none."""
        return self._orders[next(iter(self._by_key[key]))]

    def others_of_group(self, ticket: Ticket) -> list[WorkingOrder]:
        """The other orders of the group of `ticket`, oldest first."""
        group = group_of(ticket)
        members = self._by_group.get(group, {}) if group else {}
        return [self._orders[one] for one in members if one != ticket.order_id]

    def children(self, order_id: OrderId) -> list[WorkingOrder]:
        """The orders whose parent this is, oldest first."""
        return [self._orders[one] for one in self._by_parent.get(order_id, ())]

    def take_due(self, now_ns: int) -> list[WorkingOrder]:
        """The orders for which a time has come, oldest first; each is given once per time."""
        found: dict[OrderId, WorkingOrder] = {}
        while self._due and self._due[0][0] <= now_ns:
            due_ns, _, order_id = heapq.heappop(self._due)
            if self._due_of.get(order_id) == due_ns:
                del self._due_of[order_id]
                found[order_id] = self._orders[order_id]
                self._schedule(found[order_id], now_ns)
        return sorted(found.values(), key=lambda order: order.number)

    def _schedule(self, order: WorkingOrder, after_ns: int) -> None:
        """Be told of the order's next time after `after_ns`, unless an earlier one is awaited."""
        times = [one for one in _times(order) if one is not None and one > after_ns]
        order_id = order.ticket.order_id
        known = self._due_of.get(order_id)
        if times and (known is None or min(times) < known):
            self._due_of[order_id] = min(times)
            heapq.heappush(self._due, (min(times), order.number, order_id))

    def _link(self, ticket: Ticket) -> None:
        self._by_key.setdefault(book_key(ticket), {})[ticket.order_id] = None
        if group_of(ticket):
            self._by_group.setdefault(group_of(ticket), {})[ticket.order_id] = None
        if ticket.parent_id is not None:
            self._by_parent.setdefault(ticket.parent_id, {})[ticket.order_id] = None


def _times(order: WorkingOrder) -> tuple[int | None, ...]:
    return order.hold_until_ns, order.expires_ns, order.pauses_ns


def _unlink(index: dict[_Key, dict[OrderId, None]], key: _Key, order_id: OrderId) -> None:
    members = index.get(key)
    if members is not None:
        members.pop(order_id, None)
        if not members:
            del index[key]
