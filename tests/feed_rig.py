"""What tests of the feed share: a source of market data that says what the test says, and settings."""

from __future__ import annotations

import asyncio
import itertools
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from scripted import ScriptedConnection

from ibstream.contracts.feed import DataKind
from ibstream.contracts.instrument import Instrument, quote_symbol
from ibstream.ibkr import GatewayUnavailable
from ibstream.ibkr.contracts import UnknownInstrument
from ibstream.runtime.clock import SYSTEM_CLOCK, Clock
from ibstream.runtime.connection import Trigger
from ibstream.runtime.settings import BrokerSettings, FeedSettings, MetricsSettings, RedisSettings, Settings
from ibstream_feed.domain.line import ASK, ASK_SIZE, BID, BID_SIZE, LAST, LAST_SIZE, VOLUME, Line
from ibstream_feed.ports import Item, OnCode, OnFarm, OnItem, OnStreamCode, OnTicks, Qualified

PLACES = {
    "bid": BID,
    "ask": ASK,
    "last": LAST,
    "bid_size": BID_SIZE,
    "ask_size": ASK_SIZE,
    "last_size": LAST_SIZE,
    "volume": VOLUME,
}
"""Where the columns of a row stand in a line."""

QUOTE = {"bid": 10.0, "ask": 10.02, "last": 10.01, "bid_size": 3.0, "ask_size": 4.0, "last_size": 1.0, "volume": 500.0}
"""What a snapshot brings where the test says nothing else."""

DATA_LOST, DATA_KEPT = 1101, 1102


class Call(NamedTuple):
    """What the feed asked of its source."""

    name: str
    """The method: `qualify`, `subscribe`, `unsubscribe`, `snapshot`, `open_stream`, `close_stream`."""
    symbol: str
    """As quotes call the instrument; with the kind behind it for streams: `AAPL ticks`."""
    at_s: float
    """By the monotonic clock."""
    session: int
    """Counted from 1."""


class Opened(NamedTuple):
    """A stream that is open."""

    symbol: str
    kind: DataKind
    on_item: OnItem
    on_code: OnStreamCode


@dataclass
class ScriptedMarketData(ScriptedConnection):
    """A `MarketDataPort` of which the test decides everything. Nothing ticks unless the test ticks it."""

    clock: Clock = SYSTEM_CLOCK
    calls: list[Call] = field(default_factory=list)
    """Everything that was asked, in order."""
    lines: dict[str, Line] = field(default_factory=dict)
    """What is subscribed in this session, by symbol, oldest first."""
    streams: dict[int, Opened] = field(default_factory=dict)
    """What is open in this session."""
    failing: dict[tuple[str, str], BaseException] = field(default_factory=dict)
    """What a method raises, by its name and the symbol: `("qualify", "AAPL")`."""
    unknown: set[str] = field(default_factory=set)
    """Symbols that nobody knows."""
    details: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What else a look-up tells, by symbol: `{"AAPL": {"liquid_hours": "..."}}`; fields of `Qualified`."""
    snapshots: dict[str, Mapping[str, float]] = field(default_factory=dict)
    """What a snapshot brings, by symbol; `QUOTE` where nothing stands here."""
    held: dict[str, asyncio.Event] = field(default_factory=dict)
    """Methods, by name, that wait for an event before they answer; `hold` adds one."""
    room: int = 1_000
    """What `free` says."""
    limits: list[int] = field(default_factory=list)
    """What `limit` was told."""
    data_type: int = 1
    """Of snapshots, and of lines that are subscribed from now on."""
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _on_ticks: OnTicks = field(default=lambda *_: None)
    _on_code: OnCode = field(default=lambda *_: None)
    _on_farm: OnFarm = field(default=lambda *_: None)

    # What the feed calls.

    def listen(self, on_ticks: OnTicks, on_code: OnCode, on_farm: OnFarm) -> None:
        self._on_ticks, self._on_code, self._on_farm = on_ticks, on_code, on_farm

    async def connect(self, client_id: int) -> None:
        self._forget()
        await super().connect(client_id)

    async def close(self) -> None:
        await super().close()
        self._forget()

    def limit(self, requests_per_s: int) -> None:
        self.limits.append(requests_per_s)

    def free(self) -> int:
        return self.room

    async def qualify(self, instrument: Instrument) -> Qualified:
        symbol = quote_symbol(instrument)
        await self._asked("qualify", symbol)
        if symbol in self.unknown:
            raise UnknownInstrument(f"the script knows no {symbol}")
        return qualified(instrument, clock=self.clock, **self.details.get(symbol, {}))

    async def subscribe(self, line: Line, contract: Qualified) -> None:
        _check(contract)
        await self._asked("subscribe", line.symbol)
        assert line.symbol not in self.lines, f"{line.symbol} is subscribed a second time"
        line.begin()
        line.data_type = self.data_type
        self.lines[line.symbol] = line

    async def unsubscribe(self, line: Line) -> None:
        self._note("unsubscribe", line.symbol)
        self.lines.pop(line.symbol, None)

    async def snapshot(self, line: Line, contract: Qualified) -> None:
        _check(contract)
        assert line.symbol not in self.lines, f"a snapshot of {line.symbol}, which is subscribed"
        line.is_gathering = True
        try:
            await self._asked("snapshot", line.symbol)
        finally:
            line.is_gathering = False
        line.begin()
        line.data_type = self.data_type
        _write(line, self.snapshots.get(line.symbol, QUOTE))
        self._on_ticks([line], self.clock.time_ns())

    async def open_stream(self, kind: DataKind, contract: Qualified, on_item: OnItem, on_code: OnStreamCode) -> int:
        symbol = quote_symbol(contract.instrument)
        await self._asked("open_stream", f"{symbol} {kind}")
        number = next(self._numbers)
        self.streams[number] = Opened(symbol, kind, on_item, on_code)
        return number

    async def close_stream(self, number: int) -> None:
        opened = self.streams.pop(number, None)
        if opened is not None:
            self._note("close_stream", f"{opened.symbol} {opened.kind}")

    # What the test calls.

    def tick(self, *symbols: str, **values: float) -> None:
        """Bring new values of these symbols, all in one read: `tick("AAPL", "MSFT", bid=10.0, bid_size=3)`; else `QUOTE`."""
        lines = [self._line(symbol) for symbol in symbols]
        for line in lines:
            _write(line, values or QUOTE)
        self._on_ticks(lines, self.clock.time_ns())

    def tick_all(self, **values: float) -> None:
        """Bring new values of all that is subscribed."""
        self.tick(*self.lines, **values)

    def halt(self, symbol: str, *, halted: bool = True) -> None:
        """Say that trading in it is halted, or goes on."""
        line = self._line(symbol)
        line.halted = halted
        self._on_ticks([line], self.clock.time_ns())

    def code(self, symbol: str, code: int, text: str = "") -> None:
        """Say a code about a subscription."""
        self._on_code(self._line(symbol), code, text or f"the script says {code}")

    def farm(self, name: str = "usfarm", *, up: bool) -> None:
        """Say that a market data farm is there, or gone."""
        self._on_farm(name, up)

    def item(self, symbol: str, kind: DataKind, *items: Item) -> None:
        """Bring items of an open stream."""
        for item in items:
            self._opened(symbol, kind).on_item(item)

    def stream_code(self, symbol: str, kind: DataKind, code: int, text: str = "") -> None:
        """Say a code about an open stream."""
        self._opened(symbol, kind).on_code(code, text or f"the script says {code}")

    def lose_link(self) -> None:
        """The Gateway loses IBKR (1100)."""
        self.say(Trigger.LINK_LOST, "the script lost the link", 1100)

    def restore_link(self, *, data_lost: bool) -> None:
        """The link is back, without its subscriptions (1101) or with them (1102)."""
        if data_lost:
            self._forget()
        self.say(Trigger.LINK_RESTORED, "the script restored the link", DATA_LOST if data_lost else DATA_KEPT)

    def lose(self) -> None:
        """The session ends."""
        self.open = False
        self._forget()
        self.say(Trigger.LOST, "the script ended the session")

    def hold(self, *names: str) -> asyncio.Event:
        """Let these methods wait until the event that is returned is set."""
        event = asyncio.Event()
        self.held.update(dict.fromkeys(names, event))
        return event

    def asked(self, name: str, *, session: int | None = None) -> list[str]:
        """The symbols for which a method was called, in order; of one session, or of all."""
        return [call.symbol for call in self.calls if call.name == name and session in (None, call.session)]

    # Inside.

    async def _asked(self, name: str, symbol: str) -> None:
        """Take note, wait while it is held, and fail where the script says so."""
        self._note(name, symbol)
        session = len(self.sessions)
        if name in self.held:
            await self.held[name].wait()
        if not self.open or session != len(self.sessions):
            raise GatewayUnavailable("the session ended meanwhile, or there is none")
        failure = self.failing.get((name, symbol))
        if failure is not None:
            raise failure

    def _note(self, name: str, symbol: str) -> None:
        self.calls.append(Call(name, symbol, self.clock.monotonic(), len(self.sessions)))

    def _line(self, symbol: str) -> Line:
        assert symbol in self.lines, f"{symbol} is not subscribed; subscribed are {list(self.lines)}"
        return self.lines[symbol]

    def _opened(self, symbol: str, kind: DataKind) -> Opened:
        found = [one for one in self.streams.values() if (one.symbol, one.kind) == (symbol, kind)]
        assert len(found) == 1, f"{len(found)} streams {symbol} {kind} are open"
        return found[0]

    def _forget(self) -> None:
        self.lines.clear()
        self.streams.clear()


def qualified(instrument: Instrument, *, clock: Clock = SYSTEM_CLOCK, **details: Any) -> Qualified:
    """What the script says of an instrument: an id made of its name, hours unknown unless told."""
    told: dict[str, Any] = {
        "instrument": instrument,
        "con_id": _con_id(instrument),
        "exchange": instrument.exchange,
        "primary_exchange": instrument.primary_exchange or "NASDAQ",
        "qualified_at": clock.now(),
        **details,
    }
    return Qualified(**told)


def settings(redis_url: str = "", **feed: Any) -> Settings:
    """Settings with these of the feed, whose service takes no port that anybody else has."""
    ports = {f"port_{service}": 0 for service in ("broker", "data", "feed")}
    return Settings.model_construct(
        broker=BrokerSettings(provider="simulated"),
        feed=FeedSettings(**feed),
        metrics=MetricsSettings(**ports),
        redis=RedisSettings(url=redis_url),
    )


def _con_id(instrument: Instrument) -> int:
    return zlib.crc32(quote_symbol(instrument).encode())


def _check(contract: Qualified) -> None:
    assert contract.con_id == _con_id(contract.instrument), f"no look-up has made this contract: {contract}"


def _write(line: Line, values: Mapping[str, float]) -> None:
    for name, value in values.items():
        line.values[PLACES[name]] = value
