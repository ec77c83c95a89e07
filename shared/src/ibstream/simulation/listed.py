"""One instrument that is listed: all that contract details tell of it but its hours."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import msgspec

from ibstream.calendar.hours import Group
from ibstream.calendar.text import time_zone_id
from ibstream.simulation.increments import STOCK_RULE
from ibstream.simulation.keys import Right, SecurityType

MIN_TICK = Decimal("0.01")
"""The tick of stocks, and the smallest of options."""

ONE = Decimal(1)


class Listing(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One instrument. Prices are in `currency`, or in hundredths of it where `price_magnifier` is 100."""

    symbol: str
    """The key, as everywhere in ibstream: `BRK.B`, `EUR.USD`, `ESZ2026`, `AAPL  261218C00250000`."""
    security_type: SecurityType = "STK"
    ib_symbol: str
    """IBKR's symbol: `BRK B`, `EUR`, `ES`, `AAPL`."""
    local_symbol: str
    """The exchange's symbol: `BRK B`, `EUR.USD`, `ESZ6`, `AAPL  261218C00250000`."""
    con_id: int
    """0 for an option that no master has numbered; ask `InstrumentMaster.by_symbol` for those."""
    exchange: str = "SMART"
    """Where orders go by default."""
    valid_exchanges: tuple[str, ...]
    primary_exchange: str = ""
    currency: str = "USD"
    trading_class: str
    market_name: str
    long_name: str
    multiplier: Decimal = ONE
    """What one contract holds; 1 for what is no contract."""
    price_magnifier: int = 1
    """100 where prices are quoted in cents. A contract is worth `price * multiplier / price_magnifier`."""
    last_trade_date: str = ""
    """YYYYMMDD of futures and options."""
    last_trade_time: str = ""
    """HH:MM in the zone of `time_zone_id`, for futures that end before the day does."""
    contract_month: str = ""
    """YYYYMM of futures and options."""
    strike: Decimal = Decimal(0)
    right: Right | str = ""
    """C, P or nothing."""
    under: str = ""
    """Key of an option's underlying."""
    under_con_id: int = 0
    under_symbol: str = ""
    """IBKR's symbol of the underlying; a future's is an index that cannot be traded."""
    under_security_type: SecurityType | str = ""
    min_tick: Decimal = MIN_TICK
    market_rule_id: int = STOCK_RULE
    size_min: Decimal = ONE
    size_increment: Decimal = ONE
    suggested_size_increment: Decimal = ONE
    stock_type: str = ""
    """COMMON or ETF."""
    hours: Group = "US_STOCK"
    price_places: int = 2
    """Decimal places that hold any of its prices."""

    @property
    def time_zone_id(self) -> str:
        """The exchange's time zone as IBKR names it."""
        return time_zone_id(self.hours)

    @property
    def point_value(self) -> Decimal:
        """What a price of 1 is worth in `currency`, per contract or share."""
        return self.multiplier / self.price_magnifier

    @property
    def has_book(self) -> bool:
        """Whether there are bids, asks and orders; an index has none."""
        return self.security_type != "IND"

    @property
    def has_trades(self) -> bool:
        """Whether trades and volume are told; those of currency pairs are not."""
        return self.security_type != "CASH"

    @property
    def expiry(self) -> date | None:
        """The last trading day of a future or an option."""
        return date.fromisoformat(self.last_trade_date) if self.last_trade_date else None
