"""The keys by which the simulation names instruments, and what can be read off them.

AAPL, BRK.B                 a stock or an ETF
EUR.USD                     a currency pair: what is bought, and what it is paid in
SPX                         an index, one of `catalog.INDICES`
ESZ2026                     a future: root, month code and year of the contract month
AAPL  261218C00250000       an option in the OCC's form: root, expiry, right and the strike in thousandths
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Literal

import msgspec

from ibstream.simulation.catalog import FUTURES, FX_PAIRS, INDICES

SecurityType = Literal["STK", "CASH", "FUT", "OPT", "IND"]
"""IBKR's names of the kinds of instruments that the simulation has."""

Right = Literal["C", "P"]

MONTH_CODES = "FGHJKMNQUVXZ"
"""The letters of January to December in a future's symbol."""

_OPTION = re.compile(r"([A-Z]{1,6}) *(\d{6})([CP])(\d{8})")
_OPTION_LENGTH = 21
_FUTURE = re.compile(r"([A-Z0-9]{1,4}?)([FGHJKMNQUVXZ])(\d{4})")
_OPTION_ROOTS = {"SPX": "SPXW", "NDX": "NDXP", "RUT": "RUTW", "BRK.A": "BRKA", "BRK.B": "BRKB", "BF.B": "BFB"}
"""Underlyings whose options have another root than their own symbol."""
_UNDERLYINGS = {root: under for under, root in _OPTION_ROOTS.items()}


class Key(msgspec.Struct, frozen=True, gc=False):
    """A key taken apart. Fields that its kind does not have are empty."""

    security_type: SecurityType
    root: str
    """The stock, index or pair itself; a future's root; the key of an option's underlying."""
    year: int = 0
    """A future's contract month."""
    month: int = 0
    expiry: date | None = None
    """An option's last trading day."""
    right: str = ""
    strike: Decimal = Decimal(0)


def parse(key: str) -> Key:
    """Take a key apart. Whatever fits no other form is a stock."""
    if key in INDICES:
        return Key("IND", key)
    if key in FX_PAIRS:
        return Key("CASH", key)
    if len(key) == _OPTION_LENGTH:
        return _option(key) or Key("STK", key)
    return _future(key) or Key("STK", key)


def future_key(root: str, year: int, month: int) -> str:
    """`ESZ2026` for ES, 2026, 12."""
    return f"{root}{MONTH_CODES[month - 1]}{year}"


def option_key(under: str, expiry: date, strike: Decimal | float, right: str) -> str:
    """`AAPL  261218C00250000` for AAPL, 2026-12-18, 250, C. Strikes are exact to a thousandth."""
    thousandths = round(Decimal(str(strike)) * 1000)
    return f"{option_root(under):<6}{expiry:%y%m%d}{right}{thousandths:08d}"


def option_root(under: str) -> str:
    """The trading class of an underlying's options: `AAPL`, `BRKB`, `SPXW`."""
    return _OPTION_ROOTS.get(under, under)


def _option(key: str) -> Key | None:
    found = _OPTION.fullmatch(key)
    if found is None:
        return None
    root, day, right, thousandths = found.groups()
    try:
        expiry = date(2000 + int(day[:2]), int(day[2:4]), int(day[4:]))
    except ValueError:
        return None
    return Key("OPT", _UNDERLYINGS.get(root, root), 0, 0, expiry, right, Decimal(int(thousandths)) / 1000)


def _future(key: str) -> Key | None:
    found = _FUTURE.fullmatch(key)
    if found is None or found[1] not in FUTURES:
        return None
    return Key("FUT", found[1], int(found[3]), MONTH_CODES.index(found[2]) + 1)
