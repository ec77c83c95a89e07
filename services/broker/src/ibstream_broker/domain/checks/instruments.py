"""Which fields each kind of instrument has: those it needs, and those that would contradict it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

from ibstream.contracts.instrument import Instrument, SecurityType
from ibstream.contracts.orders import Reason
from ibstream_broker.domain.checks.numbers import check_price
from ibstream_broker.domain.refusal import Refusal

LEGS_MIN = 2
"""One leg is no combo."""

NO_ORDERS_ON_INDICES = "an index is quoted and not traded: name a future, an option or a fund on it"


class _Fields(NamedTuple):
    needed: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()


_FIELDS: Mapping[SecurityType, _Fields] = {
    "STK": _Fields(forbidden=("expiry", "strike", "right", "multiplier", "legs")),
    "CASH": _Fields(forbidden=("expiry", "strike", "right", "multiplier", "legs", "primary_exchange")),
    "FUT": _Fields(needed=("expiry",), forbidden=("strike", "right", "legs")),
    "OPT": _Fields(needed=("expiry", "strike", "right"), forbidden=("legs",)),
    "BAG": _Fields(forbidden=("expiry", "strike", "right", "multiplier", "trading_class", "primary_exchange")),
}
_NAMES: Mapping[SecurityType, str] = {
    "STK": "a stock",
    "CASH": "a currency pair",
    "FUT": "a future",
    "OPT": "an option",
    "BAG": "a combo",
}
_NO_LEGS = ("BAG", "IND")
_DAY_DIGITS = 8
_CURRENCY_LETTERS = 3


def check_instrument(instrument: Instrument) -> Refusal | None:
    """Everything that can be told without asking anybody; whether there is such a thing its executor knows."""
    wrong = _wrong_with(instrument)
    return None if wrong is None else Refusal(Reason.INVALID_INSTRUMENT, wrong)


def _wrong_with(instrument: Instrument) -> str | None:
    if instrument.security_type == "IND":
        return NO_ORDERS_ON_INDICES
    return _wrong_with_fields(instrument) or _wrong_with_kind(instrument)


def _wrong_with_fields(instrument: Instrument) -> str | None:
    what, fields = _NAMES[instrument.security_type], _FIELDS[instrument.security_type]
    for name in fields.needed:
        if getattr(instrument, name) in ("", None):
            return f"{what} needs its {name}"
    for name in fields.forbidden:
        if getattr(instrument, name) not in ("", None, ()):
            return f"{what} has no {name}: leave it out, or name another security_type"
    if not instrument.exchange:
        return "exchange is empty: SMART lets IBKR choose"
    if instrument.multiplier and not int(instrument.multiplier):
        return "multiplier is zero: leave it out"
    return None


def _wrong_with_kind(instrument: Instrument) -> str | None:
    match instrument.security_type:
        case "CASH":
            return _wrong_with_pair(instrument)
        case "FUT" | "OPT":
            what = _NAMES[instrument.security_type]
            return _wrong_with_expiry(instrument, what) or _wrong_with_strike(instrument)
        case "BAG":
            return _wrong_with_legs(instrument)
        case _:
            return None


def _wrong_with_pair(instrument: Instrument) -> str | None:
    symbol = instrument.symbol
    if len(symbol) != _CURRENCY_LETTERS or not symbol.isalpha() or symbol == instrument.currency:
        return f"{symbol} for {instrument.currency} is no pair: symbol is its first currency, currency its second"
    return None


def _wrong_with_expiry(instrument: Instrument, what: str) -> str | None:
    """An option's contract month would name several of them."""
    expiry = instrument.expiry
    if instrument.security_type == "OPT" and len(expiry) != _DAY_DIGITS:
        return f"{what} needs the day in its expiry: YYYYMMDD, not {expiry}"
    try:
        date(int(expiry[:4]), int(expiry[4:6]), int(expiry[6:] or 1))
    except ValueError:
        return f"expiry {expiry} is no day and no month"
    return None


def _wrong_with_strike(instrument: Instrument) -> str | None:
    if instrument.strike is None:
        return None
    refusal = check_price("strike", instrument.strike, is_combo=False)
    return None if refusal is None else refusal.text


def wrong_with_combo(combo: Instrument) -> str | None:
    """Why a combo is none, for executors: they are also asked for one that nobody has checked. None where it is one."""
    is_combo = len(combo.legs) >= LEGS_MIN and all(leg.instrument.security_type not in _NO_LEGS for leg in combo.legs)
    return None if is_combo else "a combo has two legs at least, none of them a combo or an index"


def _wrong_with_legs(instrument: Instrument) -> str | None:
    if len(instrument.legs) < LEGS_MIN:
        return f"a combo has {LEGS_MIN} legs at least: for one leg, order its instrument"
    for number, leg in enumerate(instrument.legs, start=1):
        if leg.instrument.security_type == "BAG":
            return f"leg {number} is a combo itself: name its legs instead"
        wrong = _wrong_with(leg.instrument)
        if wrong is not None:
            return f"leg {number}: {wrong}"
    return None
