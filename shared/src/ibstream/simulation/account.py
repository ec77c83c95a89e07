"""Cash and positions of one simulated margin account."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec

ZERO = Decimal(0)
INITIAL_MARGIN = Decimal("0.5")
"""Share of a stock position's value that opening it binds: Regulation T, 12 CFR 220.12."""
MAINTENANCE_MARGIN = Decimal("0.25")
"""Share that holding it binds: FINRA Rule 4210."""


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """What is held of one symbol."""

    symbol: str
    quantity: Decimal
    """Shares, negative for a short position."""
    average_cost: Decimal
    """USD a share, commissions included, as IBKR counts it; 0 for no position."""
    realized_pnl: Decimal = ZERO
    """USD gained by closing, commissions deducted, since the account was opened."""


class AccountValues(msgspec.Struct, frozen=True, kw_only=True):
    """The account at one set of prices, all USD."""

    cash: Decimal
    stock_value: Decimal
    """Long minus short market value."""
    gross_position_value: Decimal
    unrealized_pnl: Decimal
    realized_pnl: Decimal
    initial_margin: Decimal
    maintenance_margin: Decimal

    @property
    def net_liquidation(self) -> Decimal:
        """Cash and stock together."""
        return self.cash + self.stock_value

    @property
    def available_funds(self) -> Decimal:
        """What new positions may bind."""
        return self.net_liquidation - self.initial_margin

    @property
    def excess_liquidity(self) -> Decimal:
        """How far the account is from liquidation."""
        return self.net_liquidation - self.maintenance_margin

    @property
    def buying_power(self) -> Decimal:
        """The value of stock that can still be bought."""
        return max(self.available_funds, ZERO) / INITIAL_MARGIN


class SimulatedAccount:
    """Applies fills to cash and positions. Prices come from outside as `price_of(symbol)`, in USD."""

    def __init__(self, cash: Decimal = Decimal(1_000_000)) -> None:
        self.cash = cash
        """USD; negative when borrowed."""
        self.positions: dict[str, Position] = {}
        """By symbol. A closed position stays, with quantity 0, for its realized profit."""

    def position(self, symbol: str) -> Position:
        """What is held of `symbol`, with quantity 0 if nothing ever was."""
        return self.positions.get(symbol) or Position(symbol=symbol, quantity=ZERO, average_cost=ZERO)

    def apply_fill(self, symbol: str, quantity: Decimal, price: Decimal, commission: Decimal) -> Decimal | None:
        """Book a fill of `quantity` shares, negative for a sale. Returns the profit it realized, None if it closed nothing."""
        held = self.position(symbol)
        self.cash -= quantity * price + commission
        closed = _closed_by(held.quantity, quantity)
        realized = None
        if closed:
            # The commission of a fill that closes and opens is split by shares.
            closing_commission = commission * abs(closed) / abs(quantity)
            realized = -closed * (price - held.average_cost) - closing_commission
        self.positions[symbol] = Position(
            symbol=symbol,
            quantity=held.quantity + quantity,
            average_cost=_average_cost(held, quantity, price, commission),
            realized_pnl=held.realized_pnl + (realized or ZERO),
        )
        return realized

    def values(self, price_of: Callable[[str], Decimal]) -> AccountValues:
        """The account's figures at the prices that `price_of` gives."""
        held = [(position, price_of(position.symbol)) for position in self.positions.values() if position.quantity]
        gross = sum((abs(position.quantity) * price for position, price in held), ZERO)
        return AccountValues(
            cash=self.cash,
            stock_value=sum((position.quantity * price for position, price in held), ZERO),
            gross_position_value=gross,
            unrealized_pnl=sum((one.quantity * (price - one.average_cost) for one, price in held), ZERO),
            realized_pnl=sum((position.realized_pnl for position in self.positions.values()), ZERO),
            initial_margin=gross * INITIAL_MARGIN,
            maintenance_margin=gross * MAINTENANCE_MARGIN,
        )

    def margin_change(self, symbol: str, quantity: Decimal, price: Decimal) -> Decimal:
        """By how much a fill of `quantity` shares at `price` would change the initial margin, USD; negative if it frees some."""
        held = self.position(symbol).quantity
        return (abs(held + quantity) - abs(held)) * price * INITIAL_MARGIN


def _closed_by(held: Decimal, quantity: Decimal) -> Decimal:
    """The part of a fill, with its sign, that closes what is held."""
    if held * quantity >= 0:
        return ZERO
    return quantity if abs(quantity) <= abs(held) else -held


def _average_cost(held: Position, quantity: Decimal, price: Decimal, commission: Decimal) -> Decimal:
    total = held.quantity + quantity
    if not total:
        return ZERO
    opened = quantity - _closed_by(held.quantity, quantity)
    if not opened:
        return held.average_cost
    kept = held.quantity * held.average_cost if held.quantity * quantity >= 0 else ZERO
    opening_commission = commission * abs(opened) / abs(quantity)
    return (kept + opened * price + opening_commission) / total
