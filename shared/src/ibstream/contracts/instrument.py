"""What is traded, in the field's own terms."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ibstream.contracts.base import Side, Symbol

SecurityType = Literal["STK", "CASH", "FUT", "OPT", "BAG", "IND"]
"""IBKR's security type: stocks and ETFs, currency pairs, futures, options on stocks and indices, combos, and indices, which are
quoted and not traded."""

Exchange = Annotated[str, Meta(max_length=32)]
Expiry = Annotated[str, Meta(pattern=r"^([0-9]{6}([0-9]{2})?)?$(?!\n)", description="YYYYMMDD, or YYYYMM of a future")]

LEGS_MAX = 8
"""IBKR's own limit of a combo's legs is lower for most exchanges; beyond this none takes it."""


class ComboLeg(msgspec.Struct, frozen=True, kw_only=True):
    """One leg of a combo."""

    instrument: Instrument
    """Any instrument but another combo."""
    side: Side
    """What a BUY of the combo does to this leg; a SELL does the opposite."""
    ratio: Annotated[int, Meta(ge=1, le=1000)] = 1
    """Shares or contracts of the leg for one of the combo."""

    def __post_init__(self) -> None:
        """Refuse a leg with legs: nested without end, it could be read and then not be written any more."""
        if self.instrument.legs:
            raise ValueError("a leg of a combo cannot have legs itself")


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One tradable thing. The symbol alone names a US stock; IBKR's contract id is looked up by the services.

    | what | said by |
    |---|---|
    | a stock or ETF | `symbol`, if need be `primary_exchange` |
    | a currency pair | `symbol` EUR, `currency` USD, `security_type` CASH, `exchange` IDEALPRO |
    | a future | `symbol` ES, `security_type` FUT, `exchange` CME, `expiry` |
    | an option | `symbol` of the underlying, `security_type` OPT, `expiry`, `strike`, `right` |
    | a combo | `symbol` of the underlying (or of the first leg), `security_type` BAG, `legs` |
    | an index | `symbol` SPX, `security_type` IND, `exchange` CBOE; for quotes and bars, not for orders |
    """

    symbol: Symbol
    security_type: SecurityType = "STK"
    exchange: Exchange = "SMART"
    """Where orders are routed; `SMART` lets IBKR choose."""
    primary_exchange: Exchange = ""
    """The listing exchange; needed only where a symbol is listed on several (`NASDAQ`, `NYSE`, `ARCA`)."""
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$(?!\n)")] = "USD"
    expiry: Expiry = ""
    """Last trading day or contract month, of futures and options."""
    strike: Decimal | None = None
    """Of options, in `currency`."""
    right: Literal["", "C", "P"] = ""
    """Of options: call or put."""
    multiplier: Annotated[str, Meta(pattern=r"^[0-9]{0,9}$(?!\n)")] = ""
    """Units in one contract; needed only where a symbol has several (`SI` with 1000 and 5000)."""
    trading_class: Annotated[str, Meta(max_length=32)] = ""
    """Needed only where several fit (`SPX` and `SPXW`)."""
    legs: Annotated[tuple[ComboLeg, ...], Meta(max_length=LEGS_MAX)] = ()
    """Of combos, two at least."""


def label(instrument: Instrument) -> str:
    """A short name for people and logs: `AAPL`, `EUR.USD`, `ES 202612`, `AAPL 20261218 250 C`, `AAPL combo of 2`."""
    match instrument.security_type:
        case "CASH":
            return f"{instrument.symbol}.{instrument.currency}"
        case "FUT":
            return f"{instrument.symbol} {instrument.expiry}"
        case "OPT":
            return f"{instrument.symbol} {instrument.expiry} {_strike(instrument.strike)} {instrument.right}"
        case "BAG":
            return f"{instrument.symbol} combo of {len(instrument.legs)}"
        case "IND":
            return f"{instrument.symbol} IND"
        case _:
            return instrument.symbol


_STRIKE_DIGITS_MAX = 15
"""Digits before the point, or zeros right behind it: what has more is no strike of anything, and would be a very long name."""


def _strike(strike: Decimal | None) -> str:
    """One name for one number: `250`, whether it was written 250, 250.0 or 2.5E2."""
    if strike is None or not strike.is_finite() or abs(strike.adjusted()) > _STRIKE_DIGITS_MAX:
        return str(strike)
    text = f"{strike:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


_USUAL_EXCHANGES = {"STK": "SMART", "OPT": "SMART", "CASH": "IDEALPRO"}
_USUAL_CURRENCY = "USD"


def quote_symbol(instrument: Instrument) -> str:
    """What quotes call it, in the first column of a row: its label, and behind that whatever is out of the ordinary.

    | instrument | is called |
    |---|---|
    | a US stock | `AAPL` |
    | a currency pair | `EUR.USD` |
    | a future | `ES 202612`, of a certain multiplier `SI 202612 x1000` |
    | an option | `AAPL 20261218 250 C`, of a certain class `SPX 20261218 5000 C SPXW` |
    | an index | `SPX IND` |
    | a stock in another currency, or of one exchange alone | `SAP EUR`, `AAPL @ARCA` |

    The primary exchange is no part of it: it helps to find a contract, and is not another one. A strike has no exponent and no
    needless zeros: `250`, `2.5`.
    """
    parts = [label(instrument)]
    if instrument.currency != _USUAL_CURRENCY and instrument.security_type != "CASH":
        parts.append(instrument.currency)
    if instrument.multiplier:
        parts.append(f"x{instrument.multiplier}")
    if instrument.trading_class:
        parts.append(instrument.trading_class)
    usual = _USUAL_EXCHANGES.get(instrument.security_type)
    if usual is not None and instrument.exchange not in (usual, "SMART"):
        parts.append(f"@{instrument.exchange}")
    return " ".join(parts)
