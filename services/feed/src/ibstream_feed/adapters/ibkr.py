"""Market data from a Gateway."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from ibstream.contracts.feed import DataKind
from ibstream.contracts.instrument import Instrument
from ibstream.ibkr import GatewayUnavailable, RequestFailed
from ibstream.ibkr.contracts import ContractBook, to_ib_symbol
from ibstream.ibkr.session import IbkrSession, SessionOptions
from ibstream.runtime.clock import Clock
from ibstream.runtime.connection import ConnectionEvent
from ibstream.runtime.settings import Settings
from ibstream_feed.adapters.ibkr_fast import FastTicks
from ibstream_feed.adapters.ibkr_snapshots import Gathering, is_refusal
from ibstream_feed.adapters.ibkr_stock import StockTicks
from ibstream_feed.adapters.ibkr_streams import Streams
from ibstream_feed.domain.line import DELAYED, DELAYED_FROZEN, FROZEN, LIVE, Line
from ibstream_feed.ports import OnCode, OnFarm, OnItem, OnStreamCode, OnTicks, Qualified

if TYPE_CHECKING:
    from ib_async import IB, Contract

SNAPSHOT_TIMEOUT_S = 15.0
"""IBKR ends a snapshot after 11 s, whatever it has by then."""

DATA_LOST_CODE = 1101

_DATA_TYPES = {"live": LIVE, "frozen": FROZEN, "delayed": DELAYED, "delayed_frozen": DELAYED_FROZEN}
_FARM_CODES = {2103: False, 2104: True, 2108: True}
"""Of farms of market data, and whether they can be had; one that is idle (2108) can. Others are of history and of contracts."""


class _Ticks(Protocol):
    """Who reads ticks off the wire, and writes them into the lines of their requests."""

    def attach(self, ib: IB) -> None: ...

    def watch(self, request_id: int, line: Line) -> None: ...

    def forget(self, request_id: int) -> None: ...

    def clear(self) -> None: ...

    def flush(self) -> None:
        """Tell the ticks that came before what is about to be told."""


class IBKRMarketFeed:
    """The feed's connection: market data alone, asked for anew with every session."""

    def __init__(self, settings: Settings, *, clock: Clock) -> None:
        self._settings = settings.feed
        self._clock = clock
        options = SessionOptions(service="feed", requests_per_s=settings.feed.requests_per_s)
        self._session = IbkrSession(settings, options, clock=clock, on_error=self._on_error, on_farm=self._on_farm_code)
        ticks = FastTicks if settings.feed.decoder == "fast" else StockTicks
        self._ticks: _Ticks = ticks(clock=clock, on_ticks=self._ticked, on_snapshot_end=self._on_snapshot_end)
        self._streams = Streams(self._session, clock)
        self._lines: dict[int, Line] = {}
        """By request, of subscriptions and snapshots: to know whom a code is about."""
        self._subscriptions: dict[Line, int] = {}
        self._snapshots: dict[int, Gathering] = {}
        self._on_ticks: OnTicks = lambda *_: None
        self._on_code: OnCode = lambda *_: None
        self._on_farm: OnFarm = lambda *_: None

    @property
    def gateway(self) -> str:
        """`host:port` of the Gateway."""
        return self._session.address

    @property
    def account(self) -> str:
        """The account of the session."""
        return self._session.account

    def listen(self, on_ticks: OnTicks, on_code: OnCode, on_farm: OnFarm) -> None:
        """Tell where ticks, codes and farms go."""
        self._on_ticks, self._on_code, self._on_farm = on_ticks, on_code, on_farm

    def limit(self, requests_per_s: int) -> None:
        """Send no more than so many messages a second from now on."""
        self._session.limit(requests_per_s)

    def free(self) -> int:
        """How many messages may go out now without waiting."""
        return self._session.free()

    async def connect(self, client_id: int) -> None:
        """Make the session, and say what kind of data is wanted; nothing is subscribed on it yet."""
        self._forget_all("a new session begins")
        await self._session.connect(client_id, self._ticks.attach)
        try:
            self._narrow_buffer()
            await self._want_data_type()
        except BaseException:
            await self._session.close()
            raise

    async def next_event(self) -> ConnectionEvent:
        """What happens next to the session."""
        event = await self._session.next_event()
        if event.code == DATA_LOST_CODE:
            self._forget_all("the link to IBKR was lost, and every request with it")
        return event

    async def close(self) -> None:
        """End the session. Nothing is written into any line after that."""
        await self._session.close()
        self._forget_all("closed by us")

    async def qualify(self, instrument: Instrument) -> Qualified:
        """Look an instrument up, anew each time: trading hours are told for some days only."""
        details = await ContractBook(self._session).details(instrument)
        contract = details.contract
        assert contract is not None  # noqa: S101 - IBKR's details always carry it
        return Qualified(
            instrument=instrument,
            con_id=contract.conId,
            exchange=contract.exchange,
            primary_exchange=contract.primaryExchange,
            local_symbol=contract.localSymbol,
            expiry=contract.lastTradeDateOrContractMonth,
            multiplier=contract.multiplier,
            trading_class=contract.tradingClass,
            time_zone=details.timeZoneId,
            trading_hours=details.tradingHours,
            liquid_hours=details.liquidHours,
            qualified_at=self._clock.now(),
        )

    async def subscribe(self, line: Line, contract: Qualified) -> None:
        """Ask for quotes of a line, whose former subscription ends."""
        ib = await self._ib_with_room()
        while line in self._subscriptions:
            await self.unsubscribe(line)
            ib = await self._ib_with_room()
        line.begin()
        self._subscriptions[line] = self._ask(ib, line, contract, snapshot=False)

    async def unsubscribe(self, line: Line) -> None:
        """End a line's subscription. Where the session is over, so is the subscription."""
        request_id = self._subscriptions.pop(line, None)
        if request_id is None:
            return
        self._forget(request_id)
        session = self._session.count
        try:
            if self._session.connected:
                await self._session.room()
        finally:  # also where whoever asked is gone meanwhile: nobody else would end it at IBKR
            if self._session.connected and session == self._session.count:
                self._session.ib.client.cancelMktData(request_id)

    async def snapshot(self, line: Line, contract: Qualified) -> None:
        """Ask for one quote of a line and return when it is whole."""
        gathering = Gathering(line)

        def ask(ib: IB) -> asyncio.Future[None]:
            gathering.begin()
            gathering.request_id = self._ask(ib, line, contract, snapshot=True)
            self._snapshots[gathering.request_id] = gathering
            return gathering.whole

        try:
            await self._session.request(ask, timeout_s=SNAPSHOT_TIMEOUT_S)
        finally:
            if self._snapshots.pop(gathering.request_id, None) is not None:  # not whole
                self._forget(gathering.request_id)
                gathering.drop(keep_values=line in self._subscriptions)

    async def open_stream(self, kind: DataKind, contract: Qualified, on_item: OnItem, on_code: OnStreamCode) -> int:
        """Ask for single ticks, bars of five seconds or the book."""
        return await self._streams.open(kind, contract, on_item, on_code)

    async def close_stream(self, number: int) -> None:
        """End such a stream."""
        await self._streams.close(number)

    # What goes out.

    async def _ib_with_room(self) -> IB:
        """ib_async with room for one message, still in the session in which it was asked for."""
        session = self._session.count
        if not self._session.connected:
            return self._session.ib  # which says so
        await self._session.room()
        if session != self._session.count:
            raise GatewayUnavailable("the session ended while a message waited for its turn")
        return self._session.ib

    async def _want_data_type(self) -> None:
        data_type = _DATA_TYPES[self._settings.market_data_type]
        if data_type != LIVE:
            (await self._ib_with_room()).client.reqMarketDataType(data_type)

    def _ask(self, ib: IB, line: Line, contract: Qualified, *, snapshot: bool) -> int:
        request_id = ib.client.getReqId()
        self._lines[request_id] = line
        self._ticks.watch(request_id, line)
        ib.client.reqMktData(request_id, _contract(contract), "", snapshot, False, [])  # noqa: FBT003 - its own order
        return request_id

    def _forget(self, request_id: int) -> None:
        self._lines.pop(request_id, None)
        self._ticks.forget(request_id)

    def _forget_all(self, why: str) -> None:
        self._lines.clear()
        self._subscriptions.clear()
        self._ticks.clear()
        self._streams.forget()
        for gathering in self._snapshots.values():
            gathering.fail(GatewayUnavailable(why))

    def _narrow_buffer(self) -> None:
        transport = self._session.ib.client.conn.transport
        raw = transport.get_extra_info("socket") if transport is not None else None
        if raw is not None:
            with contextlib.suppress(OSError):  # a socket that is closed already ends the session by itself
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._settings.receive_buffer_bytes)

    # What comes in.

    def _ticked(self, lines: Iterable[Line], time_ns: int) -> None:
        self._on_ticks(lines, time_ns)

    def _on_snapshot_end(self, request_id: int) -> None:
        gathering = self._snapshots.get(request_id)
        if gathering is None or gathering.whole.done():
            return
        del self._snapshots[request_id]
        self._forget(request_id)
        gathering.line.is_gathering = False
        self._on_ticks([gathering.line], self._clock.time_ns())
        gathering.whole.set_result(None)

    def _on_error(self, request_id: int, code: int, text: str) -> None:
        self._ticks.flush()
        line = self._lines.get(request_id)
        if line is None:
            self._streams.on_code(request_id, code, text)
            return
        self._on_code(line, code, text)
        gathering = self._snapshots.get(request_id)
        if gathering is not None and is_refusal(code, text):
            gathering.fail(RequestFailed(code, text))

    def _on_farm_code(self, farm: str, code: int) -> None:
        is_connected = _FARM_CODES.get(code)
        if is_connected is not None:
            self._ticks.flush()
            self._on_farm(farm, is_connected)


def _contract(qualified: Qualified) -> Contract:
    from ib_async import Contract

    instrument = qualified.instrument
    return Contract(
        conId=qualified.con_id,
        secType=instrument.security_type,
        symbol=to_ib_symbol(instrument.symbol),
        lastTradeDateOrContractMonth=qualified.expiry,
        strike=float(instrument.strike) if instrument.strike is not None else 0.0,
        right=instrument.right,
        multiplier=qualified.multiplier,
        exchange=qualified.exchange,
        primaryExchange=qualified.primary_exchange,
        currency=instrument.currency,
        localSymbol=qualified.local_symbol,
        tradingClass=qualified.trading_class,
    )
