"""What the simulated market has besides the stocks it is given: funds, currency pairs, futures and indices.

Multipliers, ticks, months and exchanges are those of the exchanges' contract specifications. The levels are round figures near
those of 2026; the paths around them are the market's own.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec

from ibstream.calendar.hours import Group

Expiry = Literal["third_friday", "crude_oil", "third_last", "before_fifteenth"]
"""Rules for a future's last trading day; `expiries` has them."""

_QUARTERS = (3, 6, 9, 12)
_EVERY_MONTH = tuple(range(1, 13))
_GRAINS = (3, 5, 7, 9, 12)
_GOLD = (2, 4, 6, 8, 10, 12)


class Root(msgspec.Struct, frozen=True, kw_only=True):
    """A future in all its contract months. Prices in USD, or in US cents where `price_magnifier` is 100."""

    ib_symbol: str = ""
    """IBKR's symbol where it differs from the root of the local symbol."""
    exchange: str
    name: str
    multiplier: int
    min_tick: Decimal
    months: tuple[int, ...] = _QUARTERS
    listed: int = 8
    """How many contract months are listed at any time."""
    expiry: Expiry = "third_friday"
    last_trade_time: str = ""
    """Local time of the last trade on the last day, as contract details tell it."""
    hours: Group = "CME_INDEX"
    market_rule_id: int
    price_magnifier: int = 1
    path: str
    """Roots of one path follow the same prices."""
    level: float
    volatility: float
    """Standard deviation of a day's logarithmic return."""
    carry_ticks: int
    """By how many ticks a contract stands above the one a month nearer."""
    volume: int
    """Mean volume of five seconds in contracts."""


class Pair(msgspec.Struct, frozen=True):
    """A currency pair on IDEALPRO."""

    level: float
    per_unit: int = 20_000
    """Price increments in one unit of the second currency: 20,000 of 0.00005, or 200 of 0.005."""
    name: str = ""


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """An index in points, on a 0.01 tick."""

    exchange: str
    name: str
    path: str
    level: float
    volatility: float


class Fund(msgspec.Struct, frozen=True):
    """An exchange-traded fund."""

    exchange: str
    name: str
    index: str = ""
    """The index it follows; without one it has a path of its own, as a stock has."""
    divisor: float = 1.0
    """Points of the index in 1 USD of the fund."""


def _stock_index(path: str, level: float, volatility: float, **fields: object) -> Root:
    common = {"last_trade_time": "08:30", "path": path, "level": level, "volatility": volatility}
    return msgspec.convert({"exchange": "CME", **common, **fields}, Root)


FUTURES: dict[str, Root] = {
    "ES": _stock_index(
        "SPX", 6800, 0.009, name="E-mini S&P 500", multiplier=50, min_tick="0.25", market_rule_id=67, carry_ticks=8,
        volume=4_000,
    ),
    "MES": _stock_index(
        "SPX", 6800, 0.009, name="Micro E-Mini S&P 500 Stock Price Index", multiplier=5, min_tick="0.25",
        market_rule_id=67, carry_ticks=8, volume=3_000,
    ),
    "NQ": _stock_index(
        "NDX", 25_000, 0.011, name="E-mini NASDAQ 100", multiplier=20, min_tick="0.25", market_rule_id=67,
        carry_ticks=30, volume=1_500,
    ),
    "MNQ": _stock_index(
        "NDX", 25_000, 0.011, name="Micro E-Mini Nasdaq-100 Index", multiplier=2, min_tick="0.25", market_rule_id=67,
        carry_ticks=30, volume=2_500,
    ),
    "RTY": _stock_index(
        "RUT", 2_400, 0.012, name="E-Mini Russell 2000 Index", multiplier=50, min_tick="0.1", market_rule_id=901,
        carry_ticks=7, volume=500,
    ),
    "YM": _stock_index(
        "INDU", 47_000, 0.008, exchange="CBOT", name="Mini Dow Jones Industrial Average", multiplier=5, min_tick="1",
        market_rule_id=902, carry_ticks=14, volume=400,
    ),
    "CL": Root(
        exchange="NYMEX", name="Light Sweet Crude Oil", multiplier=1000, min_tick=Decimal("0.01"), months=_EVERY_MONTH,
        listed=24, expiry="crude_oil", hours="NYMEX", market_rule_id=32_001, path="CL", level=65, volatility=0.018,
        carry_ticks=2, volume=800,
    ),
    "GC": Root(
        exchange="COMEX", name="Gold", multiplier=100, min_tick=Decimal("0.1"), months=_GOLD, listed=12,
        expiry="third_last", hours="COMEX", market_rule_id=901, path="GC", level=4_000, volatility=0.010,
        carry_ticks=15, volume=600,
    ),
    "SI": Root(
        exchange="COMEX", name="Silver", multiplier=5000, min_tick=Decimal("0.005"), months=_GRAINS, listed=8,
        expiry="third_last", hours="COMEX", market_rule_id=239, path="SI", level=48, volatility=0.018, carry_ticks=5,
        volume=300,
    ),
    "XW": Root(
        ib_symbol="YW", exchange="CBOT", name="Mini Sized Chicago SRW Wheat Futures", multiplier=1000,
        min_tick=Decimal("0.125"), months=_GRAINS, expiry="before_fifteenth", hours="CBOT_GRAIN", market_rule_id=903,
        price_magnifier=100, path="XW", level=600, volatility=0.015, carry_ticks=8, volume=60,
    ),
}  # fmt: skip
"""By the root of the local symbol."""

FX_PAIRS: dict[str, Pair] = {
    "EUR.USD": Pair(1.10), "GBP.USD": Pair(1.30), "AUD.USD": Pair(0.66), "NZD.USD": Pair(0.60),
    "USD.JPY": Pair(150, 200), "USD.CAD": Pair(1.38), "USD.CHF": Pair(0.85), "USD.SEK": Pair(9.8),
    "USD.NOK": Pair(10.3), "USD.SGD": Pair(1.30), "USD.MXN": Pair(18.5), "EUR.GBP": Pair(0.85),
    "EUR.JPY": Pair(165, 200), "EUR.CHF": Pair(0.94), "EUR.SEK": Pair(11.0), "GBP.JPY": Pair(195, 200),
    "AUD.JPY": Pair(99, 200), "CHF.JPY": Pair(176, 200),
}  # fmt: skip
"""By symbol and currency. The paths know nothing of each other: crosses may offer arbitrage that no bank would."""

FX_VOLATILITY = 0.0045
"""Standard deviation of a day's logarithmic return of every pair."""

INDICES: dict[str, Index] = {
    "SPX": Index(exchange="CBOE", name="S&P 500 Stock Index", path="SPX", level=6800, volatility=0.009),
    "NDX": Index(exchange="NASDAQ", name="NASDAQ 100 Stock Index", path="NDX", level=25_000, volatility=0.011),
    "RUT": Index(exchange="RUSSELL", name="Russell 2000 Stock Index", path="RUT", level=2_400, volatility=0.012),
    "INDU": Index(exchange="CME", name="Dow Jones Industrial Average", path="INDU", level=47_000, volatility=0.008),
    "VIX": Index(exchange="CBOE", name="CBOE Volatility Index", path="VIX", level=18, volatility=0.02),
}

FUNDS: dict[str, Fund] = {
    "SPY": Fund("ARCA", "SPDR S&P 500 ETF TRUST", "SPX", 10.0),
    "QQQ": Fund("NASDAQ", "INVESCO QQQ TRUST SERIES 1", "NDX", 41.0),
    "IWM": Fund("ARCA", "ISHARES RUSSELL 2000 ETF", "RUT", 10.05), "DIA": Fund("ARCA", "SPDR DJIA TRUST", "INDU", 100.0),
    "VOO": Fund("ARCA", "VANGUARD S&P 500 ETF", "SPX", 10.9), "IVV": Fund("ARCA", "ISHARES CORE S&P 500 ETF", "SPX", 9.95),
    "VTI": Fund("ARCA", "VANGUARD TOTAL STOCK MKT ETF"), "VEA": Fund("ARCA", "VANGUARD FTSE DEVELOPED ETF"),
    "VWO": Fund("ARCA", "VANGUARD FTSE EMERGING MARKE"), "EEM": Fund("ARCA", "ISHARES MSCI EMERGING MARKET"),
    "EFA": Fund("ARCA", "ISHARES MSCI EAFE ETF"), "GLD": Fund("ARCA", "SPDR GOLD SHARES"),
    "SLV": Fund("ARCA", "ISHARES SILVER TRUST"), "USO": Fund("ARCA", "UNITED STATES OIL FUND LP"),
    "TLT": Fund("NASDAQ", "ISHARES 20+ YEAR TREASURY BD"), "IEF": Fund("NASDAQ", "ISHARES 7-10 YEAR TREASURY B"),
    "SHY": Fund("NASDAQ", "ISHARES 1-3 YEAR TREASURY BO"), "AGG": Fund("ARCA", "ISHARES CORE U.S. AGGREGATE"),
    "BND": Fund("NASDAQ", "VANGUARD TOTAL BOND MARKET"), "HYG": Fund("ARCA", "ISHARES IBOXX HIGH YLD CORP"),
    "LQD": Fund("ARCA", "ISHARES IBOXX INVESTMENT GRA"), "XLB": Fund("ARCA", "MATERIALS SELECT SECTOR SPDR"),
    "XLC": Fund("ARCA", "COMM SERV SELECT SECTOR SPDR"), "XLE": Fund("ARCA", "ENERGY SELECT SECTOR SPDR"),
    "XLF": Fund("ARCA", "FINANCIAL SELECT SECTOR SPDR"), "XLI": Fund("ARCA", "INDUSTRIAL SELECT SECT SPDR"),
    "XLK": Fund("ARCA", "TECHNOLOGY SELECT SECT SPDR"), "XLP": Fund("ARCA", "CONSUMER STAPLES SPDR"),
    "XLRE": Fund("ARCA", "REAL ESTATE SELECT SECT SPDR"), "XLU": Fund("ARCA", "UTILITIES SELECT SECTOR SPDR"),
    "XLV": Fund("ARCA", "HEALTH CARE SELECT SECTOR"), "XLY": Fund("ARCA", "CONSUMER DISCRETIONARY SELT"),
    "SMH": Fund("NASDAQ", "VANECK SEMICONDUCTOR ETF"), "ARKK": Fund("BATS", "ARK INNOVATION ETF"),
    "TQQQ": Fund("NASDAQ", "PROSHARES ULTRAPRO QQQ"), "SQQQ": Fund("NASDAQ", "PROSHARES ULTRAPRO SHORT QQQ"),
}  # fmt: skip
"""Always known, whatever list of stocks is given."""
