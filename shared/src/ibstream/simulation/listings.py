"""What a key stands for: exchange, contract id, tick and all else that contract details tell.

Every fact follows from the key alone, so two processes agree on it without talking. Where a true contract id is known from a
recorded session it is used; the others are hashes and mean nothing outside the simulation.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache

from ibstream.simulation.catalog import FUNDS, FUTURES, FX_PAIRS, INDICES
from ibstream.simulation.exchanges import OPTION_EXCHANGES, STOCK_EXCHANGES, primary_exchange
from ibstream.simulation.expiries import last_trading_day
from ibstream.simulation.hashing import stable_hash
from ibstream.simulation.increments import (
    FX_RULE,
    INDEX_RULE,
    MARKET_RULES,
    OPTION_RULE,
    YEN_RULE,
    MarketRule,
)
from ibstream.simulation.keys import MONTH_CODES, Key, option_root, parse
from ibstream.simulation.listed import MIN_TICK, ONE, Listing

__all__ = [
    "MARKET_RULES",
    "MIN_TICK",
    "ONE",
    "OPTION_EXCHANGES",
    "RECORDED_OPTIONS",
    "STOCK_EXCHANGES",
    "Listing",
    "MarketRule",
    "listing",
    "to_ib_symbol",
]

FX_SIZE_INCREMENT = Decimal("0.01")

_TRUE_CON_IDS = {
    "AAPL": 265598,
    "TSLA": 76792991,
    "AMZN": 3691937,
    "MESM2026": 770561194,
    "ESM2025": 620731015,
    "XWZ2026": 715358256,
    "QQQ   270115P00500000": 728937835,
}
RECORDED_OPTIONS = {con_id: key for key, con_id in _TRUE_CON_IDS.items() if parse(key).security_type == "OPT"}
"""Keys of the options whose true contract id is known; all others have the simulation's."""
_TRUE_NAMES = {"AAPL": "APPLE INC", "TSLA": "TESLA INC", "AMZN": "AMAZON.COM INC"}
_TRUE_INDEX_OF_FUTURE = {"ES": 11004968}
_LOWEST_CON_ID, _CON_IDS = 100_000_000, 970_000_000
"""Hashed ids stay below those of options."""

_LISTINGS_KEPT = 8_192
"""So many listings are remembered; more are made anew."""


def to_ib_symbol(symbol: str) -> str:
    """`BRK.B` as IBKR writes it: `BRK B`."""
    return symbol.replace(".", " ")


@lru_cache(maxsize=_LISTINGS_KEPT)
def listing(key: str) -> Listing:
    """The facts of an instrument, by its key. A key of no other form is a stock, and any stock has some."""
    parsed = parse(key)
    match parsed.security_type:
        case "STK":
            return _stock(key)
        case "CASH":
            return _pair(key)
        case "FUT":
            return _future(key, parsed)
        case "OPT":
            return _option(key, parsed)
        case "IND":
            return _index(key)


def _con_id(key: str) -> int:
    return _TRUE_CON_IDS.get(key) or _LOWEST_CON_ID + stable_hash(key) % _CON_IDS


def _stock(symbol: str) -> Listing:
    fund = FUNDS.get(symbol)
    exchange = fund.exchange if fund is not None else primary_exchange(symbol)
    ib_symbol = to_ib_symbol(symbol)
    trading_class = "NMS" if exchange == "NASDAQ" else ib_symbol
    return Listing(
        symbol=symbol,
        ib_symbol=ib_symbol,
        local_symbol=ib_symbol,
        con_id=_con_id(symbol),
        valid_exchanges=STOCK_EXCHANGES,
        primary_exchange=exchange,
        trading_class=trading_class,
        market_name=trading_class,
        long_name=fund.name if fund is not None else _TRUE_NAMES.get(symbol, f"{ib_symbol} CORP"),
        suggested_size_increment=Decimal(100),
        stock_type="COMMON" if fund is None else "ETF",
    )


def _pair(key: str) -> Listing:
    base, currency = key.split(".")
    in_yen = currency == "JPY"
    return Listing(
        symbol=key,
        security_type="CASH",
        ib_symbol=base,
        local_symbol=key,
        con_id=_con_id(key),
        exchange="IDEALPRO",
        valid_exchanges=("IDEALPRO",),
        currency=currency,
        trading_class=key,
        market_name=key,
        long_name=f"{base} against {currency}",
        min_tick=ONE / FX_PAIRS[key].per_unit,
        market_rule_id=YEN_RULE if in_yen else FX_RULE,
        size_increment=FX_SIZE_INCREMENT,
        hours="FX",
        price_places=3 if in_yen else 5,
    )


def _future(key: str, parsed: Key) -> Listing:
    root = FUTURES[parsed.root]
    local_symbol = f"{parsed.root}{MONTH_CODES[parsed.month - 1]}{parsed.year % 10}"
    ib_symbol = root.ib_symbol or parsed.root
    return Listing(
        symbol=key,
        security_type="FUT",
        ib_symbol=ib_symbol,
        local_symbol=local_symbol,
        con_id=_con_id(key),
        exchange=root.exchange,
        valid_exchanges=(root.exchange, "QBALGO"),
        trading_class=parsed.root,
        market_name=parsed.root,
        long_name=root.name,
        multiplier=Decimal(root.multiplier),
        price_magnifier=root.price_magnifier,
        last_trade_date=f"{last_trading_day(root, parsed.year, parsed.month):%Y%m%d}",
        last_trade_time=root.last_trade_time,
        contract_month=f"{parsed.year}{parsed.month:02d}",
        under_con_id=_TRUE_INDEX_OF_FUTURE.get(parsed.root) or _con_id(f"index of {parsed.root}"),
        under_symbol=ib_symbol,
        under_security_type="IND",
        min_tick=root.min_tick,
        market_rule_id=root.market_rule_id,
        hours=root.hours,
        price_places=_places(root.min_tick),
    )


def _option(key: str, parsed: Key) -> Listing:
    under = listing(parsed.root)
    trading_class = option_root(parsed.root)
    day = f"{parsed.expiry:%Y%m%d}"
    return Listing(
        symbol=key,
        security_type="OPT",
        ib_symbol=under.ib_symbol,
        local_symbol=key,
        con_id=_TRUE_CON_IDS.get(key, 0),
        valid_exchanges=OPTION_EXCHANGES if under.security_type == "STK" else ("SMART", "CBOE"),
        trading_class=trading_class,
        market_name=trading_class,
        long_name=under.long_name,
        multiplier=Decimal(100),
        last_trade_date=day,
        contract_month=day[:6],
        strike=parsed.strike,
        right=parsed.right,
        under=parsed.root,
        under_con_id=under.con_id,
        under_symbol=under.ib_symbol,
        under_security_type=under.security_type,
        market_rule_id=OPTION_RULE,
        hours="US_OPTION",
    )


def _index(key: str) -> Listing:
    index = INDICES[key]
    return Listing(
        symbol=key,
        security_type="IND",
        ib_symbol=key,
        local_symbol=key,
        con_id=_con_id(key),
        exchange=index.exchange,
        valid_exchanges=(index.exchange,),
        trading_class=key,
        market_name=key,
        long_name=index.name,
        market_rule_id=INDEX_RULE,
        hours="US_INDEX",
    )


def _places(tick: Decimal) -> int:
    return max(2, len(f"{tick.normalize():f}".partition(".")[2]))
