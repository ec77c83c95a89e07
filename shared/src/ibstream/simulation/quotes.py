"""What the market shows of an instrument at a moment: top of the book, depth, the day's figures, an option's greeks.

Prices are in the instrument's currency, or in hundredths of it where its `price_magnifier` is 100.
"""

from __future__ import annotations

from typing import Literal

import msgspec

NO_PRICE = -1.0
"""Where there is no bid or ask: an index has neither, and IBKR says so with -1 as well."""

Side = Literal["bid", "ask", "last", "model"]
"""Which price greeks are computed from; the model's is the theoretical value at the underlying's midpoint."""


class Quote(msgspec.Struct, frozen=True, gc=False):
    """Top of the book and last trade of one symbol at one tick.

    Prices are on the instrument's tick with bid < ask; `last` is a trade at the bid or at the ask. Sizes are shares, contracts
    or units of a pair's first currency. An index has `last` alone: bid and ask are `NO_PRICE`, sizes and volume are 0. A
    nearly worthless option bids 0.0 with a size of 0, and trades at 0.01. Currency pairs have trades here, which IBKR does
    not tell: see `Listing.has_trades`.
    """

    symbol: str
    time_ns: int
    """When this tick came to be, nanoseconds since 1970-01-01 UTC; the quote holds until the next tick."""
    sequence: int
    """Number of the tick since 1970; a larger number is a newer quote of the same symbol."""
    bid: float
    ask: float
    last: float
    bid_size: int
    ask_size: int
    last_size: int
    volume: int
    """Traded since New York's midnight, this tick included."""


class DayStatistics(msgspec.Struct, frozen=True, gc=False):
    """Open, high and low of the trades since New York's midnight, and the day before's last trade."""

    open: float
    high: float
    low: float
    previous_close: float


class Level(msgspec.Struct, frozen=True, gc=False):
    """One row of the book."""

    price: float
    size: int
    market_maker: str
    """The exchange that shows it: `ARCA`, `IEX`, `CME`."""


class Depth(msgspec.Struct, frozen=True, gc=False):
    """Both sides of the book at one tick, best price first. The first row is the quote's touch with its size."""

    sequence: int
    """The tick's, as in its quote."""
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


class Greeks(msgspec.Struct, frozen=True, gc=False):
    """An option's price by Black and Scholes and how it moves."""

    implied_volatility: float
    """Yearly, 0.25 for 25 %."""
    delta: float
    """Change of the price for 1 of the underlying; negative for puts."""
    price: float
    """The option's price these follow from."""
    pv_dividend: float
    """Present value of the dividends until expiry; nothing pays any here, so 0."""
    gamma: float
    """Change of delta for 1 of the underlying."""
    vega: float
    """Change of the price for one point of volatility, 0.01."""
    theta: float
    """Change of the price over one day; negative."""
    under_price: float
