"""Cash and positions of one simulated margin account, and what they are worth."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice

import msgspec

from ibstream.simulation import margin
from ibstream.simulation.ledger import ZERO, Booking, Ledger, Position
from ibstream.simulation.margin import INITIAL_MARGIN, PriceOf
from ibstream.simulation.terms import BASE_CURRENCY, FOREX, FUTURE, OPTION, Terms, terms_of

__all__ = [
    "ZERO",
    "AccountValues",
    "Position",
    "SimulatedAccount",
    "free_value",
    "market_value",
    "unrealized_pnl",
    "usd_rate",
]

JOURNAL_KEPT = 100_000
"""Fills that can still be corrected; older ones are only in the balances."""
_QUOTED_IN_USD = frozenset({"AUD", "EUR", "GBP", "NZD"})
"""Currencies whose pair with the dollar is written with the dollar second."""


class AccountValues(msgspec.Struct, frozen=True, kw_only=True):
    """The account at one set of prices, all USD."""

    cash: Decimal
    """All balances together."""
    stock_value: Decimal
    """Long minus short market value of stocks and ETFs."""
    gross_position_value: Decimal
    """Long plus short market value of stocks, ETFs and options."""
    unrealized_pnl: Decimal
    realized_pnl: Decimal
    initial_margin: Decimal
    maintenance_margin: Decimal
    option_value: Decimal = ZERO
    """Long minus short market value of options."""
    futures_pnl: Decimal = ZERO
    """What open futures have moved since they were opened; it turns into cash when they are closed."""
    balances: dict[str, Decimal] = {}
    """Cash by currency, each in itself."""

    @property
    def net_liquidation(self) -> Decimal:
        """What the account is worth."""
        return self.cash + self.stock_value + self.option_value + self.futures_pnl

    @property
    def equity_with_loan(self) -> Decimal:
        """What can be borrowed against: options lend nothing."""
        return self.cash + self.stock_value + self.futures_pnl

    @property
    def available_funds(self) -> Decimal:
        """What new positions may bind."""
        return self.equity_with_loan - self.initial_margin

    @property
    def excess_liquidity(self) -> Decimal:
        """How far the account is from liquidation."""
        return self.equity_with_loan - self.maintenance_margin

    @property
    def buying_power(self) -> Decimal:
        """The value of stock that can still be bought."""
        return max(self.available_funds, ZERO) / INITIAL_MARGIN


def market_value(position: Position, price: Decimal) -> Decimal:
    """What a position is worth at `price`, in the instrument's currency; of a future and a pair its full value."""
    return position.quantity * price * terms_of(position.symbol).multiplier


def unrealized_pnl(position: Position, price: Decimal) -> Decimal:
    """What closing a position at `price` would gain before commissions, in the instrument's currency."""
    return market_value(position, price) - position.quantity * position.average_cost


def free_value(position: Position, price_of: PriceOf) -> Decimal:
    """What a position adds to the account's available funds beside its cash, USD; negative where it only binds some."""
    totals = _Totals(price_of)
    totals.add(position)
    return totals.stock_value + totals.futures_pnl - totals.initial


def usd_rate(currency: str, price_of: PriceOf) -> Decimal:
    """USD for one unit of `currency`, by the price of its pair with the dollar."""
    if currency == BASE_CURRENCY:
        return Decimal(1)
    if currency in _QUOTED_IN_USD:
        return price_of(f"{currency}.{BASE_CURRENCY}")
    return 1 / price_of(f"{BASE_CURRENCY}.{currency}")


class SimulatedAccount:
    """Applies fills to cash and positions. Prices come from outside as `price_of(key)`, in the instrument's currency.

    The fills are kept, so that one can be corrected: `booked` counts them, and `rebook` replaces one by its number.
    """

    def __init__(self, cash: Decimal = Decimal(1_000_000)) -> None:
        self._ledger = Ledger({BASE_CURRENCY: cash})
        self._opening = self._ledger.copy()
        self._journal: deque[Booking] = deque()
        self._folded = 0
        self.generation = 0
        """Counts how often the account was made anew, by a correction or a position to begin with."""

    @property
    def cash(self) -> Decimal:
        """The USD balance; negative when borrowed."""
        return self._ledger.balances[BASE_CURRENCY]

    @property
    def balances(self) -> dict[str, Decimal]:
        """Cash by currency."""
        return self._ledger.balances

    @property
    def positions(self) -> dict[str, Position]:
        """By instrument key. A closed position stays, with quantity 0, for its realized profit."""
        return self._ledger.positions

    @property
    def booked(self) -> int:
        """How many fills were applied: the number the next one gets."""
        return self._folded + len(self._journal)

    def traded_since(self, number: int) -> Iterator[str]:
        """The keys of what was filled since fill `number`, that one included, latest first."""
        fills = islice(reversed(self._journal), max(self.booked - number, 0))
        return (fill.symbol for fill in fills)

    def position(self, symbol: str) -> Position:
        """What is held of `symbol`, with quantity 0 if nothing ever was."""
        return self._ledger.position(symbol)

    def hold(self, symbol: str, quantity: Decimal, average_cost: Decimal) -> None:
        """Begin with a position that was never bought here: cash stays as it is. Replaces what is held of `symbol`.

        `average_cost` is for one unit or contract, multiplier included, as IBKR tells it.
        """
        preset = Position(
            symbol=symbol, quantity=quantity, average_cost=average_cost, entry_value=quantity * average_cost
        )
        self._fold(len(self._journal))
        self._opening.positions[symbol] = preset
        self.generation += 1
        self._ledger = self._opening.copy()

    def apply_fill(
        self, symbol: str, quantity: Decimal, price: Decimal, commission: Decimal, rate: Decimal = Decimal(1)
    ) -> Decimal | None:
        """Book a fill of `quantity` units, negative for a sale; `commission` in USD, `rate` USD per unit of its currency.

        Returns the profit it realized in the instrument's currency, None if it closed nothing.
        """
        booking = Booking(symbol=symbol, quantity=quantity, price=price, commission=commission, rate=rate)
        self._journal.append(booking)
        self._fold(len(self._journal) - JOURNAL_KEPT)
        return self._ledger.apply(booking)

    def is_kept(self, number: int) -> bool:
        """Whether the fill of this number can still be corrected."""
        return self._folded <= number < self.booked

    def rebook(self, number: int, quantity: Decimal, price: Decimal, commission: Decimal) -> list[Decimal | None]:
        """Put another quantity, price and commission in place of those of fill `number`, as if it had been so from the start.

        Returns what this fill, and each of all instruments after it, then realized. Raises `IndexError` if `is_kept` denies
        the number.
        """
        if not self.is_kept(number):
            raise IndexError(f"fill {number} is not kept any more")
        place = number - self._folded
        self._journal[place] = msgspec.structs.replace(
            self._journal[place], quantity=quantity, price=price, commission=commission
        )
        self._ledger = self._opening.copy()
        self.generation += 1
        realized = [self._ledger.apply(booking) for booking in self._journal]
        return realized[place:]

    def cash_in_usd(self, price_of: PriceOf) -> Decimal:
        """All balances together, at the rates that the prices of the pairs give."""
        return sum((amount * usd_rate(one, price_of) for one, amount in self.balances.items() if amount), ZERO)

    def values(self, price_of: PriceOf) -> AccountValues:
        """The account's figures at the prices that `price_of` gives."""
        totals = _Totals(price_of)
        for position in self.positions.values():
            totals.add(position)
        return AccountValues(
            cash=self.cash_in_usd(price_of),
            stock_value=totals.stock_value,
            gross_position_value=totals.gross,
            unrealized_pnl=totals.unrealized,
            realized_pnl=totals.realized,
            initial_margin=totals.initial,
            maintenance_margin=totals.maintenance,
            option_value=totals.option_value,
            futures_pnl=totals.futures_pnl,
            balances=dict(self.balances),
        )

    def _fold(self, count: int) -> None:
        """Move the oldest fills out of reach of corrections."""
        for _ in range(count):
            self._opening.apply(self._journal.popleft())
            self._folded += 1


class _Totals:
    """Sums over positions, in USD."""

    def __init__(self, price_of: PriceOf) -> None:
        self._price_of = price_of
        self.stock_value = self.option_value = self.futures_pnl = self.gross = ZERO
        self.unrealized = self.realized = self.initial = self.maintenance = ZERO

    def add(self, position: Position) -> None:
        terms = terms_of(position.symbol)
        rate = usd_rate(terms.currency, self._price_of)
        self.realized += position.realized_pnl * rate
        if not position.quantity:
            return
        price = self._price_of(position.symbol)
        self.unrealized += unrealized_pnl(position, price) * rate
        bound = margin.margin_of(terms, position.quantity, price, self._price_of)
        self.initial += bound.initial * rate
        self.maintenance += bound.maintenance * rate
        self._add_value(terms, position, market_value(position, price), rate)

    def _add_value(self, terms: Terms, position: Position, value: Decimal, rate: Decimal) -> None:
        if terms.security_type == FUTURE:
            self.futures_pnl += (value - position.entry_value) * rate
        elif terms.security_type == OPTION:
            self.option_value += value * rate
            self.gross += abs(value) * rate
        elif terms.security_type != FOREX:  # what a pair is worth is in the balances
            self.stock_value += value * rate
            self.gross += abs(value) * rate
