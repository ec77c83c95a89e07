"""Everything a client may ask about an instrument that has been found.

Order types and exchanges of stocks and futures are those of recorded details (TSLA by SMART and by AMEX, ES by CME); those of
options, currency pairs and indices, and the components behind a BBO exchange code, are domain knowledge.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from ibstream.calendar.hours import HOURS, Group
from ibstream.calendar.text import liquid_hours, trading_hours
from ibstream.simulation.catalog import FUTURES
from ibstream.simulation.instruments import InstrumentMaster, Listing, OptionChain
from ibstream.simulation.listings import MARKET_RULES, STOCK_EXCHANGES
from ibstream.simulation.sessions import from_ns
from ibstream_gateway_emulator.domain.contracts import ISINS, multiplier_text, strike_text
from ibstream_gateway_emulator.protocol.fields import TagValue
from ibstream_gateway_emulator.protocol.messages import (
    ContractData,
    DepthExchange,
    OptionParameters,
    PriceIncrement,
    SmartComponent,
    SymbolSample,
)

SMART = "SMART"
BBO_EXCHANGE = "9c0001"
"""The code of the exchanges whose best bid and offer SMART shows for stocks."""

_COMMON_TYPES = (
    "ACTIVETIM,AD,ADJUST,ALERT,ALLOC,AVGCOST,BASKET,BENCHPX,COND,CONDORDER,DAY,DEACT,DEACTDIS,DEACTEOD,GAT,GTC,GTD,GTT,HID,IOC,"
    "LIT,LMT,MIT,MKT,MTL,NGCOMB,NONALGO,OCA,PEGBENCH,SCALE,SCALERST,SNAPMID,SNAPMKT,SNAPREL,STP,STPLMT,TRAIL,TRAILLIT,"
    "TRAILLMT,TRAILMIT,WHATIF"
)
_MORE_TYPES = {
    "STK": "CASHQTY",
    "STK SMART": (
        "ALGO,AON,CASHQTY,DARKONLY,DARKPOLL,DIS,DUR,IBKRATS,ICE,IMB,LOC,MIDPX,MOC,NODARK,OPG,OPGREROUT,PEGMID,POSTATS,POSTONLY,"
        "PREOPGRTH,PRICECHK,REL,REL2MID,RELPCTOFS,RPI,RTH,SCALEODD,SIZECHK,SWEEP"
    ),
    "FUT": "ALGO,ICE,LTH",
    "OPT": "AON,FOK,ICE,OPG,PRICECHK,REL,RELPCTOFS,RTH,SIZECHK,VOLAT",
    "CASH": "ALGO,CASHQTY,FOK",
}
_INDEX_TYPES = "ALERT,AVGCOST,BENCHPX,COND,CONDORDER"
_INDUSTRIES = {
    "AAPL": ("Technology", "Computers", "Computers"),
    "AMZN": ("Communications", "Internet", "E-Commerce/Products"),
    "MSFT": ("Technology", "Software", "Applications Software"),
    "TSLA": ("Consumer, Cyclical", "Auto Manufacturers", "Auto-Cars/Light Trucks"),
}
"""By key, of the stocks for which they are known; other stocks have none."""
_TAPE_LETTERS = {
    "AMEX": "A", "BEX": "B", "NYSENAT": "C", "PEARL": "H", "ISE": "I", "EDGEA": "J", "DRCTEDGE": "K", "LTSE": "L", "CHX": "M",
    "NYSE": "N", "ARCA": "P", "ISLAND": "Q", "MEMX": "U", "IEX": "V", "CBOE": "W", "PSX": "X", "BYX": "Y", "BATS": "Z",
}  # fmt: skip
"""The consolidated tape's letters of the exchanges."""
_AS_LISTED = (
    "right", "currency", "local_symbol", "market_name", "trading_class", "con_id", "min_tick", "price_magnifier",
    "under_con_id", "long_name", "primary_exchange", "contract_month", "time_zone_id", "under_symbol", "under_security_type",
    "stock_type", "size_increment", "suggested_size_increment",
)  # fmt: skip
"""What details tell as a `Listing` has it, under the same name."""
_DAYS_AHEAD = 6
_ONE_DAY = timedelta(days=1)


def contract_data(req_id: int, found: Listing, exchange: str, now_ns: int, *, security_type: str = "") -> ContractData:
    """All about an instrument. The hours told are a real exchange's, though the simulated market never closes.

    `exchange` is the one asked for, empty for the default; `security_type` stands for the instrument's own where it is given.
    """
    industry, category, subcategory = _industry(found)
    all_hours, regular_hours = _hours_text(found.hours, trading_date(found, now_ns))
    exchange = exchange or found.exchange
    return ContractData(
        **{name: getattr(found, name) for name in _AS_LISTED},
        req_id=req_id,
        symbol=found.ib_symbol,
        security_type=security_type or found.security_type,
        last_trade_date=_last_trade(found),
        strike=strike_text(found) or "0",
        exchange=exchange,
        multiplier=multiplier_text(found),
        order_types=order_types(found, exchange),
        valid_exchanges=",".join(found.valid_exchanges),
        industry=industry,
        category=category,
        subcategory=subcategory,
        trading_hours=all_hours,
        liquid_hours=regular_hours,
        security_ids=tuple(TagValue("ISIN", ISINS[key]) for key in (found.symbol,) if key in ISINS),
        aggregate_group=1 if found.security_type == "STK" else None,
        market_rule_ids=",".join([str(found.market_rule_id)] * len(found.valid_exchanges)),
        real_expiration_date=found.last_trade_date,
        min_size=found.size_min,
    )


def trading_date(found: Listing, now_ns: int) -> date:
    """The trading date that a moment belongs to: where sessions begin on the day before, the evening is tomorrow's."""
    hours = HOURS[found.hours]
    local = from_ns(now_ns).astimezone(ZoneInfo(hours.zone.name))
    is_evening = hours.opens > hours.closes and local.time() >= hours.opens
    return local.date() + _ONE_DAY if is_evening else local.date()


def order_types(found: Listing, exchange: str) -> str:
    """The order types and attributes that an exchange takes for the instrument, sorted, as details list them."""
    is_smart_stock = found.security_type == "STK" and exchange == SMART
    return _order_types("STK SMART" if is_smart_stock else found.security_type)


@lru_cache
def _order_types(kind: str) -> str:
    if kind == "IND":
        return _INDEX_TYPES
    return ",".join(sorted({*_COMMON_TYPES.split(","), *_MORE_TYPES[kind].split(",")}))


@lru_cache(maxsize=128)
def _hours_text(group: Group, first: date) -> tuple[str, str]:
    """All hours and regular hours: the same for a whole chain of options."""
    return trading_hours(group, first, _DAYS_AHEAD), liquid_hours(group, first, _DAYS_AHEAD)


def sample(found: Listing, master: InstrumentMaster) -> SymbolSample:
    """An instrument as the answer to a search, with the kinds of derivatives that there are of it."""
    return SymbolSample(
        con_id=found.con_id,
        symbol=found.ib_symbol,
        security_type=found.security_type,
        primary_exchange=found.primary_exchange or found.exchange,
        currency=found.currency,
        derivatives=("OPT", "BAG") if master.has_options(found.symbol) else (),
        description=found.long_name,
    )


def option_parameters(req_id: int, chain: OptionChain) -> Iterator[OptionParameters]:
    """The chain at each exchange; all have the same expirations and strikes."""
    expirations = tuple(f"{day:%Y%m%d}" for day in chain.expirations)
    for exchange in chain.exchanges:
        yield OptionParameters(
            req_id,
            exchange,
            chain.under_con_id,
            chain.trading_class,
            f"{chain.multiplier:f}",
            expirations,
            chain.strikes,
        )


def increments(rule_id: int) -> tuple[PriceIncrement, ...]:
    """The price increments of a market rule; empty for one there is not."""
    return tuple(PriceIncrement(low_edge, step) for low_edge, step in MARKET_RULES.get(rule_id, ()))


def smart_components(bbo_exchange: str) -> tuple[SmartComponent, ...]:
    """The exchanges behind a code, with the bit each has in a quote's exchange mask; empty for a code there is not."""
    if bbo_exchange != BBO_EXCHANGE:
        return ()
    return tuple(SmartComponent(bit, exchange, letter) for bit, (exchange, letter) in enumerate(_TAPE_LETTERS.items()))


def depth_exchanges() -> tuple[DepthExchange, ...]:
    """The exchanges of which the book can be had, by kind of instrument."""
    stocks = [DepthExchange(one, "STK", "", "Deep2", None) for one in STOCK_EXCHANGES if one != SMART]
    futures = [
        DepthExchange(one, "FUT", "", "Deep", None) for one in sorted({one.exchange for one in FUTURES.values()})
    ]
    return (*stocks, *futures, DepthExchange("IDEALPRO", "CASH", "", "Deep", None))


def _last_trade(found: Listing) -> str:
    """`20250620 08:30 US/Central` where the last day ends early, else the day alone."""
    if not found.last_trade_time:
        return found.last_trade_date
    return f"{found.last_trade_date} {found.last_trade_time} {found.time_zone_id}"


def _industry(found: Listing) -> tuple[str, str, str]:
    if found.stock_type == "ETF":
        return "Funds", "Equity Fund", "*"
    if found.security_type == "IND":
        return "Indices", "Broad Range Equity Index", "*"
    return _INDUSTRIES.get(found.under or found.symbol, ("", "", ""))
