"""Where the feed lives through its faults: a stand-in Gateway in the test's hands, the real adapter, a real Redis, a consumer."""

from __future__ import annotations

import asyncio
import bisect
import contextlib
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from feed_host import FastForward
from support import eventually

from ibstream.bus import Bus, BusUnavailable, Publisher
from ibstream.calendar import sessions
from ibstream.contracts.feed import DataKind, Subscribe, SubscriptionChanged, SubscriptionOutcome
from ibstream.contracts.instrument import Instrument
from ibstream.contracts.quotes import Quality, Quote, QuoteBatch
from ibstream.contracts.registry import FEED_EVENTS, FEED_REQUESTS, QUOTES
from ibstream.contracts.system import ConnectionState
from ibstream.ibkr.contracts import to_ib_symbol
from ibstream.runtime.backoff import constant
from ibstream.runtime.clock import SYSTEM_CLOCK, Clock
from ibstream.runtime.service import ServiceHost, ServiceParts
from ibstream.runtime.settings import BrokerSettings, FeedSettings, IbkrSettings, MetricsSettings, Settings
from ibstream_feed.adapters.ibkr import IBKRMarketFeed
from ibstream_feed.service import FeedService
from ibstream_gateway_emulator.control.handle import GatewayControl
from ibstream_gateway_emulator.control.views import MessageRow
from ibstream_gateway_emulator.desks.streams import Stream
from ibstream_gateway_emulator.domain.limits import Limits
from ibstream_gateway_emulator.faults import verbs
from ibstream_gateway_emulator.server import GatewayServer, running_gateway
from ibstream_gateway_emulator.settings import EmulatorSettings

SYMBOLS = ("AAPL", "MSFT", "NVDA", "BRK.B", "TSLA", "AMZN")
SHARDS = 3

QUICK = {"requests_per_s": 45, "reconnect_interval_s": 0.2}
"""Of the feed, where no figure is measured."""
QUICK_PROBE = {"probe_interval_s": 1.1, "probe_timeout_s": 1.0, "connect_timeout_s": 2.0}
"""Of the connection, the same."""

HOUR_S = 3600.0

CLIENT_ID = 3
"""Of the one feed that there is: client ids begin with 1, the broker's, and the feed's is the third."""

FOLLOW_S = 0.05
"""How often the consumer reads."""
ENTRIES_AT_ONCE = 1_000
MESSAGES_AT_ONCE = 10_000

TOO_MANY_MESSAGES = "100"
_REQUEST, _CANCEL, LOOK_UP = "1", "2", "9"
"""What a client says: reqMktData, cancelMktData, reqContractDetails."""
_SESSION, _ERROR = "ManagedAccounts", "Error"
_DATA_LOST = "1101"
_DEAD = {"101", "200", "354", "10168"}
"""Codes with which a request ends, where the stand-in was asked for live data or has no other."""


class Said(NamedTuple):
    """A change of what the rows of a symbol say of themselves."""

    at_ns: int
    """When the batch was published, by the feed's clock."""
    quality: Quality
    epoch: int


@dataclass
class Tape:
    """A consumer of all shards, which checks as it reads that it misses nothing."""

    bus: Bus
    shards: int
    rows: dict[str, Quote] = field(default_factory=dict)
    """The newest of each symbol."""
    said: dict[str, list[Said]] = field(default_factory=dict)
    epochs: dict[int, list[int]] = field(default_factory=dict)
    batches: int = 0
    _after: dict[int, bytes] = field(default_factory=dict)
    _seq: dict[int, int] = field(default_factory=dict)
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def read(self) -> None:
        """Take everything that is there and was not read yet."""
        async with self._reading:
            for shard in range(self.shards):
                while await self._read_some(shard):
                    pass

    async def follow(self) -> None:
        """Read, again and again; while Redis is away there is nothing to read."""
        while True:
            with contextlib.suppress(BusUnavailable):
                await self.read()
            await SYSTEM_CLOCK.sleep(FOLLOW_S)

    def qualities(self, symbol: str) -> list[Quality]:
        """What the rows of a symbol said of themselves, one after the other."""
        return [one.quality for one in self.said.get(symbol, [])]

    def first(self, symbol: str, quality: Quality, *, since_ns: int) -> Said | None:
        """The first time after a moment at which a symbol's rows began to say so."""
        return next(
            (one for one in self.said.get(symbol, []) if one.quality is quality and one.at_ns >= since_ns), None
        )

    async def _read_some(self, shard: int) -> bool:
        stream = QUOTES.named(shard)
        start = b"(" + self._after[shard] if shard in self._after else b"-"
        entries = await self.bus.call(self.bus.redis.xrange(stream.name, min=start, count=ENTRIES_AT_ONCE))
        decode = stream.codec().decode
        for entry_id, fields in entries:
            batch = decode(fields[b"type"], fields[b"data"])
            assert isinstance(batch, QuoteBatch)
            self._after[shard] = entry_id
            self._take(batch)
        return len(entries) == ENTRIES_AT_ONCE

    def _take(self, batch: QuoteBatch) -> None:
        epochs = self.epochs.setdefault(batch.shard, [0])
        if batch.epoch != epochs[-1]:
            assert batch.epoch > epochs[-1], f"shard {batch.shard}: epoch {batch.epoch} after {epochs[-1]}"
            epochs.append(batch.epoch)
            self._seq[batch.shard] = 0
        assert batch.seq == self._seq[batch.shard] + 1, (
            f"shard {batch.shard}: {batch.seq} after {self._seq[batch.shard]}"
        )
        self._seq[batch.shard] = batch.seq
        self.batches += 1
        for row in batch.rows:
            self.rows[row.symbol] = row
            said = self.said.setdefault(row.symbol, [])
            if not said or said[-1].quality is not row.quality:
                said.append(Said(batch.published_at, row.quality, batch.epoch))


@dataclass
class World:
    """A feed at work, and everything around it."""

    gateway: GatewayServer
    control: GatewayControl
    service: FeedService
    host: ServiceHost
    bus: Bus
    tape: Tape
    settings: Settings
    clock: Clock

    # What the consumer sees.

    async def quality(self, quality: Quality, *symbols: str, within_s: float = 10.0) -> None:
        """Wait until the newest rows of these symbols say so."""

        def is_so() -> bool:
            return all(symbol in self.tape.rows and self.tape.rows[symbol].quality is quality for symbol in symbols)

        try:
            await eventually(is_so, within_s=within_s, what=f"{len(symbols)} symbols to be {quality}")
        except AssertionError as error:
            others = {
                one: self.tape.qualities(one)[-3:] for one in symbols if self.tape.qualities(one)[-1:] != [quality]
            }
            raise AssertionError(f"{error}; {others}; {self.service.details()}") from None

    async def outcome(
        self, symbol: str, outcome: SubscriptionOutcome, *, within_s: float = 10.0
    ) -> SubscriptionChanged:
        """Wait until this is what was told last of a symbol's quotes."""

        async def told() -> SubscriptionChanged | None:
            changes = await self.changes(symbol)
            return changes[-1] if changes and changes[-1].outcome is outcome else None

        found = await eventually(told, within_s=within_s, what=f"{symbol}: {outcome}")
        assert isinstance(found, SubscriptionChanged)
        return found

    async def changes(self, symbol: str) -> list[SubscriptionChanged]:
        """What was told of a symbol's quotes, step by step."""
        decode = FEED_EVENTS.codec().decode
        entries = await self.bus.call(self.bus.redis.xrange(FEED_EVENTS.name))
        told = [decode(fields[b"type"], fields[b"data"]) for _, fields in entries]
        return [
            one
            for one in told
            if isinstance(one, SubscriptionChanged) and one.symbol == symbol and one.data is DataKind.QUOTES
        ]

    async def lease(self, symbol: str) -> None:
        """Some strategy wants quotes."""
        request = Subscribe(instrument=Instrument(symbol=symbol), consumer="a", requested_at=self.clock.now())
        await Publisher(self.bus).publish(FEED_REQUESTS, request)

    async def ready(self, *, within_s: float = 15.0) -> None:
        """Wait until the service is."""
        await eventually(
            lambda: self.host.state is ConnectionState.READY, within_s=within_s, what=f"ready; {self.host.state}"
        )

    # What the stand-in saw.

    def streamed(self) -> list[str]:
        """The symbols that the feed is quoted now, each as often as it is."""
        return sorted(one.subject.key for one in self._streams())

    def _streams(self) -> list[Stream]:
        return [one for one in self.gateway.state.quotes.subscriptions() if one.client.client_id == CLIENT_ID]

    async def asked(self, name: str = _REQUEST, *, symbol: str = "") -> int:
        """How often the feed has asked for quotes that last, or looked up a contract; of one symbol, where it is named."""
        rows = await self._heard(name)
        return sum(
            (not symbol or to_ib_symbol(symbol) in row.fields) and not (name == _REQUEST and _is_snapshot(row))
            for row in rows
        )

    async def sessions(self) -> int:
        """How many sessions the feed has made."""
        return len(await self._told(_SESSION))

    async def snapshots(self, symbol: str) -> int:
        """How often the feed has asked for one quote of a symbol."""
        rows = await self._heard(_REQUEST)
        return sum(_is_snapshot(row) and to_ib_symbol(symbol) in row.fields for row in rows)

    async def most_in_a_second(self) -> int:
        """The most messages that the feed has sent within any second."""
        found = await self.control.messages(client_id=CLIENT_ID, direction="in", limit=MESSAGES_AT_ONCE)
        times = [row.time.timestamp() for row in found.messages]
        return max(bisect.bisect_left(times, at + 1.0) - place for place, at in enumerate(times))

    async def errors(self, code: str) -> int:
        """How often the feed was told this code."""
        return sum(code in row.fields[:5] for row in await self._told(_ERROR))

    # What must hold at the end of every test.

    async def assert_honest(self, expected: Mapping[str, Quality]) -> None:
        """Rows say what is true, nothing was missed, nothing was asked for twice, and IBKR's message limit was kept."""
        await self.tape.read()
        assert {symbol: row.quality for symbol, row in self.tape.rows.items()} == dict(expected)
        await self.assert_lines(one for one, quality in expected.items() if quality in (Quality.LIVE, Quality.DELAYED))
        for stream in self._streams():
            await self._assert_same_prices(stream)

    async def _assert_same_prices(self, stream: Stream) -> None:
        """Where the market stands still for a moment, the consumer has what the Gateway said."""

        def is_so() -> bool:
            told, row = stream.told, self.tape.rows[stream.subject.key]
            return told is not None and (told.bid, told.ask) == (row.bid, row.ask)

        await eventually(is_so, what=f"the prices of {stream.subject.key} to be the Gateway's")

    async def assert_lines(self, symbols: Iterable[str]) -> None:
        """The feed is quoted these and no others, each once, and never was quoted any twice."""
        assert self.streamed() == sorted(symbols)
        assert self.gateway.state.journal.messages_dropped == 0, "the journal was too short to prove anything"
        assert await self.errors(TOO_MANY_MESSAGES) == 0
        await self._assert_never_twice()

    async def _assert_never_twice(self) -> None:
        parts = [
            await self._heard(_REQUEST),
            await self._heard(_CANCEL),
            await self._told(_SESSION),
            await self._told(_ERROR),
        ]
        lined: dict[str, str] = {}
        for row in sorted((row for part in parts for row in part), key=lambda row: row.number):
            if row.name == _SESSION or (row.name == _ERROR and _DATA_LOST in row.fields[:5]):
                lined.clear()
            elif row.name == _CANCEL or (row.name == _ERROR and row.fields[3] in _DEAD):
                lined.pop(row.fields[2], None)
            elif row.name == _REQUEST and not _is_snapshot(row):
                assert row.fields[4] not in lined.values(), f"{row.fields[4]} was asked for while it had a line"
                lined[row.fields[2]] = row.fields[4]

    async def _heard(self, name: str) -> list[MessageRow]:
        return await self._messages(name, "in")

    async def _told(self, name: str) -> list[MessageRow]:
        return await self._messages(name, "out")

    async def _messages(self, name: str, direction: Any) -> list[MessageRow]:
        found = await self.control.messages(client_id=CLIENT_ID, direction=direction, name=name, limit=MESSAGES_AT_ONCE)
        assert not found.left_out
        return list(found.messages)


def in_regular_hours() -> FastForward:
    """A clock by which American stocks have been traded for some time today, and will be."""
    clock = FastForward()
    opens = sessions.next_open("US_STOCK", clock.now())
    clock.set_ahead((opens - clock.now()).total_seconds() + HOUR_S)
    return clock


def _is_snapshot(row: MessageRow) -> bool:
    return row.fields[-3] == "1"


@contextlib.asynccontextmanager
async def world(
    url: str,
    *,
    symbols: Collection[str] = SYMBOLS,
    listed: Collection[str] = (),
    limits: Limits | None = None,
    tick_interval_ms: int = 50,
    ticks_per_second: int | None = None,
    connection: Mapping[str, float] | None = None,
    clock: Clock = SYSTEM_CLOCK,
    faults: Collection[verbs.Verb] = (),
    quotes_url: str = "",
    **chosen: Any,
) -> AsyncIterator[World]:
    """A feed on a stand-in Gateway with `symbols`, of which it lists all unless it is told what to list.

    `chosen` settings of the feed replace those of `QUICK`; `connection` replaces `QUICK_PROBE`, `{}` by the defaults. `faults`
    are in force before the feed begins. Quotes go to the Redis of `quotes_url`, where one is named.
    """
    emulator = EmulatorSettings(
        symbols=tuple(symbols),
        port=0,
        tick_interval_ms=tick_interval_ms,
        ticks_per_second=ticks_per_second,
        limits=limits or Limits(),
    )
    async with (
        running_gateway(emulator, clock=clock) as gateway,
        Bus(url, client_name="feed") as bus,
        Bus(quotes_url or url, client_name="feed-quotes") as quotes_bus,
        Bus(quotes_url or url, client_name="consumer") as consumer,
    ):
        control = GatewayControl(gateway.state)
        await control.command(*faults)
        settings = _settings(gateway.port, QUICK_PROBE if connection is None else connection, chosen)
        port = IBKRMarketFeed(settings, clock=clock)
        wanted = [Instrument(symbol=symbol) for symbol in listed or symbols]
        service = FeedService(bus, quotes_bus, port, wanted, settings=settings.feed, clock=clock)
        host = ServiceHost(settings, bus, _parts(service, port, settings), clock=clock)
        tape = Tape(consumer, settings.feed.shards)
        async with _running(host, tape):
            yield World(gateway, control, service, host, bus, tape, settings, clock)


def _settings(port: int, connection: Mapping[str, Any], chosen: Mapping[str, Any]) -> Settings:
    return Settings.model_construct(
        broker=BrokerSettings(ibkr=IbkrSettings(port=port, **connection)),
        feed=FeedSettings(**{"shards": SHARDS, **QUICK, **chosen}),
        metrics=MetricsSettings(**{f"port_{service}": 0 for service in ("broker", "data", "feed")}),
    )


def _parts(service: FeedService, port: IBKRMarketFeed, settings: Settings) -> ServiceParts:
    return ServiceParts(
        name="feed",
        connection=port,
        synchronise=service.synchronise,
        workers=service.workers,
        delays=constant(settings.feed.reconnect_interval_s),
        slots=1,
        details=service.details,
        on_state=service.on_state,
    )


@contextlib.asynccontextmanager
async def _running(host: ServiceHost, tape: Tape) -> AsyncIterator[None]:
    stop = asyncio.Event()
    running, following = asyncio.create_task(host.run(stop)), asyncio.create_task(tape.follow())
    try:
        yield
        assert not running.done(), f"the feed ended by itself: {running}"
        assert not following.done(), f"the consumer saw what must not be: {following}"
    finally:
        stop.set()
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
        await running
