"""The stocks that can be traded in the simulation: their ids, exchanges and names.

Every fact follows from the symbol alone, so two processes agree on it without talking. Where a true contract id is known
from a recorded session it is used; the others are hashes and mean nothing outside the simulation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

import msgspec

from ibstream.simulation.hashing import stable_hash

MIN_TICK = Decimal("0.01")

_TRUE_CON_IDS = {"AAPL": 265598, "TSLA": 76792991, "AMZN": 3691937}
_TRUE_NAMES = {"AAPL": "APPLE INC", "TSLA": "TESLA INC", "AMZN": "AMAZON.COM INC"}
_LOWEST_CON_ID, _CON_IDS = 100_000_000, 1_900_000_000
_LONGEST_NYSE_SYMBOL = 3
_SHORT_ON_NASDAQ = """
    ADI ADP AEP AMD APA APP BKR CDW CEG CME CSX EA EXC EXE FOX HAS HON KDP KHC LIN LNT MAR MU NWS ON PEP PTC REG ROP STX
    TER TTD TXN WBD WDC WMT WTW XEL
"""
_LONG_ON_NYSE = """
    ABBV ALLE AMCR ANET APTV ARES BALL BF.B BLDR BRK.A BRK.B CARR CBRE CIEN CPAY CTRA CTVA CVNA DECK DELL EPAM FICO GDDY
    GNRC GRMN HUBB INVH KEYS KVUE LDOS MSCI NCLH ORCL OTIS PAYC RVTY SCHW SOLV SPGI TRGP UBER VICI VLTO WELL
"""


class InstrumentError(Exception):
    """A symbol list that cannot be used. The text says why."""


class Listing(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One US stock, quoted in USD on a 0.01 tick."""

    symbol: str
    """Canonical form, as everywhere in ibstream: `BRK.B`."""
    ib_symbol: str
    """IBKR's form: `BRK B`."""
    con_id: int
    primary_exchange: str
    trading_class: str
    long_name: str


def to_ib_symbol(symbol: str) -> str:
    """`BRK.B` as IBKR writes it: `BRK B`."""
    return symbol.replace(".", " ")


def listing(symbol: str) -> Listing:
    """The facts of a stock, by its canonical symbol. Any symbol has some."""
    exchange = _primary_exchange(symbol)
    ib_symbol = to_ib_symbol(symbol)
    return Listing(
        symbol=symbol,
        ib_symbol=ib_symbol,
        con_id=_TRUE_CON_IDS.get(symbol) or _LOWEST_CON_ID + stable_hash(symbol) % _CON_IDS,
        primary_exchange=exchange,
        trading_class="NMS" if exchange == "NASDAQ" else ib_symbol,
        long_name=_TRUE_NAMES.get(symbol, f"{ib_symbol} CORP"),
    )


class InstrumentMaster:
    """Finds stocks by symbol, in either form, and by contract id."""

    def __init__(self, symbols: Iterable[str]) -> None:
        self._by_symbol: dict[str, Listing] = {}
        self._by_con_id: dict[int, Listing] = {}
        for symbol in symbols:
            self._add(listing(symbol))

    def __len__(self) -> int:
        return len(self._by_symbol)

    def __iter__(self) -> Iterator[Listing]:
        return iter(self._by_symbol.values())

    def by_symbol(self, symbol: str) -> Listing | None:
        """The stock with this symbol, `BRK.B` and `BRK B` alike."""
        return self._by_symbol.get(symbol.replace(" ", "."))

    def by_con_id(self, con_id: int) -> Listing | None:
        """The stock with this contract id."""
        return self._by_con_id.get(con_id)

    def matching(self, pattern: str, *, limit: int = 16) -> list[Listing]:
        """Up to `limit` stocks whose symbol or name begins with `pattern`, whatever its case; an exact symbol first."""
        wanted = pattern.upper()
        if not wanted:
            return []
        found = [one for one in self if one.ib_symbol.startswith(wanted) or one.long_name.startswith(wanted)]
        found.sort(key=lambda one: (one.ib_symbol != wanted, one.ib_symbol))
        return found[:limit]

    def _add(self, one: Listing) -> None:
        other = self._by_con_id.setdefault(one.con_id, one)
        if other.symbol != one.symbol:
            raise InstrumentError(f"{one.symbol} and {other.symbol} share a contract id; leave one out of the list")
        self._by_symbol[one.symbol] = one


def _primary_exchange(symbol: str) -> str:
    """NYSE symbols have one to three letters and NASDAQ's four or more, but for the exceptions above."""
    if symbol in _LONG_ON_NYSE.split():
        return "NYSE"
    if symbol in _SHORT_ON_NASDAQ.split() or len(symbol) > _LONGEST_NYSE_SYMBOL:
        return "NASDAQ"
    return "NYSE"
