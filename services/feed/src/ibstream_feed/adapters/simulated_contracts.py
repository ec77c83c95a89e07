"""What the simulated market says of an instrument that is looked up: what a Gateway would."""

from __future__ import annotations

from datetime import date, timedelta
from zoneinfo import ZoneInfo

from ibstream.calendar.hours import HOURS, Group
from ibstream.calendar.text import liquid_hours, time_zone_id, trading_hours
from ibstream.contracts.instrument import Instrument, label
from ibstream.ibkr.contracts import AmbiguousInstrument, UnknownInstrument, exchange_of
from ibstream.runtime.clock import Clock
from ibstream.simulation.instruments import InstrumentMaster
from ibstream.simulation.lookup import fitting
from ibstream.simulation.sessions import from_ns, new_york_date
from ibstream_feed.ports import Qualified

NO_CONTRACT = 200, "No security definition has been found for the request"
"""IBKR's code and text for a contract that it does not have."""

_CONTRACTS = ("FUT", "OPT")
"""Kinds that have a multiplier."""


class ContractDesk:
    """Looks instruments up."""

    def __init__(self, master: InstrumentMaster, clock: Clock) -> None:
        self._master = master
        self._clock = clock

    def qualify(self, instrument: Instrument) -> Qualified:
        """The one instrument that fits. Raises `UnknownInstrument`, `AmbiguousInstrument`."""
        now_ns = self._clock.time_ns()
        found = fitting(self._master, instrument, new_york_date(now_ns))
        if not found:
            raise UnknownInstrument(f"the simulated market has no {label(instrument)} as it was named")
        if len(found) > 1:
            raise AmbiguousInstrument(f"{label(instrument)} fits {len(found)} contracts; say which of them")
        listing, first = found[0], trading_date(found[0].hours, now_ns)
        return Qualified(
            instrument=instrument,
            con_id=listing.con_id,
            exchange=exchange_of(instrument) or listing.exchange,
            primary_exchange=listing.primary_exchange,
            local_symbol=listing.local_symbol,
            expiry=listing.last_trade_date,
            multiplier=f"{listing.multiplier:f}" if listing.security_type in _CONTRACTS else "",
            trading_class=listing.trading_class,
            time_zone=time_zone_id(listing.hours),
            trading_hours=trading_hours(listing.hours, first),
            liquid_hours=liquid_hours(listing.hours, first),
            qualified_at=self._clock.now(),
        )


def trading_date(group: Group, now_ns: int) -> date:
    """The trading date that a moment belongs to: where sessions begin on the day before, the evening is tomorrow's."""
    hours = HOURS[group]
    local = from_ns(now_ns).astimezone(ZoneInfo(hours.zone.name))
    is_evening = hours.opens > hours.closes and local.time() >= hours.opens
    return local.date() + timedelta(days=1) if is_evening else local.date()
