"""What holding a position binds, by simple rules.

- Stocks: Regulation T (12 CFR 220.12), half the value to open; FINRA Rule 4210 to hold, a quarter of a long position's value and
  30 % of a short one's.
- Options: a long one is paid for in full and lends no value. A short one binds its premium and 20 % of the underlying's value
  less what it is out of the money, but at least 10 % of the underlying (call) or of the strike (put): FINRA Rule 4210(f)(2).
  Spreads get no relief.
- Futures: a share of the contract's value, `FUTURE_INITIAL` and `FUTURE_MAINTENANCE`. The exchanges set amounts per product and
  day; these shares are of their order and no broker's figures.
- Currency pairs: `FOREX_MARGIN` of the value held, as for IBKR's major pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from ibstream.simulation.terms import FOREX, FUTURE, OPTION, Terms

INITIAL_MARGIN = Decimal("0.5")
"""Share of a stock position's value that opening it binds."""
MAINTENANCE_MARGIN = Decimal("0.25")
"""Share of a long stock position's value that holding it binds."""
SHORT_MAINTENANCE_MARGIN = Decimal("0.30")
FUTURE_INITIAL = Decimal("0.08")
FUTURE_MAINTENANCE = Decimal("0.07")
FOREX_MARGIN = Decimal("0.025")
OPTION_SHARE = Decimal("0.20")
OPTION_FLOOR = Decimal("0.10")
ZERO = Decimal(0)

PriceOf = Callable[[str], Decimal]
"""The price of an instrument by its key, in its own currency."""


class Margin(NamedTuple):
    """What a position binds, in the instrument's currency."""

    initial: Decimal
    maintenance: Decimal


def margin_of(terms: Terms, quantity: Decimal, price: Decimal, price_of: PriceOf) -> Margin:
    """The margin of `quantity` units at `price`; `price_of` is asked for an option's underlying alone."""
    if not quantity:
        return Margin(ZERO, ZERO)
    value = abs(quantity) * price * terms.multiplier
    if terms.security_type == FUTURE:
        return Margin(value * FUTURE_INITIAL, value * FUTURE_MAINTENANCE)
    if terms.security_type == FOREX:
        return Margin(value * FOREX_MARGIN, value * FOREX_MARGIN)
    if terms.security_type == OPTION:
        bound = ZERO if quantity > 0 else value + abs(quantity) * _naked(terms, price_of(terms.root))
        return Margin(bound, bound)
    kept = MAINTENANCE_MARGIN if quantity > 0 else SHORT_MAINTENANCE_MARGIN
    return Margin(value * INITIAL_MARGIN, value * kept)


def _naked(terms: Terms, underlying: Decimal) -> Decimal:
    """What one short option binds beyond its premium."""
    distance = terms.strike - underlying if terms.is_call else underlying - terms.strike
    floor = OPTION_FLOOR * (underlying if terms.is_call else terms.strike)
    return max(OPTION_SHARE * underlying - max(distance, ZERO), floor) * terms.multiplier
