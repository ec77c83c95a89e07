"""The simulated market's instruments as orders name them, and as the broker is told of them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import msgspec

from ibstream.contracts.instrument import Instrument, label
from ibstream.contracts.orders import Reason
from ibstream.ibkr.contracts import from_ib_symbol
from ibstream.simulation.increments import MARKET_RULES
from ibstream.simulation.instruments import InstrumentMaster, Listing
from ibstream.simulation.lookup import fitting
from ibstream.simulation.orders import Leg
from ibstream.simulation.recent import Recent
from ibstream_broker.domain.checks.instruments import wrong_with_combo
from ibstream_broker.ports import InstrumentRefused, Terms

INSTRUMENTS_KEPT = 10_000
"""Instruments whose look-up is remembered; the oldest is forgotten, and looked up again when it comes back."""


class Traded(msgspec.Struct, frozen=True):
    """How one instrument is named in what the broker is told."""

    con_id: int
    """0 for a combo."""
    symbol: str
    """As in requests: `BRK.B`, `EUR`, `ES`; of an option its underlying's."""
    security_type: str
    currency: str
    exchange: str


class Found(msgspec.Struct, frozen=True):
    """One instrument as it was looked up."""

    key: str
    """The simulation's name of it; of a combo its symbol."""
    traded: Traded
    terms: Terms
    legs: tuple[Leg, ...] = ()
    """Of a combo."""


class InstrumentBook:
    """Finds what orders are for, and what executions and positions are of."""

    def __init__(self, master: InstrumentMaster) -> None:
        self._master = master
        self._found: Recent[Instrument, Found] = Recent(INSTRUMENTS_KEPT)
        self._traded: Recent[str, Traded] = Recent(INSTRUMENTS_KEPT)

    def known(self, instrument: Instrument) -> Found | None:
        """What was looked up before."""
        return self._found.get(instrument)

    def find(self, instrument: Instrument, today: date) -> Found:
        """The one instrument that fits what is said, listed on `today`, New York's date.

        Raises `InstrumentRefused` where none fits or several do.
        """
        found = self._found.get(instrument)
        if found is None:
            found = (
                self._combo(instrument, today) if instrument.security_type == "BAG" else self._one(instrument, today)
            )
            self._found.put(instrument, found)
        return found

    def traded(self, key: str) -> Traded:
        """How an instrument that the engine traded is named."""
        known = self._traded.get(key)
        if known is None:
            listing = self._master.by_symbol(key)
            if listing is None:
                raise LookupError(f"the engine traded {key}, which the instrument master does not have")
            known = _traded(listing)
            self._traded.put(key, known)
        return known

    def _one(self, instrument: Instrument, today: date) -> Found:
        found = fitting(self._master, instrument, today)
        if not found:
            raise InstrumentRefused(
                Reason.UNKNOWN_INSTRUMENT, f"the simulated market has no {label(instrument)} as it was named"
            )
        if len(found) > 1:
            raise InstrumentRefused(
                Reason.AMBIGUOUS_INSTRUMENT, f"{label(instrument)} fits {len(found)} contracts; say which of them"
            )
        listing = found[0]
        # Pairs are told to trade in hundredths of a unit, but over its API IBKR takes whole ones alone.
        terms = Terms(
            con_id=listing.con_id,
            increments=MARKET_RULES[listing.market_rule_id],
            multiplier=listing.point_value,
            quantity_step=max(listing.size_increment, Decimal(1)),
        )
        return Found(listing.symbol, _traded(listing), terms)

    def _combo(self, instrument: Instrument, today: date) -> Found:
        wrong = wrong_with_combo(instrument)
        if wrong is not None:
            raise InstrumentRefused(Reason.INVALID_INSTRUMENT, f"{label(instrument)}: {wrong}")
        found = [self.find(leg.instrument, today) for leg in instrument.legs]
        legs = tuple(
            Leg(symbol=one.key, side=leg.side, ratio=leg.ratio, exchange=leg.instrument.exchange)
            for one, leg in zip(found, instrument.legs, strict=True)
        )
        # A combo's tick is its exchange's own, which nobody tells; its price is per unit of its largest leg.
        terms = Terms(con_id=0, multiplier=max(one.terms.multiplier for one in found))
        traded = Traded(0, instrument.symbol, "BAG", instrument.currency, instrument.exchange)
        return Found(instrument.symbol, traded, terms, legs)


def _traded(listing: Listing) -> Traded:
    return Traded(
        listing.con_id,
        from_ib_symbol(listing.ib_symbol),
        listing.security_type,
        listing.currency,
        listing.primary_exchange or listing.exchange,
    )
