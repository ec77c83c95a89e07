"""The facts about an instrument that trading it depends on, read once from its listing."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache

import msgspec

from ibstream.calendar.hours import Group
from ibstream.simulation.keys import parse
from ibstream.simulation.listings import MARKET_RULES, MIN_TICK, ONE, MarketRule, listing
from ibstream.simulation.sessions import day_window
from ibstream.simulation.tickets import Ticket

STOCK, FOREX, FUTURE, OPTION, INDEX = "STK", "CASH", "FUT", "OPT", "IND"
COMBO = "BAG"
BASE_CURRENCY = "USD"
_KNOWN = 65_536
"""Instruments whose terms are remembered."""


class Terms(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one unit is, what it is worth and in which steps it is priced."""

    symbol: str
    """Instrument key."""
    security_type: str
    """`STK`, `CASH`, `FUT`, `OPT` or `IND`."""
    multiplier: Decimal = ONE
    """What a price of 1 is worth for one unit, in `currency`: `Listing.point_value`."""
    min_tick: Decimal = MIN_TICK
    increments: MarketRule = ((Decimal(0), MIN_TICK),)
    """Price increments, each from a lower edge upwards."""
    currency: str = BASE_CURRENCY
    hours: Group = "US_STOCK"
    size_min: Decimal = ONE
    size_increment: Decimal = ONE
    root: str = ""
    """Of a future its product, `ES`; of an option the key of its underlying; else the symbol."""
    strike: Decimal = Decimal(0)
    is_call: bool = False
    ends_ns: int | None = None
    """The end of its last trading day in New York, nanoseconds since the epoch; None for what does not expire."""

    @property
    def is_settled_daily(self) -> bool:
        """Whether only gains and losses move cash, not the value of what is held."""
        return self.security_type == FUTURE

    def is_on_tick(self, price: Decimal) -> bool:
        """Whether an order may carry this price."""
        increment = next((step for edge, step in reversed(self.increments) if abs(price) >= edge), self.min_tick)
        return not price % increment


@lru_cache(maxsize=_KNOWN)
def terms_of(symbol: str) -> Terms:
    """The terms of the instrument with this key."""
    found = listing(symbol)
    return Terms(
        symbol=symbol,
        security_type=found.security_type,
        multiplier=found.point_value,
        min_tick=found.min_tick,
        increments=MARKET_RULES[found.market_rule_id],
        currency=found.currency,
        hours=found.hours,
        size_min=found.size_min,
        size_increment=found.size_increment,
        root=parse(symbol).root,
        strike=found.strike,
        is_call=found.right == "C",
        ends_ns=_end_of(found.expiry),
    )


def terms_for(ticket: Ticket) -> Terms:
    """The terms an order keeps: its instrument's, or of a combo the first leg's."""
    return terms_of(ticket.legs[0].symbol if ticket.legs else ticket.symbol)


def kind_of(ticket: Ticket) -> str:
    """The security type of what an order is for: `BAG` for a combo."""
    return COMBO if ticket.legs else terms_of(ticket.symbol).security_type


def parts_of(ticket: Ticket) -> list[Terms]:
    """The terms of everything that an order trades."""
    return [terms_of(leg.symbol) for leg in ticket.legs] or [terms_of(ticket.symbol)]


def _end_of(day: date | None) -> int | None:
    return None if day is None else day_window(day + timedelta(days=1))[0]
