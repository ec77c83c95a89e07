"""Whether the account can afford an order, and what the order would do to it."""

from __future__ import annotations

from decimal import Decimal

from ibstream.contracts.orders import Side
from ibstream.simulation import impact, rules
from ibstream.simulation.account import ZERO, AccountValues, SimulatedAccount
from ibstream.simulation.headroom import Headroom
from ibstream.simulation.orders import Ticket, WhatIf
from ibstream.simulation.triggers import LIMITED
from ibstream.simulation.view import MarketView


class Funds:
    """The account against the market."""

    def __init__(self, account: SimulatedAccount, view: MarketView) -> None:
        self._account = account
        self._view = view
        self._headroom = Headroom(account, view)

    def values(self, now_ns: int) -> AccountValues:
        """The account's figures, positions at the last trades of `now_ns`."""
        return self._account.values(lambda symbol: self._view.last(symbol, now_ns))

    def objection_to(self, ticket: Ticket, now_ns: int) -> rules.Objection | None:
        """Whether the available funds do not cover the order. A child, which closes what its parent opened, is let pass."""
        if ticket.parent_id is not None:
            return None
        needed = self._impact(ticket, now_ns).needed
        if needed <= 0 or self._headroom.covers(needed, now_ns):
            return None
        return rules.INSUFFICIENT_FUNDS if needed > max(self.values(now_ns).available_funds, ZERO) else None

    def what_if(self, ticket: Ticket, now_ns: int) -> WhatIf:
        """The account before and after the order."""
        objection = self.objection_to(ticket, now_ns)
        return impact.what_if(
            self.values(now_ns), self._impact(ticket, now_ns), "" if objection is None else objection.text
        )

    def _impact(self, ticket: Ticket, now_ns: int) -> impact.Impact:
        return impact.impact_of(
            self._account, self._deals(ticket, now_ns), lambda symbol: self._view.last(symbol, now_ns)
        )

    def _deals(self, ticket: Ticket, now_ns: int) -> list[impact.Deal]:
        """The fills of the order at its limit, or at the touch if it has none."""
        if ticket.legs:
            signs = [ticket.sign * (1 if leg.side == Side.BUY else -1) for leg in ticket.legs]
            return [
                impact.Deal(leg.symbol, sign * leg.ratio * ticket.quantity, self._touch(leg.symbol, sign, now_ns))
                for leg, sign in zip(ticket.legs, signs, strict=True)
            ]
        price = ticket.limit_price if ticket.order_type in LIMITED else None
        if price is None:
            price = self._touch(ticket.symbol, ticket.sign, now_ns)
        return [impact.Deal(ticket.symbol, ticket.sign * ticket.quantity, price)]

    def _touch(self, symbol: str, sign: int, now_ns: int) -> Decimal:
        return self._view.top_of(symbol, now_ns).touch(Side.BUY if sign > 0 else Side.SELL)
