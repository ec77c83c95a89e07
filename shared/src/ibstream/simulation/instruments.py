"""The instruments that can be traded in the simulation, found by symbol, contract id, root or chain.

What a single one is follows from its key alone: see `listings` for the facts and `keys` for the forms.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal
from functools import cache

import msgspec

from ibstream.simulation.catalog import FUNDS, FUTURES, FX_PAIRS, INDICES
from ibstream.simulation.expiries import expired_months, listed_months, option_expiries
from ibstream.simulation.hashing import stable_hash
from ibstream.simulation.keys import future_key, option_key, option_root, parse
from ibstream.simulation.listings import MIN_TICK, OPTION_EXCHANGES, RECORDED_OPTIONS, Listing, listing, to_ib_symbol
from ibstream.simulation.strikes import UNDERLYINGS_MAX, option_id, option_of, strikes_around

__all__ = ["MIN_TICK", "InstrumentError", "InstrumentMaster", "Listing", "OptionChain", "listing", "to_ib_symbol"]

_INDICES_WITH_OPTIONS = ("SPX", "NDX", "RUT")
_FUTURE_YEARS = range(2000, 2051)
_ROOTS = {root.ib_symbol: name for name, root in FUTURES.items() if root.ib_symbol}


class InstrumentError(Exception):
    """A symbol list that cannot be used. The text says why."""


class OptionChain(msgspec.Struct, frozen=True):
    """The options on one underlying that are listed on a day: every expiry has every strike, as call and as put."""

    under: str
    under_con_id: int
    trading_class: str
    multiplier: Decimal
    exchanges: tuple[str, ...]
    expirations: tuple[date, ...]
    strikes: tuple[Decimal, ...]


class InstrumentMaster:
    """Finds instruments: the stocks it is given, and always the catalog's funds, pairs, indices, futures, and options.

    Iterating and `len` cover what has no expiry. An option's contract id depends on the number its underlying has here: a
    hash, moved on where another took it first. So ids are the same in all masters of one list, and those of most underlyings
    remain when the list changes.
    """

    def __init__(self, symbols: Iterable[str]) -> None:
        self._by_symbol: dict[str, Listing] = {}
        self._by_con_id: dict[int, Listing] = {}
        self._numbers: dict[str, int] = {}
        self._numbered: dict[int, str] = {}
        for key in (*FUNDS, *FX_PAIRS, *INDICES, *symbols):
            if key not in self._by_symbol:
                self._add(listing(key))

    def __len__(self) -> int:
        return len(self._by_symbol)

    def __iter__(self) -> Iterator[Listing]:
        return iter(self._by_symbol.values())

    def by_symbol(self, symbol: str) -> Listing | None:
        """The instrument with this key, or the stock with this symbol in IBKR's form: `BRK.B` and `BRK B` alike."""
        found = self._by_symbol.get(symbol) or self._by_symbol.get(symbol.replace(" ", "."))
        return found or self._dated(symbol)

    def stock(self, symbol: str) -> Listing | None:
        """The stock or fund with this symbol, in either form."""
        found = self._by_symbol.get(symbol.replace(" ", "."))
        return found if found is not None and found.security_type == "STK" else None

    def by_con_id(self, con_id: int) -> Listing | None:
        """The instrument with this contract id."""
        found = self._by_con_id.get(con_id) or _futures_by_con_id().get(con_id)
        if found is not None:
            return found
        if con_id in RECORDED_OPTIONS:
            return self.by_symbol(RECORDED_OPTIONS[con_id])
        place = option_of(con_id)
        if place is None or place[0] not in self._numbered:
            return None
        number, expiry, strike, right = place
        return self.option(self._numbered[number], expiry, strike, right)

    def roots(self) -> tuple[str, ...]:
        """The roots of all futures: `ES`, `CL`, `XW`."""
        return tuple(FUTURES)

    def futures(self, root: str, today: date) -> list[Listing]:
        """The contract months of a root that can be traded on `today`, nearest first; by root or by IBKR's symbol.

        Raises KeyError for a root that is not in `roots`.
        """
        root = _ROOTS.get(root, root)
        return [listing(future_key(root, *month)) for month in listed_months(FUTURES[root], today)]

    def expired_futures(self, root: str, today: date) -> list[Listing]:
        """The contract months that ended in the two years before `today`, latest first."""
        root = _ROOTS.get(root, root)
        return [listing(future_key(root, *month)) for month in expired_months(FUTURES[root], today)]

    def option_chain(self, under: str, today: date, *, spot: float | None = None) -> OptionChain | None:
        """The options on `under` listed on `today`; None if it has none.

        `spot` is the underlying's price, best one that stands for the day: strikes then reach from half of it to 1.6 times.
        Without it they are all that may ever be listed.
        """
        if under not in self._numbers:
            return None
        found = self._by_symbol[under]
        exchanges = OPTION_EXCHANGES if found.security_type == "STK" else ("SMART", "CBOE")
        return OptionChain(
            under=under,
            under_con_id=found.con_id,
            trading_class=option_root(under),
            multiplier=Decimal(100),
            exchanges=exchanges,
            expirations=option_expiries(today),
            strikes=strikes_around(spot),
        )

    def option(self, under: str, expiry: date, strike: Decimal | float, right: str) -> Listing | None:
        """One option, listed or expired; None where underlying, day or strike has none."""
        number, price = self._numbers.get(under), Decimal(str(strike))
        if number is None or right not in ("C", "P"):
            return None
        con_id = option_id(number, expiry, price, right)
        if con_id is None:
            return None
        found = listing(option_key(under, expiry, price, right))
        return found if found.con_id else msgspec.structs.replace(found, con_id=con_id)

    def option_listings(self, under: str, today: date, *, spot: float | None = None) -> Iterator[Listing]:
        """Every option of the chain, by expiry, strike and right."""
        listed = self.option_chain(under, today, spot=spot)
        if listed is None:
            return
        for expiry in listed.expirations:
            for strike in listed.strikes:
                for right in ("C", "P"):
                    found = self.option(under, expiry, strike, right)
                    if found is not None:
                        yield found

    def has_options(self, under: str) -> bool:
        """Whether options on this instrument are listed."""
        return under in self._numbers

    def matching(self, pattern: str, *, limit: int = 16) -> list[Listing]:
        """Up to `limit` instruments whose symbol or name begins with `pattern`, whatever its case; an exact symbol first."""
        wanted = pattern.upper()
        if not wanted:
            return []
        found = [one for one in self if one.ib_symbol.startswith(wanted) or one.long_name.upper().startswith(wanted)]
        found.sort(key=lambda one: (one.ib_symbol != wanted, one.security_type != "STK", one.ib_symbol, one.symbol))
        return found[:limit]

    def _dated(self, key: str) -> Listing | None:
        """The future or option with this key."""
        parsed = parse(key)
        if parsed.security_type == "OPT" and parsed.expiry is not None:
            return self.option(parsed.root, parsed.expiry, parsed.strike, parsed.right)
        known = parsed.security_type == "FUT" and parsed.month in FUTURES[parsed.root].months
        return listing(key) if known and parsed.year in _FUTURE_YEARS else None

    def _add(self, one: Listing) -> None:
        other = self._by_con_id.setdefault(one.con_id, one)
        if other.symbol != one.symbol:
            raise InstrumentError(f"{one.symbol} and {other.symbol} share a contract id; leave one out of the list")
        self._by_symbol[one.symbol] = one
        if one.security_type == "STK" or one.symbol in _INDICES_WITH_OPTIONS:
            self._number(one.symbol)

    def _number(self, symbol: str) -> None:
        """Give an underlying its number, while there are any."""
        if len(self._numbers) == UNDERLYINGS_MAX:
            return
        number = stable_hash(symbol) % UNDERLYINGS_MAX
        while number in self._numbered:
            number = (number + 1) % UNDERLYINGS_MAX
        self._numbers[symbol], self._numbered[number] = number, symbol


@cache
def _futures_by_con_id() -> dict[int, Listing]:
    """Every future that has a key, by its contract id; a few thousand, so hashed only once somebody asks for one."""
    months = ((name, year, month) for name, root in FUTURES.items() for year in _FUTURE_YEARS for month in root.months)
    return {found.con_id: found for found in (listing(future_key(*month)) for month in months)}
