"""From the fields of a contract to a listing, and from a listing to everything a client may ask about it."""

from __future__ import annotations

from datetime import date, timedelta

from ibstream.simulation.instruments import MIN_TICK, InstrumentMaster, Listing
from ibstream.simulation.sessions import is_session, new_york_date
from ibstream_gateway_emulator.protocol.fields import Contract
from ibstream_gateway_emulator.protocol.messages import Contract11, ContractData, SymbolSample

ORDER_TYPES = "LMT,MKT,WHATIF"
EXCHANGES = ("SMART", "AMEX", "NYSE", "CBOE", "ARCA", "ISLAND", "NASDAQ", "BATS", "IEX", "MEMX")
TIME_ZONE = "US/Eastern"
MARKET_RULE_ID = 26
"""The rule of US stocks: 0.01 at any price."""
_EXTENDED_HOURS, _REGULAR_HOURS = ("0400", "2000"), ("0930", "1600")
_DAYS_AHEAD = 6
_OLD_NAMES = {"ISLAND": "NASDAQ"}
"""What IBKR called NASDAQ until 2023; requests may still say so."""


def find(master: InstrumentMaster, contract: Contract) -> Listing | None:
    """The one listing that fits all fields the client has filled."""
    found = master.by_con_id(contract.con_id) if contract.con_id else _by_symbol(master, contract)
    if found is None or not _fits(found, contract):
        return None
    return found


def _by_symbol(master: InstrumentMaster, contract: Contract) -> Listing | None:
    # IBKR knows `BRK B` and not `BRK.B`; neither does the emulator.
    symbol = contract.symbol or contract.local_symbol
    return None if "." in symbol or contract.security_type != "STK" else master.by_symbol(symbol)


def _fits(found: Listing, contract: Contract) -> bool:
    primary = _OLD_NAMES.get(contract.primary_exchange, contract.primary_exchange)
    return (
        contract.security_type in ("", "STK")
        and contract.symbol in ("", found.ib_symbol)
        and contract.local_symbol in ("", found.ib_symbol)
        and contract.trading_class in ("", found.trading_class)
        and contract.currency in ("", "USD")
        and contract.exchange in ("", *EXCHANGES)
        and primary in ("", "SMART", found.primary_exchange)
    )


def eleven(found: Listing, exchange: str, *, strike: str = "0.0", right: str = "") -> Contract11:
    """The listing as answers name it; `strike` and `right` differ between messages even for stocks."""
    return Contract11(
        con_id=found.con_id,
        symbol=found.ib_symbol,
        strike=strike,
        right=right,
        exchange=exchange,
        local_symbol=found.ib_symbol,
        trading_class=found.trading_class,
    )


def contract_data(req_id: int, found: Listing, exchange: str, now_ns: int) -> ContractData:
    """All about a listing. The hours told are a real exchange's, though the simulated market never closes."""
    today = new_york_date(now_ns)
    return ContractData(
        req_id=req_id,
        symbol=found.ib_symbol,
        exchange=exchange or "SMART",
        local_symbol=found.ib_symbol,
        market_name=found.trading_class,
        trading_class=found.trading_class,
        con_id=found.con_id,
        min_tick=MIN_TICK,
        order_types=ORDER_TYPES,
        valid_exchanges=",".join(EXCHANGES),
        long_name=found.long_name,
        primary_exchange=found.primary_exchange,
        time_zone_id=TIME_ZONE,
        trading_hours=_hours(today, *_EXTENDED_HOURS),
        liquid_hours=_hours(today, *_REGULAR_HOURS),
        market_rule_ids=",".join([str(MARKET_RULE_ID)] * len(EXCHANGES)),
    )


def sample(found: Listing) -> SymbolSample:
    """A listing as the answer to a search."""
    return SymbolSample(
        con_id=found.con_id,
        symbol=found.ib_symbol,
        primary_exchange=found.primary_exchange,
        description=found.long_name,
    )


def _hours(first: date, opens: str, closes: str) -> str:
    """Six days from `first` in IBKR's form: `20261123:0930-20261123:1600;20261128:CLOSED`."""
    days = [first + timedelta(days=n) for n in range(_DAYS_AHEAD)]
    stamps = [(f"{day:%Y%m%d}", is_session(day)) for day in days]
    return ";".join(f"{on}:{opens}-{on}:{closes}" if session else f"{on}:CLOSED" for on, session in stamps)
