"""The contracts of all symbols: each is looked up once, and remembered in Redis beyond this process."""

from __future__ import annotations

from datetime import timedelta

import structlog

from ibstream.bus import BusRefused, BusUnavailable
from ibstream.contracts.instrument import Instrument, quote_symbol
from ibstream.runtime.clock import Clock
from ibstream_feed.adapters.contract_store import ContractStore
from ibstream_feed.domain import hours
from ibstream_feed.ports import MarketDataPort, Qualified

HOURS_AGE = timedelta(hours=20)
"""Older hours are asked for again: IBKR tells those of a few days, and changes them for holidays."""

KEPT_FOR = timedelta(days=7)
"""An older contract is not used before it was looked up again: symbols change hands."""

_log = structlog.get_logger(__name__)


class Contracts:
    """What IBKR says of each symbol. Losing Redis costs look-ups, nothing else."""

    def __init__(self, store: ContractStore, port: MarketDataPort, *, clock: Clock) -> None:
        self._store = store
        self._port = port
        self._clock = clock
        self._account: str | None = None
        self._known: dict[str, Qualified] = {}

    async def load(self, account: str) -> None:
        """Take what Redis has for this account, once."""
        if account == self._account:
            return
        try:
            self._known = await self._store.load(account)
        except (BusUnavailable, BusRefused) as error:
            _log.warning("feed.contracts_not_loaded", error=str(error))
            self._known = {}
        else:
            self._account = account

    def get(self, symbol: str) -> Qualified | None:
        """What is known of a symbol; None before it was looked up."""
        return self._known.get(symbol)

    async def qualify(self, instrument: Instrument) -> Qualified:
        """The contract of an instrument, looked up where it is not known. Raises what the port's `qualify` raises."""
        known = self._known.get(quote_symbol(instrument))
        if known is not None and known.instrument == instrument and self._age(known) < KEPT_FOR:
            return known
        return await self.renew(instrument)

    async def renew(self, instrument: Instrument) -> Qualified:
        """Look an instrument up, known or not. Raises what the port's `qualify` raises."""
        symbol = quote_symbol(instrument)
        found = self._known[symbol] = await self._port.qualify(instrument)
        try:
            await self._store.keep(self._port.account, symbol, found)
        except (BusUnavailable, BusRefused) as error:
            _log.warning("feed.contract_not_kept", symbol=symbol, error=str(error))
        return found

    def distrust(self, symbol: str) -> None:
        """What is known of a symbol may be wrong: it is looked up anew when it is needed."""
        self._known.pop(symbol, None)

    async def forget(self, symbol: str) -> None:
        """There is no such contract, or no longer."""
        self._known.pop(symbol, None)
        try:
            await self._store.drop(self._port.account, symbol)
        except (BusUnavailable, BusRefused) as error:
            _log.warning("feed.contract_not_dropped", symbol=symbol, error=str(error))

    def has_old_hours(self, symbol: str) -> bool:
        """Whether the hours of a symbol should be asked for again."""
        known = self._known.get(symbol)
        return known is not None and self._age(known) >= HOURS_AGE

    def in_regular_hours(self, symbol: str) -> bool:
        """Whether its exchange is in its regular session; False where nobody knows."""
        known = self._known.get(symbol)
        return known is not None and hours.is_open(known.liquid_hours, known.time_zone, self._now_s())

    def trades(self, symbol: str) -> bool | None:
        """Whether it trades at all now, early and late hours included; None where nobody knows."""
        known = self._known.get(symbol)
        if known is None or not hours.sessions(known.trading_hours, known.time_zone):
            return None
        return hours.is_open(known.trading_hours, known.time_zone, self._now_s())

    def _age(self, known: Qualified) -> timedelta:
        return self._clock.now() - known.qualified_at

    def _now_s(self) -> float:
        return self._clock.time_ns() / 1e9
