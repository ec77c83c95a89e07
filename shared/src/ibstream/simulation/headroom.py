"""Whether an order is so small for the account that not every position has to be valued to see it.

Valuing all positions for each order would make an order cost as much as the account is wide. Most orders need a small part of
the available funds: for those it is enough to know the funds roughly.
"""

from __future__ import annotations

from decimal import Decimal

from ibstream.simulation.account import ZERO, SimulatedAccount, free_value
from ibstream.simulation.view import MarketView

LOOK_INTERVAL_NS = 250_000_000
"""So old may the prices be at which positions are valued; a stock ticks about as often."""
_CERTAIN = 2
"""The funds must be so many times what is needed; between two looks no account loses half of what it has free."""


class Headroom:
    """The available funds by the last look at all prices, and by every fill since."""

    def __init__(self, account: SimulatedAccount, view: MarketView) -> None:
        self._account = account
        self._view = view
        self._looked_ns = 0
        self._generation = -1
        self._booked = 0
        self._parts: dict[str, Decimal] = {}
        self._sum = ZERO

    def covers(self, needed: Decimal, now_ns: int) -> bool:
        """Whether the available funds cover `needed`, USD, beyond doubt. Where they do not, value the account to know."""
        if self._is_outdated(now_ns):
            self._look(now_ns)
        else:
            for symbol in set(self._account.traded_since(self._booked)):
                self._value(symbol, now_ns)
        self._booked = self._account.booked
        cash = self._account.cash_in_usd(lambda symbol: self._view.last(symbol, now_ns))
        return _CERTAIN * needed <= cash + self._sum

    def _is_outdated(self, now_ns: int) -> bool:
        is_other_account = self._generation != self._account.generation
        return is_other_account or not 0 <= now_ns - self._looked_ns < LOOK_INTERVAL_NS

    def _look(self, now_ns: int) -> None:
        self._looked_ns, self._generation = now_ns, self._account.generation
        self._parts.clear()
        self._sum = ZERO
        for symbol, position in self._account.positions.items():
            if position.quantity:
                self._value(symbol, now_ns)

    def _value(self, symbol: str, now_ns: int) -> None:
        free = free_value(self._account.position(symbol), lambda one: self._view.last(one, now_ns))
        self._sum += free - self._parts.get(symbol, ZERO)
        self._parts[symbol] = free
