"""Instruments as people say them: in words (`AAPL 20261218 250 C`), or by kind (`option("AAPL", "20261218", 250, "C")`)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from ibstream.client.decimals import Number, decimal_of
from ibstream.client.errors import InvalidRequestError
from ibstream.contracts.base import Side
from ibstream.contracts.instrument import ComboLeg, Instrument

CURRENCIES = frozenset({
    "AED", "AUD", "CAD", "CHF", "CNH", "CZK", "DKK", "EUR", "GBP", "HKD", "HUF", "ILS",
    "JPY", "MXN", "NOK", "NZD", "PLN", "SAR", "SEK", "SGD", "TRY", "USD", "ZAR",
})  # fmt: skip
"""What `EUR.USD` is told from `BRK.B` and `BAC.PRK` by: the currencies of IBKR's pairs. Others are said with `fx`."""

SYNTAX = "AAPL, EUR.USD, ES 202612 @CME, AAPL 20261218 250 C"
"""One example of each kind that can be said in words."""

T = TypeVar("T")

_EXPIRY = re.compile(r"[0-9]{6}([0-9]{2})?")


def stock(symbol: str, *, primary_exchange: str = "", currency: str = "USD", exchange: str = "SMART") -> Instrument:
    """A stock or ETF, in canonical form (`BRK.B`). `primary_exchange` where the symbol is listed on several."""
    return _valid(symbol=symbol, primary_exchange=primary_exchange, currency=currency, exchange=exchange)


def fx(base: str, quote: str, *, exchange: str = "IDEALPRO") -> Instrument:
    """A currency pair: so many `quote` for one `base`. Quantities are in `base`."""
    return _valid(symbol=base, currency=quote, security_type="CASH", exchange=exchange)


def future(
    symbol: str,
    expiry: str,
    *,
    exchange: str,
    currency: str = "USD",
    multiplier: str = "",
    trading_class: str = "",
) -> Instrument:
    """A future: `expiry` is its contract month `YYYYMM` or last trading day `YYYYMMDD`."""
    return _valid(
        symbol=symbol,
        security_type="FUT",
        expiry=expiry,
        exchange=exchange,
        currency=currency,
        multiplier=multiplier,
        trading_class=trading_class,
    )


def option(
    symbol: str,
    expiry: str,
    strike: Number,
    right: str,
    *,
    exchange: str = "SMART",
    currency: str = "USD",
    multiplier: str = "",
    trading_class: str = "",
) -> Instrument:
    """An option on the stock or index `symbol`: `expiry` as `YYYYMMDD`, `strike` in `currency`, `right` `C` or `P`."""
    return _valid(
        symbol=symbol,
        security_type="OPT",
        expiry=expiry,
        strike=decimal_of(strike, what="strike"),
        right=right,
        exchange=exchange,
        currency=currency,
        multiplier=multiplier,
        trading_class=trading_class,
    )


def index(symbol: str, exchange: str, *, currency: str = "USD") -> Instrument:
    """An index at the exchange that computes it: `index("SPX", "CBOE")`. For quotes and bars, not for orders."""
    return _valid(symbol=symbol, security_type="IND", exchange=exchange, currency=currency)


def leg(side: Side | str, instrument: str | Instrument, ratio: int = 1) -> ComboLeg:
    """One leg of a combo: what a BUY of the combo does to it, and how many of it there are in one combo."""
    return _checked(ComboLeg, {"instrument": instrument_of(instrument), "side": side, "ratio": ratio}, what="leg")


def combo(symbol: str, legs: Sequence[ComboLeg], *, exchange: str = "SMART", currency: str = "USD") -> Instrument:
    """Two legs to eight traded as one. `symbol` is the underlying's, or the first leg's where there are several."""
    return _valid(symbol=symbol, security_type="BAG", legs=tuple(legs), exchange=exchange, currency=currency)


def instrument_of(what: str | Instrument) -> Instrument:
    """An `Instrument` as it is; words as what they name, in capitals.

    | words | |
    |---|---|
    | `AAPL`, `BRK.B` | the US stock or ETF, in canonical form |
    | `EUR.USD` | the pair of two currencies |
    | `ES 202612 @CME` | the future of that month or day, at its exchange |
    | `AAPL 20261218 250 C` | the option: expiry, strike, `C` or `P` |
    | `SPX IND @CBOE` | the index, at the exchange that computes it |

    A last word `@EXCHANGE` says where orders are routed. What needs more is said by `stock`, `fx`, `future`, `option`, `index`
    and `combo`. Raises `InvalidRequestError`.
    """
    if isinstance(what, Instrument):
        return what
    *words, last = what.split() or [""]
    if last.startswith("@"):
        return _said(what, words, {"exchange": last[1:]})
    return _said(what, [*words, last], {})


def _said(what: str, words: list[str], route: dict[str, Any]) -> Instrument:
    match words:
        case [symbol] if symbol[:3] in CURRENCIES and symbol[3:4] == "." and symbol[4:] in CURRENCIES:
            return fx(symbol[:3], symbol[4:], **route)
        case [symbol]:
            return stock(symbol, **route)
        case [symbol, "IND"] if route:
            return index(symbol, **route)
        case [symbol, "IND"]:
            raise InvalidRequestError(f"an index needs its exchange: {symbol} IND @CBOE")
        case [symbol, expiry] if _EXPIRY.fullmatch(expiry) and route:
            return future(symbol, expiry, **route)
        case [symbol, expiry] if _EXPIRY.fullmatch(expiry):
            raise InvalidRequestError(f"a future needs its exchange: {symbol} {expiry} @CME")
        case [symbol, expiry, strike, right] if _EXPIRY.fullmatch(expiry):
            return option(symbol, expiry, strike, right, **route)
    raise InvalidRequestError(f"{what!r} names no instrument; what does is {SYNTAX}")


def _valid(**fields: Any) -> Instrument:
    return _checked(Instrument, fields, what="instrument")


def _checked(kind: type[T], fields: dict[str, Any], *, what: str) -> T:
    """What the fields make, if every reader would take it."""
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(f"no {what} is like that: {error}") from None
