"""The feed's life around a slot: rooms that are made anew with each one, and what the host tells them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import structlog

from ibstream.bus import Bus
from ibstream.contracts.instrument import Instrument
from ibstream.contracts.system import ConnectionState
from ibstream.runtime.clock import Clock
from ibstream.runtime.connection import ConnectionEvent, Trigger
from ibstream.runtime.service import Slot, Worker
from ibstream.runtime.settings import FeedSettings
from ibstream_feed.domain.line import Line
from ibstream_feed.ports import MarketDataPort
from ibstream_feed.rooms import Rooms

LINK_RESTORED_DATA_KEPT = 1102
"""IBKR's word that the subscriptions outlived the loss."""

_FLOWING = {ConnectionState.READY, ConnectionState.SYNCHRONISING}
_SESSION_LIVES = {*_FLOWING, ConnectionState.DEGRADED}

_log = structlog.get_logger(__name__)


class FeedService:
    """One feed process: subscribes its share of what is wanted, publishes quotes, and says of each row where it stands."""

    def __init__(
        self,
        bus: Bus,
        quotes_bus: Bus,
        port: MarketDataPort,
        listed: Sequence[Instrument],
        *,
        settings: FeedSettings,
        clock: Clock,
    ) -> None:
        """`listed`: the feed's own list, most wanted first. Quotes go over `quotes_bus`, all else over `bus`."""
        self._bus = bus
        self._quotes_bus = quotes_bus
        self._port = port
        self._listed = listed
        self._settings = settings
        self._clock = clock
        self._rooms: Rooms | None = None
        port.listen(self._on_ticks, self._on_code, self._on_farm)

    def workers(self, slot: Slot) -> tuple[Worker, ...]:
        """The rooms for one hold on a slot. What an earlier one knew is forgotten: others may have published newer rows since."""
        self._rooms = Rooms(
            self._bus, self._quotes_bus, self._port, self._listed, slot, settings=self._settings, clock=self._clock
        )
        return self._rooms.workers()

    async def synchronise(self, event: ConnectionEvent) -> None:
        """Ask for everything on a new session, and when IBKR lost the subscriptions (1101); else see what was kept (1102)."""
        if self._rooms is None:
            return
        if event.trigger is Trigger.LINK_RESTORED:
            _log.info("feed.link_restored", reason=event.reason)
        if event.code == LINK_RESTORED_DATA_KEPT:
            self._rooms.link_restored()
        else:
            await self._rooms.session_ready()

    def on_state(self, state: ConnectionState, _reason: str) -> None:
        """The moment quotes stop flowing, every row says so."""
        if self._rooms is None:
            return
        if state in _FLOWING:
            self._rooms.flow()
        else:
            self._rooms.stop_flowing(is_session_over=state not in _SESSION_LIVES)

    def details(self) -> dict[str, int | float | str]:
        """For the heartbeat."""
        return {} if self._rooms is None else self._rooms.details()

    def _on_ticks(self, lines: Iterable[Line], time_ns: int) -> None:
        if self._rooms is not None:
            self._rooms.on_ticks(lines, time_ns)

    def _on_code(self, line: Line, code: int, text: str) -> None:
        if self._rooms is not None:
            self._rooms.desk.on_code(line, code, text)

    def _on_farm(self, farm: str, is_up: bool) -> None:
        if self._rooms is not None:
            self._rooms.desk.on_farm(farm, is_up)
