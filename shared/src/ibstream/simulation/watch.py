"""Picks from the book the orders that a new tick may concern, and passes over all others."""

from __future__ import annotations

from ibstream.simulation.interest import Interest, joined
from ibstream.simulation.orderbook import OrderBook
from ibstream.simulation.orders import WorkingOrder
from ibstream.simulation.view import MarketView


class Watch:
    """Remembers per instrument which tick was seen last, and what the orders there wait for together."""

    def __init__(self, book: OrderBook, view: MarketView) -> None:
        self._book = book
        self._view = view
        self._interests: dict[str, Interest] = {}
        self._seen: dict[str, int] = {}

    def concerned(self, now_ns: int) -> list[WorkingOrder]:
        """The orders that have to be looked at, oldest first."""
        self._renew()
        found: list[WorkingOrder] = []
        for key in self._book.instruments():
            ticket, interest = self._book.first(key).ticket, self._interests[key]
            sequence = self._view.sequence(ticket, now_ns)
            if sequence == self._seen.get(key) and not interest.timed:
                continue
            self._seen[key] = sequence
            if interest.concerns(self._view.top(ticket, now_ns)):
                found += self._book.of(key)
        return sorted(found, key=lambda order: order.number)

    def _renew(self) -> None:
        for key in self._book.changed:
            orders = self._book.of(key)
            if orders:
                self._interests[key] = joined(orders)
            else:
                self._interests.pop(key, None)
                self._seen.pop(key, None)
        self._book.changed.clear()
