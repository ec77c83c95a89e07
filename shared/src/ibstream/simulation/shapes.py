"""What the path of each instrument looks like: its level, how far it wanders, how often it ticks, how much is traded."""

from __future__ import annotations

import math
from datetime import date, datetime, time
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec

from ibstream.simulation.catalog import FUNDS, FUTURES, FX_PAIRS, FX_VOLATILITY, INDICES, Fund
from ibstream.simulation.expiries import last_trading_day
from ibstream.simulation.hashing import splitmix64, stable_hash
from ibstream.simulation.keys import Key, parse
from ibstream.simulation.sessions import to_ns

FOREVER_NS = 1 << 62
"""After every moment that nanoseconds in 63 bits can name."""

_LOWEST_STOCK_USD, _HIGHEST_STOCK_USD = 20.0, 600.0
_CENTS = 100
_WIDE_SPREAD_CENTS = 20_000
_FUTURE_TICKS, _FX_TICKS, _INDEX_TICKS = 15, 20, 5
"""Ticks in five seconds."""
_FX_LOT, _FX_VOLUME = 500_000, 30_000_000
_CARRY_FROM_YEAR = 2026
"""A contract's distance from the path counts its months from here on: the year of the catalog's levels."""
_CHICAGO, _NEW_YORK = ZoneInfo("America/Chicago"), ZoneInfo("America/New_York")


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers behind one price path. Prices are integers: multiples of the price increment."""

    key: int
    """64 bits that all hashes of the path begin with; instruments of one path share them."""
    salt: int = 0
    """64 bits of the instrument's own, for its sizes and volume; 0 where nothing else follows its path."""
    scale: int = _CENTS
    """Price increments in a price of 1."""
    log_base: float
    """Natural logarithm of the price around which the path wanders."""
    daily_volatility: float
    """Standard deviation of a day's logarithmic return."""
    spread: int
    """Ask minus bid, in increments; 0 where there is no book."""
    basis: int = 0
    """Increments that the instrument stands above the path."""
    ticks_per_leaf: int
    """Ticks in five seconds."""
    volume_per_leaf: int
    """Mean volume of five seconds: shares, contracts or units of a pair's first currency."""
    lot: int = 100
    """Sizes in the book are 1 to 10 of these; 0 where there is no book."""
    ends_ns: int = FOREVER_NS
    """From here on, in nanoseconds since the epoch, the instrument is expired and its last quote stands."""


def shape_of(seed: int, symbol: str) -> Shape:
    """The shape of anything but an option, which follows its underlying."""
    parsed = parse(symbol)
    match parsed.security_type:
        case "CASH":
            return _pair(seed, symbol)
        case "FUT":
            return _future(seed, symbol, parsed)
        case "IND":
            return _index(seed, symbol)
    return _fund(seed, symbol, FUNDS[symbol]) if symbol in FUNDS else _stock(seed, symbol)


def path_key(seed: int, path: str) -> int:
    """The 64 bits of a path under a seed."""
    return splitmix64(splitmix64(seed) ^ stable_hash(path))


def closing_ns(day: date) -> int:
    """16:00 New York of a day, when options end; nanoseconds since the epoch."""
    return to_ns(datetime.combine(day, time(16), _NEW_YORK))


def _stock(seed: int, symbol: str) -> Shape:
    key = path_key(seed, symbol)
    traits = splitmix64(key ^ 0x5452414954)
    base = (traits & 0xFFFF) / 65536.0
    log_base = math.log(_LOWEST_STOCK_USD) + base * math.log(_HIGHEST_STOCK_USD / _LOWEST_STOCK_USD)
    return Shape(
        key=key,
        log_base=log_base,
        daily_volatility=0.008 + 0.012 * ((traits >> 16) & 0xFF) / 255,
        spread=_stock_spread(log_base),
        ticks_per_leaf=5 + (traits >> 24) % 16,
        volume_per_leaf=400 + (traits >> 32) % 3_000,
    )


def _stock_spread(log_base: float) -> int:
    # Even, so that the midpoint lies on the 0.01 tick as well.
    return 2 if math.exp(log_base) * _CENTS < _WIDE_SPREAD_CENTS else 4


def _fund(seed: int, symbol: str, fund: Fund) -> Shape:
    """A stock that goes where its index goes."""
    own = _stock(seed, symbol)
    if not fund.index:
        return own
    path = _index(seed, fund.index)
    log_base = path.log_base - math.log(fund.divisor)
    return msgspec.structs.replace(
        own,
        key=path.key,
        salt=stable_hash(symbol),
        log_base=log_base,
        daily_volatility=path.daily_volatility,
        spread=_stock_spread(log_base),
    )


def _pair(seed: int, symbol: str) -> Shape:
    pair = FX_PAIRS[symbol]
    return Shape(
        key=path_key(seed, symbol),
        scale=pair.per_unit,
        log_base=math.log(pair.level),
        daily_volatility=FX_VOLATILITY,
        spread=1,
        ticks_per_leaf=_FX_TICKS,
        volume_per_leaf=_FX_VOLUME,
        lot=_FX_LOT,
    )


def _future(seed: int, symbol: str, parsed: Key) -> Shape:
    root = FUTURES[parsed.root]
    ends = time.fromisoformat(root.last_trade_time) if root.last_trade_time else time(16)
    last_day = last_trading_day(root, parsed.year, parsed.month)
    return Shape(
        key=path_key(seed, f"path of {root.path}"),
        salt=stable_hash(symbol),
        scale=int(Decimal(1) / root.min_tick),
        log_base=math.log(root.level),
        daily_volatility=root.volatility,
        spread=1,
        basis=((parsed.year - _CARRY_FROM_YEAR) * 12 + parsed.month) * root.carry_ticks,
        ticks_per_leaf=_FUTURE_TICKS,
        volume_per_leaf=root.volume,
        lot=1,
        ends_ns=to_ns(datetime.combine(last_day, ends, _CHICAGO)),
    )


def _index(seed: int, symbol: str) -> Shape:
    index = INDICES[symbol]
    return Shape(
        key=path_key(seed, f"path of {index.path}"),
        salt=stable_hash(symbol),
        log_base=math.log(index.level),
        daily_volatility=index.volatility,
        spread=0,
        ticks_per_leaf=_INDEX_TICKS,
        volume_per_leaf=0,
        lot=0,
    )
