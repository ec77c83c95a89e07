"""The simulated market's instruments by the names that requests use, looked up as IBKR looks contracts up."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from ibstream.contracts.instrument import Instrument
from ibstream.simulation.instruments import InstrumentMaster, Listing, to_ib_symbol

_OLD_NAMES = {"ISLAND": "NASDAQ"}
"""What IBKR called NASDAQ until 2023."""
_MONTH_DIGITS = 6


def fitting(master: InstrumentMaster, said: Instrument, today: date) -> list[Listing]:
    """Every instrument that agrees with all that is said and can be had on `today`, New York's date.

    None for a combo, which has no contract of its own.
    """
    return [one for one in _candidates(master, said, today) if _fits(one, said, today)]


def _candidates(master: InstrumentMaster, said: Instrument, today: date) -> Iterable[Listing]:
    match said.security_type:
        case "STK":
            return _some(master.stock(said.symbol))
        case "CASH":
            return _some(master.by_symbol(f"{said.symbol}.{said.currency}"))
        case "FUT":
            return _futures(master, said.symbol, today)
        case "OPT":
            return _options(master, said, today)
        case "IND":
            return _some(master.by_symbol(said.symbol))
        case "BAG":
            return []


def _futures(master: InstrumentMaster, symbol: str, today: date) -> list[Listing]:
    try:
        return master.futures(symbol, today)
    except KeyError:
        return []


def _options(master: InstrumentMaster, said: Instrument, today: date) -> list[Listing]:
    chain = master.option_chain(said.symbol, today)
    if chain is None:
        return []
    strikes = chain.strikes if said.strike is None else (said.strike,)
    days = [day for day in chain.expirations if f"{day:%Y%m%d}".startswith(said.expiry)]
    places = ((day, strike, right) for day in days for strike in strikes for right in (said.right or "CP"))
    return [one for place in places if (one := master.option(chain.under, *place)) is not None]


def _some(listing: Listing | None) -> list[Listing]:
    return [] if listing is None else [listing]


def _fits(listing: Listing, said: Instrument, today: date) -> bool:
    primary = _OLD_NAMES.get(said.primary_exchange, said.primary_exchange)
    return (
        listing.security_type == said.security_type
        and listing.ib_symbol == to_ib_symbol(said.symbol)
        and listing.currency == said.currency
        and _is_routed_to(listing, said.exchange)
        and primary in ("", "SMART", listing.primary_exchange or listing.exchange)
        and said.trading_class in ("", listing.trading_class)
        and (not said.multiplier or Decimal(said.multiplier) == listing.multiplier)
        and _expiry_fits(listing, said.expiry)
        and (listing.expiry is None or listing.expiry >= today)
    )


def _is_routed_to(listing: Listing, exchange: str) -> bool:
    # IBKR routes no currency pair by SMART; whoever leaves the default means the one place where they trade.
    is_default = exchange == "SMART" and listing.security_type == "CASH"
    return is_default or exchange in ("", listing.exchange, *listing.valid_exchanges)


def _expiry_fits(listing: Listing, expiry: str) -> bool:
    """A future's contract month, or the last trading day of a future or an option."""
    if listing.security_type == "FUT" and len(expiry) == _MONTH_DIGITS:
        return expiry == listing.contract_month
    return listing.last_trade_date.startswith(expiry)
