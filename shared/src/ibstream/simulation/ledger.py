"""Cash and positions as a sequence of fills makes them: no prices, no margins, no time."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from ibstream.simulation.terms import BASE_CURRENCY, FOREX, Terms, terms_of

ZERO = Decimal(0)


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """What is held of one instrument."""

    symbol: str
    """Instrument key."""
    quantity: Decimal
    """Shares, contracts or units of a pair's first currency; negative for a short position."""
    average_cost: Decimal
    """In the instrument's currency for one unit, multiplier and commissions included, as IBKR counts it; 0 for none."""
    realized_pnl: Decimal = ZERO
    """In the instrument's currency, gained by closing, commissions deducted, since the account was opened."""
    entry_value: Decimal = ZERO
    """What is held at the prices it was opened at, times the multiplier, without commissions; negative for a short position."""


class Booking(msgspec.Struct, frozen=True, kw_only=True):
    """One fill as the ledger takes it."""

    symbol: str
    quantity: Decimal
    """Negative for a sale."""
    price: Decimal
    commission: Decimal
    """USD."""
    rate: Decimal = Decimal(1)
    """USD for one unit of the instrument's currency when it was filled."""


class Ledger:
    """Balances by currency and positions by instrument key."""

    def __init__(self, balances: Mapping[str, Decimal], positions: Mapping[str, Position] | None = None) -> None:
        self.balances = dict(balances)
        self.positions: dict[str, Position] = dict(positions or {})

    def copy(self) -> Ledger:
        """Another ledger that stands where this one stands."""
        return Ledger(self.balances, self.positions)

    def position(self, symbol: str) -> Position:
        """What is held of `symbol`, with quantity 0 if nothing ever was."""
        return self.positions.get(symbol) or Position(symbol=symbol, quantity=ZERO, average_cost=ZERO)

    def add(self, currency: str, amount: Decimal) -> None:
        """Move a balance."""
        self.balances[currency] = self.balances.get(currency, ZERO) + amount

    def apply(self, booking: Booking) -> Decimal | None:
        """Book a fill. Returns the profit it realized, in the instrument's currency; None if it closed nothing."""
        terms, held = terms_of(booking.symbol), self.position(booking.symbol)
        realized = _realized(held, booking, terms)
        after = Position(
            symbol=held.symbol,
            quantity=held.quantity + booking.quantity,
            average_cost=_average_cost(held, booking, terms),
            realized_pnl=held.realized_pnl + (realized or ZERO),
            entry_value=_entry_value(held, booking, terms),
        )
        self.positions[booking.symbol] = after
        self._settle(booking, terms, after.entry_value - held.entry_value)
        return realized

    def _settle(self, booking: Booking, terms: Terms, entered: Decimal) -> None:
        paid = booking.quantity * booking.price * terms.multiplier
        # A future costs nothing to hold: only what its price has moved since it was opened changes hands.
        self.add(terms.currency, entered - paid if terms.is_settled_daily else -paid)
        self.add(BASE_CURRENCY, -booking.commission)
        if terms.security_type == FOREX:
            self.add(booking.symbol[:3], booking.quantity)


def closed_by(held: Decimal, quantity: Decimal) -> Decimal:
    """The part of a fill, with its sign, that closes what is held."""
    if held * quantity >= 0:
        return ZERO
    return quantity if abs(quantity) <= abs(held) else -held


def _realized(held: Position, booking: Booking, terms: Terms) -> Decimal | None:
    closed = closed_by(held.quantity, booking.quantity)
    if not closed:
        return None
    # The commission of a fill that closes and opens is split by units.
    commission = booking.commission / booking.rate * abs(closed) / abs(booking.quantity)
    return -closed * (booking.price * terms.multiplier - held.average_cost) - commission


def _average_cost(held: Position, booking: Booking, terms: Terms) -> Decimal:
    quantity = booking.quantity
    total = held.quantity + quantity
    if not total:
        return ZERO
    opened = quantity - closed_by(held.quantity, quantity)
    if not opened:
        return held.average_cost
    kept = held.quantity * held.average_cost if held.quantity * quantity >= 0 else ZERO
    commission = booking.commission / booking.rate * abs(opened) / abs(quantity)
    return (kept + opened * booking.price * terms.multiplier + commission) / total


def _entry_value(held: Position, booking: Booking, terms: Terms) -> Decimal:
    closed = closed_by(held.quantity, booking.quantity)
    left = held.quantity + closed
    kept = held.entry_value if not closed else held.entry_value * left / held.quantity if left else ZERO
    return kept + (booking.quantity - closed) * booking.price * terms.multiplier
