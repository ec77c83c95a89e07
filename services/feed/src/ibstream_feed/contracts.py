"""The contracts of all symbols: each is looked up once, and remembered in Redis beyond this process."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from datetime import timedelta

import structlog

from ibstream.bus import BusRefused, BusUnavailable
from ibstream.contracts.instrument import Instrument, quote_symbol
from ibstream.ibkr import RequestFailed
from ibstream.ibkr.contracts import InstrumentError
from ibstream.runtime.clock import Clock
from ibstream.runtime.errors import RecoverableError
from ibstream.runtime.supervise import unless
from ibstream_feed.adapters.contract_store import ContractStore
from ibstream_feed.domain import hours
from ibstream_feed.ports import MarketDataPort, Qualified

HOURS_AGE = timedelta(hours=20)
"""Older hours are asked for again: IBKR tells those of a few days, and changes them for holidays."""

KEPT_FOR = timedelta(days=7)
"""An older contract is not used before it was looked up again: symbols change hands."""

UPKEEP_S = 1.0
"""Between two symbols whose hours are asked for again."""

UPKEEP_RETRY_S = 600.0
"""How long a symbol whose hours could not be had is passed over: it must not hold up the others."""

FORGOTTEN_AFTER = timedelta(days=30)
"""A contract that nobody has had looked up for so long is dropped."""

_log = structlog.get_logger(__name__)


class Contracts:
    """What IBKR says of each symbol. Losing Redis costs look-ups, nothing else."""

    def __init__(self, store: ContractStore, port: MarketDataPort, *, clock: Clock) -> None:
        self._store = store
        self._port = port
        self._clock = clock
        self._account: str | None = None
        self._known: dict[str, Qualified] = {}
        self._not_before: dict[str, float] = {}
        """When the hours of a symbol may be asked for again, in the clock's monotonic seconds."""
        self.messages_left = 0
        """Of the message limit, so many are left free while hours are renewed."""

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
            for symbol in [symbol for symbol, known in self._known.items() if self._age(known) >= FORGOTTEN_AFTER]:
                await self.forget(symbol)

    async def learn(self, symbols: Iterable[str]) -> None:
        """Take what other processes have looked up meanwhile of these symbols, as far as they are not known here."""
        missing = [symbol for symbol in symbols if symbol not in self._known]
        if self._account is None or not missing:
            return
        try:
            learnt = await self._store.some(self._account, missing)
        except (BusUnavailable, BusRefused) as error:
            _log.warning("feed.contracts_not_loaded", error=str(error))
        else:
            self._known = learnt | self._known

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
        if found.trading_hours and not hours.sessions(found.trading_hours, found.time_zone):
            _log.warning("feed.hours_not_understood", symbol=symbol, zone=found.time_zone, hours=found.trading_hours)
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

    async def keep_up(self, is_wanted: Callable[[str], bool], stop: asyncio.Event) -> None:
        """Ask for hours that have grown old again, of symbols that are wanted, one at a time, and while nobody else asks."""
        while not stop.is_set():
            await unless(stop, self._clock.sleep(UPKEEP_S))
            wanted = (known for symbol, known in self._known.items() if is_wanted(symbol))
            old = next(filter(self._is_old, wanted), None)
            if old is None or self._port.free() <= self.messages_left:
                continue
            self._not_before[quote_symbol(old.instrument)] = self._clock.monotonic() + UPKEEP_RETRY_S
            try:
                await unless(stop, self.renew(old.instrument))
            except InstrumentError as error:
                await self.forget(quote_symbol(old.instrument))
                _log.warning("feed.contract_is_gone", symbol=quote_symbol(old.instrument), error=str(error))
            except (RecoverableError, RequestFailed, TimeoutError) as error:
                _log.debug("feed.hours_not_renewed", symbol=quote_symbol(old.instrument), error=str(error))

    def in_regular_hours(self, symbol: str) -> bool:
        """Whether its exchange is in its regular session; False where nobody knows."""
        known = self._known.get(symbol)
        return known is not None and hours.is_open(known.liquid_hours, known.time_zone, self._now_s())

    def trades(self, symbol: str) -> bool | None:
        """Whether it trades at all now, early and late hours included; None where nobody knows."""
        known, now_s = self._known.get(symbol), self._now_s()
        if known is None or not hours.is_told(known.trading_hours, known.time_zone, now_s):
            return None
        return hours.is_open(known.trading_hours, known.time_zone, now_s)

    def _is_old(self, known: Qualified) -> bool:
        is_due = self._not_before.get(quote_symbol(known.instrument), -math.inf) <= self._clock.monotonic()
        return is_due and self._age(known) >= HOURS_AGE

    def _age(self, known: Qualified) -> timedelta:
        return self._clock.now() - known.qualified_at

    def _now_s(self) -> float:
        return self._clock.time_ns() / 1e9
