"""Ticks, bars and books on request: the real adapter, a stand-in Gateway, a real Redis, and the SDK at the other end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import pytest
from contract.gateways import SYMBOLS, settings_for
from contract.market_data_sources import AAPL, KINDS, MARKET, MSFT, NVDA, SEED, with_feed
from feed_rig import ScriptedMarketData
from redis_for_tests import KillableServer
from scripted import hosted, in_state
from support import eventually, run

from ibstream.bus import Bus
from ibstream.client.continuity import EpochChanged
from ibstream.client.ticks import DepthSubscription, LiveBarSubscription, TickSubscription
from ibstream.contracts.feed import DataKind, SubscriptionOutcome
from ibstream.contracts.instrument import Instrument, quote_symbol
from ibstream.contracts.registry import DEPTH, LIVE_BARS, TICKS, Stream
from ibstream.contracts.system import ConnectionState
from ibstream.contracts.ticks import DEPTH_LEVELS, Depth, FiveSecondBar, TickBatch, TradeTick
from ibstream.runtime.clock import SYSTEM_CLOCK, SystemClock
from ibstream.runtime.service import ServiceHost
from ibstream.runtime.settings import FeedSettings
from ibstream_feed.adapters.ibkr import IBKRMarketFeed
from ibstream_feed.domain.budget import GROW_S_MIN
from ibstream_feed.domain.streams import TICK_REST_S
from ibstream_feed.stream_writing import BATCH_S, StreamWriter
from ibstream_feed.streams import StreamDesk
from ibstream_gateway_emulator.control.handle import GatewayControl
from ibstream_gateway_emulator.domain.limits import Limits
from ibstream_gateway_emulator.protocol.messages import Error
from ibstream_gateway_emulator.server import GatewayServer, running_gateway
from ibstream_gateway_emulator.settings import EmulatorSettings

PATIENCE_S = 20.0
NS_PER_S = 1_000_000_000
TICK_REQUEST, DEPTH_REQUEST = 97, 10
"""IBKR's message ids."""
OTHER_CLIENT_ID = 77
_O = SubscriptionOutcome
_FLOWING = {ConnectionState.READY, ConnectionState.SYNCHRONISING}


class TenfoldClock(SystemClock):
    """Ten seconds pass in one, so that IBKR's rests between requests are kept, and take a tenth."""

    def monotonic(self) -> float:
        """Seconds, ten for one."""
        return 10 * SYSTEM_CLOCK.monotonic()

    async def sleep(self, delay_s: float) -> None:
        """Wait a tenth."""
        await SYSTEM_CLOCK.sleep(delay_s / 10)


class Wanted(NamedTuple):
    """A lease in force."""

    symbol: str
    instrument: Instrument
    data: DataKind
    priority: int = 5
    since_ms: int = 0


def want(instrument: Instrument, *kinds: DataKind, since_ms: int = 0, priority: int = 5) -> list[Wanted]:
    return [Wanted(quote_symbol(instrument), instrument, kind, priority, since_ms) for kind in kinds]


class Told(NamedTuple):
    """What became of a stream."""

    symbol: str
    data: DataKind
    outcome: SubscriptionOutcome
    text: str
    code: int


@dataclass
class Feed:
    """A desk of streams at work."""

    server: GatewayServer
    bus: Bus
    port: IBKRMarketFeed
    desk: StreamDesk
    told: list[Told]
    taken_away: set[str]
    """What this process may not write."""
    host: ServiceHost | None = None

    @property
    def gateway(self) -> GatewayControl:
        """The stand-in Gateway's controls."""
        return GatewayControl(self.server.state)

    def desire(self, wants: Sequence[Wanted]) -> None:
        """These are wanted from now on."""
        self.desk.desire(wants, self.port.qualify)

    async def outcome(self, symbol: str, data: DataKind, outcome: SubscriptionOutcome) -> Told:
        """Wait until this is the last that was told of a stream."""

        def last() -> Told | None:
            of_it = [one for one in self.told if (one.symbol, one.data) == (symbol, data)]
            return of_it[-1] if of_it and of_it[-1].outcome is outcome else None

        found: Told = await eventually(last, within_s=25, what=f"{outcome} of {data} of {symbol} in {self.told}")
        return found

    def subscriptions(self) -> dict[DataKind, int]:
        """How many the Gateway knows of all clients."""
        state = self.server.state
        counts: dict[DataKind, Any] = {
            DataKind.TICKS: state.ticks,
            DataKind.BARS: state.real_time_bars,
            DataKind.DEPTH: state.depth,
        }
        return {kind: sum(one.count(client) for client in state.clients.values()) for kind, one in counts.items()}

    async def requests(self, number: int) -> int:
        """How many requests with this message id the Gateway has had."""
        return len((await self.gateway.messages(direction="in", name=str(number), limit=1000)).messages)

    async def messages(self, stream: Stream) -> list[Any]:
        """Everything in a stream."""
        decode = stream.codec().decode
        entries = await self.bus.call(self.bus.redis.xrange(stream.name))
        return [decode(fields[b"type"], fields[b"data"]) for _, fields in entries]

    async def newest(self, stream: Stream) -> Any:
        """The last of a stream; None where there is none."""
        found = await self.messages(stream)
        return found[-1] if found else None


@contextlib.asynccontextmanager
async def feed(url: str, *, limits: Limits | None = None, epoch_after: int = 0, **settings: Any) -> AsyncIterator[Feed]:
    """A session with a Gateway of these limits, in which the desk keeps open what is wanted."""
    emulator = EmulatorSettings(symbols=SYMBOLS, port=0, seed=SEED, tick_interval_ms=50, limits=limits or Limits())
    async with running_gateway(emulator) as server, Bus(url, client_name="feed") as bus:
        configured = with_feed(settings_for(server.port), **settings)
        port = IBKRMarketFeed(configured, clock=SYSTEM_CLOCK)
        told: list[Told] = []
        taken_away: set[str] = set()
        desk = StreamDesk(
            bus,
            port,
            settings=configured.feed,
            holds=lambda symbol: symbol not in taken_away,
            epoch_after=lambda _: epoch_after,
            clock=TenfoldClock(),
            outcome=lambda *one: told.append(Told(*one)),
        )
        made = Feed(server, bus, port, desk, told, taken_away)

        async def synchronise(_: object) -> None:
            desk.session_ready()

        def on_state(state: ConnectionState, _reason: str) -> None:
            if state not in _FLOWING:
                desk.session_lost()

        async with hosted(
            bus, port, synchronise=synchronise, workers=lambda _slot: (desk.work,), on_state=on_state
        ) as made.host:
            await in_state(made.host, ConnectionState.READY)
            yield made


def trades(batches: Sequence[Any]) -> list[TradeTick]:
    return [tick for batch in batches for tick in batch.trades]


def assert_readable(batches: Sequence[TickBatch]) -> list[list[TradeTick]]:
    """Epochs grow, numbers have no gap. Returns the trades of each epoch, which are all those of the market in its time."""
    epochs = list(dict.fromkeys(batch.epoch for batch in batches))
    assert epochs == sorted(epochs)
    found = []
    for epoch in epochs:
        of_it = [batch for batch in batches if batch.epoch == epoch]
        assert [batch.seq for batch in of_it] == list(range(1, len(of_it) + 1))
        found.append(trades(of_it))
    for ticks in found:
        assert_complete(of_it[0].symbol, ticks)
    return found


def assert_complete(symbol: str, ticks: Sequence[TradeTick]) -> None:
    """None left out, none twice, in the market's order."""
    if not ticks:
        return
    came = MARKET.quotes(symbol, (ticks[0].time_s - 1) * NS_PER_S, (ticks[-1].time_s + 1) * NS_PER_S + 1)
    market = [(one.time_ns // NS_PER_S, one.last, one.last_size) for one in came]
    told = [(one.time_s, one.price, one.size) for one in ticks]
    assert any(market[start : start + len(told)] == told for start in range(len(market)))


async def take(events: Any, count: int) -> list[Any]:
    async with asyncio.timeout(PATIENCE_S):
        return [await anext(events) for _ in range(count)]


def test_every_tick_every_bar_and_the_book_reach_a_consumer(redis_url: str) -> None:
    """Over the SDK, in order; the consumer can prove that it missed no tick. The streams go when nobody writes them."""

    async def scenario() -> None:
        async with feed(redis_url) as it, Bus(redis_url, client_name="consumer") as bus:
            options: dict[str, Any] = {"patience_s": PATIENCE_S, "clock": SYSTEM_CLOCK}
            async with (
                TickSubscription(bus, "AAPL", **options) as ticks,
                LiveBarSubscription(bus, "AAPL", **options) as bars,
                DepthSubscription(bus, "AAPL", **options) as books,
            ):
                it.desire(want(AAPL, *DataKind))
                batches = await take(ticks, 20)
                assert all(isinstance(batch, TickBatch) for batch in batches)
                assert ticks.continuity.unbroken
                [in_order] = assert_readable(batches)
                assert len(in_order) > 10
                assert sum(len(batch.quotes) for batch in batches) > 10
                [bar] = await take(bars, 1)
                assert isinstance(bar, FiveSecondBar)
                assert bar.low <= bar.open <= bar.high
                for book in await take(books, 3):
                    assert isinstance(book, Depth)
                    assert (len(book.bids), len(book.asks)) == (DEPTH_LEVELS, DEPTH_LEVELS)
                    assert book.bids[0].price < book.asks[0].price
            for kind in (DataKind.TICKS, DataKind.BARS, DataKind.DEPTH):
                assert (await it.outcome("AAPL", kind, _O.ACTIVE)).code == 0
            for stream in (TICKS, LIVE_BARS, DEPTH):
                left_s = await bus.call(bus.redis.ttl(stream.named("AAPL").name))
                assert 0 < left_s <= stream.expires_s

    run(scenario())


def test_symbols_stand_in_the_names_of_streams_as_they_are(redis_url: str) -> None:
    """Spaces, dots and all; of a pair come quotes alone, and bars of its midpoint."""

    async def scenario() -> None:
        async with feed(redis_url) as it:
            future, pair = KINDS["future"], KINDS["pair"]
            it.desire([*want(future, DataKind.TICKS), *want(pair, DataKind.TICKS, DataKind.BARS, since_ms=1)])
            named = TICKS.named(f"ES {future.expiry}")
            await eventually(lambda: it.messages(named), what=f"entries in {named.name}")
            found = await eventually(lambda: it.messages(TICKS.named("EUR.USD")), what="ticks of the pair")
            assert trades(found) == []
            assert found[0].quotes
            [bar, *_] = await eventually(
                lambda: it.messages(LIVE_BARS.named("EUR.USD")), within_s=15, what="a bar of the pair"
            )
            assert (bar.volume, bar.wap, bar.count) == (None, None, None)

    run(scenario())


def test_who_asked_first_has_the_slots_and_what_becomes_free_goes_on(redis_url: str) -> None:
    """Three tick-by-tick slots: a stock takes two, a second one none, a pair the third. Nobody wants it any more: it ends."""

    async def scenario() -> None:
        async with feed(redis_url, tick_by_tick_lines=3) as it:
            first = want(AAPL, DataKind.TICKS)
            others = [*want(MSFT, DataKind.TICKS, since_ms=1), *want(KINDS["pair"], DataKind.TICKS, since_ms=2)]
            it.desire([*others, *first])
            await it.outcome("AAPL", DataKind.TICKS, _O.ACTIVE)
            await it.outcome("EUR.USD", DataKind.TICKS, _O.ACTIVE)
            await it.outcome("MSFT", DataKind.TICKS, _O.OVER_CAPACITY)
            assert it.subscriptions()[DataKind.TICKS] == 3
            it.desire(others)
            await it.outcome("AAPL", DataKind.TICKS, _O.ENDED)
            await it.outcome("MSFT", DataKind.TICKS, _O.ACTIVE)
            await eventually(lambda: it.messages(TICKS.named("MSFT")), what="its ticks")
            assert it.subscriptions()[DataKind.TICKS] == 3
            assert sum(one.outcome is _O.OVER_CAPACITY for one in it.told) == 1

    run(scenario())


@pytest.mark.parametrize(
    ("kind", "limits", "code"),
    [(DataKind.TICKS, Limits(tick_by_tick_lines=3), 10190), (DataKind.DEPTH, Limits(depth_lines=1), 309)],
)
def test_fewer_slots_than_configured_are_found_out_once(
    redis_url: str, kind: DataKind, limits: Limits, code: int
) -> None:
    """Somebody else uses the rest: who came first keeps its stream, the other is told, and is asked for again after a rest."""

    async def scenario() -> None:
        async with feed(redis_url, limits=limits, tick_by_tick_lines=10, depth_lines=10) as it:
            it.desire([*want(AAPL, kind), *want(MSFT, kind, since_ms=1)])
            assert (await it.outcome("MSFT", kind, _O.OVER_CAPACITY)).code == code
            await it.outcome("AAPL", kind, _O.ACTIVE)
            stream = (TICKS if kind is DataKind.TICKS else DEPTH).named("AAPL")
            count = len(await it.messages(stream))
            await eventually(lambda: _more_than(it, stream, count + 3), what="more of the first")
            asked, each = (TICK_REQUEST, 2) if kind is DataKind.TICKS else (DEPTH_REQUEST, 1)
            assert await it.requests(asked) <= 3 * each

    run(scenario())


@pytest.mark.parametrize("kind", [DataKind.TICKS, DataKind.DEPTH])
def test_slots_that_another_gives_back_are_found_soon(redis_url: str, kind: DataKind) -> None:
    """Another program of the user has them all when they are asked for first: fifteen seconds later they are asked for again."""

    async def scenario() -> None:
        async with feed(redis_url, limits=Limits(tick_by_tick_lines=2, depth_lines=1)) as it:
            other = IBKRMarketFeed(settings_for(it.server.port), clock=SYSTEM_CLOCK)
            other.listen(lambda *_: None, lambda *_: None, lambda *_: None)
            await other.connect(OTHER_CLIENT_ID)
            try:
                number = await other.open_stream(kind, await other.qualify(NVDA), lambda _: None, lambda *_: None)
                slots = 2 if kind is DataKind.TICKS else 1
                await eventually(lambda: it.subscriptions()[kind] == slots, what="the other to have them")
                it.desire(want(AAPL, kind))
                await it.outcome("AAPL", kind, _O.OVER_CAPACITY)
                await other.close_stream(number)
                start_s = SYSTEM_CLOCK.monotonic()
                await it.outcome("AAPL", kind, _O.ACTIVE)
                assert SYSTEM_CLOCK.monotonic() - start_s < 2 * GROW_S_MIN / 10
            finally:
                await other.close()

    run(scenario())


async def _more_than(it: Feed, stream: Stream, count: int) -> bool:
    return len(await it.messages(stream)) > count


@pytest.mark.parametrize("code", [354, 10167])
def test_what_is_not_permitted_is_told_and_takes_no_slot(redis_url: str, code: int) -> None:
    """Of one symbol; another, which came later, has the slots."""

    async def scenario() -> None:
        async with feed(redis_url, tick_by_tick_lines=2, depth_lines=1) as it:
            await it.gateway.market_data_permission(code=code, symbol="AAPL")  # type: ignore[arg-type]
            kinds = (DataKind.TICKS, DataKind.BARS, DataKind.DEPTH)
            it.desire([*want(AAPL, *kinds), *want(MSFT, *kinds, since_ms=1)])
            for kind, told in zip(kinds, (10189, 420, code), strict=True):
                assert (await it.outcome("AAPL", kind, _O.NO_PERMISSION)).code == told
                await it.outcome("MSFT", kind, _O.ACTIVE)

    run(scenario())


def test_what_ibkr_does_not_have_is_refused_with_a_reason(redis_url: str) -> None:
    """Ticks of an option are not even asked for; an instrument that nobody knows is said to be unknown; others flow."""

    async def scenario() -> None:
        async with feed(redis_url) as it:
            unknown = Instrument(symbol="NOSUCH")
            it.desire(
                [
                    *want(KINDS["option"], DataKind.TICKS),
                    *want(unknown, DataKind.DEPTH),
                    *want(NVDA, DataKind.DEPTH, since_ms=1),
                ]
            )
            option = quote_symbol(KINDS["option"])
            assert "no ticks of OPT" in (await it.outcome(option, DataKind.TICKS, _O.REFUSED)).text
            assert "NOSUCH" in (await it.outcome("NOSUCH", DataKind.DEPTH, _O.UNKNOWN_INSTRUMENT)).text
            await it.outcome("NVDA", DataKind.DEPTH, _O.ACTIVE)
            assert await it.requests(TICK_REQUEST) == 0

    run(scenario())


def test_a_book_that_ibkr_halts_is_asked_for_again(redis_url: str) -> None:
    """316: the subscription has ended. Readers see an empty book, then the next one; nobody is told that it was refused."""

    async def scenario() -> None:
        async with feed(redis_url) as it:
            it.desire(want(AAPL, DataKind.DEPTH))
            depth = DEPTH.named("AAPL")
            await eventually(lambda: _has_rows(it, depth), what="a book")
            asked = (await it.gateway.messages(direction="in", name=str(DEPTH_REQUEST), limit=10)).messages
            [client] = it.server.state.clients.values()
            client.outlet.send([Error(int(asked[0].fields[2]), 316, "Market depth data has been HALTED.")])
            await eventually(lambda: _requests_are(it, DEPTH_REQUEST, 2), what="a second request")
            await eventually(lambda: _has_rows(it, depth), what="a book again")
            assert it.subscriptions()[DataKind.DEPTH] == 1
            assert any(book.bids == book.asks == [] for book in await it.messages(depth))
            assert {one.outcome for one in it.told} == {_O.ACTIVE}

    run(scenario())


def test_a_loss_that_nobody_heard_of_is_believed_afterwards(redis_url: str) -> None:
    """1101 without 1100: what was open is asked for again all the same."""

    async def scenario() -> None:
        async with feed(redis_url) as it:
            it.desire(want(AAPL, DataKind.DEPTH))
            await eventually(lambda: _has_rows(it, DEPTH.named("AAPL")), what="a book")
            [client] = it.server.state.clients.values()
            client.outlet.send([Error(-1, 1101, "Connectivity has been restored - data lost.")])
            await eventually(lambda: _requests_are(it, DEPTH_REQUEST, 2), what="a second request")

    run(scenario())


async def _requests_are(it: Feed, number: int, count: int) -> bool:
    return await it.requests(number) == count


def test_a_stream_on_which_nothing_comes_is_active_all_the_same(redis_url: str) -> None:
    """IBKR acknowledges none, and nothing need come for hours: what it has not objected to for a while, it has taken."""

    async def scenario() -> None:
        async with feed(redis_url) as it:
            it.desire(want(AAPL, DataKind.BARS))
            await it.outcome("AAPL", DataKind.BARS, _O.ACTIVE)
            assert await it.messages(LIVE_BARS.named("AAPL")) == []

    run(scenario())


def test_a_stream_that_redis_refuses_holds_up_no_other(redis_url: str) -> None:
    """Something else lies under its name. Once that is gone ticks go on, in a new epoch: those of meanwhile are missing."""

    async def scenario() -> None:
        async with feed(redis_url) as it:
            ticks = TICKS.named("AAPL")
            it.desire(want(AAPL, DataKind.TICKS))
            await eventually(lambda: it.messages(ticks), what="ticks")
            before = (await it.newest(ticks)).epoch
            await it.bus.call(it.bus.redis.rename(ticks.name, "aside"))
            await it.bus.put(ticks.name, b"no stream")
            it.desire(want(AAPL, DataKind.TICKS, DataKind.DEPTH))
            await eventually(lambda: _more_than(it, DEPTH.named("AAPL"), 3), what="books")
            await it.bus.delete(ticks.name)
            await eventually(lambda: _has_epoch_after(it, ticks, before), what="ticks of a new epoch")

    run(scenario())


def test_the_last_word_on_a_book_is_that_it_is_not_kept_up(redis_url: str) -> None:
    """When nobody wants it any more, and when the process stops; ticks that wait then are still written."""

    async def scenario() -> None:
        depth, ticks = DEPTH.named("AAPL"), TICKS.named("AAPL")
        async with feed(redis_url) as it:
            it.desire(want(AAPL, DataKind.DEPTH))
            await eventually(lambda: _has_rows(it, depth), what="a book")
            it.desire([])
            await eventually(lambda: _is_empty(it, depth), what="an empty book")
            it.desire(want(AAPL, DataKind.DEPTH, DataKind.TICKS))
            await eventually(lambda: _has_rows(it, depth), what="a book again")
            await eventually(lambda: it.messages(ticks), what="ticks")
        async with Bus(redis_url, client_name="after") as it.bus:
            assert await _is_empty(it, depth)
            assert_readable(await it.messages(ticks))

    run(scenario())


def test_a_symbol_that_is_let_go_is_not_written_any_more_and_its_slots_are_free(redis_url: str) -> None:
    """When the call returns: the book is said not to be kept up, and the next owner, on a session of its own, is not refused."""

    async def scenario() -> None:
        kinds = (DataKind.TICKS, DataKind.DEPTH, DataKind.BARS)
        async with feed(redis_url, limits=Limits(tick_by_tick_lines=2, depth_lines=1)) as it:
            depth, ticks = DEPTH.named("AAPL"), TICKS.named("AAPL")
            it.desire(want(AAPL, *kinds))
            await eventually(lambda: _has_rows(it, depth), what="a book")
            await eventually(lambda: _more_than(it, ticks, 3), what="ticks")
            await it.desk.let_go(lambda symbol: symbol == "AAPL")
            assert await _is_empty(it, depth)
            counts = [len(await it.messages(stream)) for stream in (ticks, depth)]
            await eventually(lambda: not any(it.subscriptions().values()), what=f"their end; {it.subscriptions()}")
            it.desire(want(MSFT, *kinds))
            for kind in kinds:
                assert (await it.outcome("MSFT", kind, _O.ACTIVE)).code == 0
            assert counts == [len(await it.messages(stream)) for stream in (ticks, depth)]
            assert {one.outcome for one in it.told} == {_O.ACTIVE}, "nobody has ended it: another has it"

    run(scenario())


def test_of_a_symbol_that_was_lost_nothing_is_written_not_even_the_last_word(redis_url: str) -> None:
    """Another may have written a book already. Its streams are closed; those of other symbols go on."""

    async def scenario() -> None:
        async with feed(redis_url) as it:
            depth = DEPTH.named("AAPL")
            it.desire(want(AAPL, DataKind.DEPTH) + want(MSFT, DataKind.DEPTH))
            await eventually(lambda: _has_rows(it, depth), what="a book")
            await eventually(lambda: _has_rows(it, DEPTH.named("MSFT")), what="another book")
            it.desk.lost(lambda symbol: symbol == "AAPL")
            count, others = len(await it.messages(depth)), len(await it.messages(DEPTH.named("MSFT")))
            await eventually(lambda: it.subscriptions()[DataKind.DEPTH] == 1, what="one book alone")
            await eventually(lambda: _more_than(it, DEPTH.named("MSFT"), others + 3), what="more of the other")
        async with Bus(redis_url, client_name="after") as it.bus:
            assert len(await it.messages(depth)) == count
            assert await _has_rows(it, depth)
            assert await _is_empty(it, DEPTH.named("MSFT"))

    run(scenario())


def test_what_this_process_does_not_hold_it_does_not_write(redis_url: str) -> None:
    """By its own clock the lease has run out, and it has not heard of it yet. Held again, ticks go on where they were."""

    async def scenario() -> None:
        async with feed(redis_url) as it:
            aapl, msft = TICKS.named("AAPL"), DEPTH.named("MSFT")
            it.desire(want(AAPL, DataKind.TICKS) + want(MSFT, DataKind.DEPTH))
            await eventually(lambda: _more_than(it, aapl, 3), what="ticks")
            it.taken_away.add("AAPL")
            await eventually(lambda: _more_than(it, msft, 3), what="books")  # what was under way is written by now
            count, others = len(await it.messages(aapl)), len(await it.messages(msft))
            await eventually(lambda: _more_than(it, msft, others + 3), what="more books")
            assert len(await it.messages(aapl)) == count
            it.taken_away.clear()
            await eventually(lambda: _more_than(it, aapl, count + 3), what="ticks again")
            assert_readable(await it.messages(aapl))

    run(scenario())


@contextlib.asynccontextmanager
async def scripted(url: str) -> AsyncIterator[tuple[ScriptedMarketData, StreamDesk]]:
    """A desk at work over a source that does what the test says."""
    source, stop = ScriptedMarketData(), asyncio.Event()
    async with Bus(url, client_name="feed") as bus:
        desk = StreamDesk(
            bus,
            source,
            settings=FeedSettings(),
            holds=lambda _: True,
            epoch_after=lambda _: 0,
            clock=SYSTEM_CLOCK,
            outcome=lambda *_: None,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(desk.work(stop))
            await source.connect(1)
            desk.session_ready()
            yield source, desk
            stop.set()


def test_what_is_being_asked_for_when_its_symbol_goes_is_not_opened(redis_url: str) -> None:
    """The message limit has no room for the request: nobody waits for that, and nothing is left open at the source."""

    async def scenario() -> None:
        async with scripted(redis_url) as (source, desk):
            room = source.hold("open_stream")
            desk.desire(want(AAPL, DataKind.DEPTH) + want(MSFT, DataKind.DEPTH, since_ms=1), source.qualify)
            await eventually(lambda: _asked(source) == ["AAPL depth"], what="the first to be asked for")
            async with asyncio.timeout(1.0):
                await desk.let_go(lambda symbol: symbol == "AAPL")
            room.set()
            await eventually(lambda: len(source.streams) == 1, what="the other to be opened")
            assert [one.symbol for one in source.streams.values()] == ["MSFT"]

    run(scenario())


def test_letting_go_returns_when_the_streams_are_closed(redis_url: str) -> None:
    """Those of the symbols that go, and no others."""

    async def scenario() -> None:
        async with scripted(redis_url) as (source, desk):
            kinds = (DataKind.TICKS, DataKind.DEPTH)
            desk.desire(want(AAPL, *kinds) + want(MSFT, DataKind.DEPTH), source.qualify)
            await eventually(lambda: len(source.streams) == 3, what="all to be open")
            await desk.let_go(lambda symbol: symbol == "AAPL")
            assert [one.symbol for one in source.streams.values()] == ["MSFT"]

    run(scenario())


def test_what_waits_for_a_connection_is_not_sent_after_its_symbol_was_lost(redis_url: str) -> None:
    """It was taken while this process held the symbol; another may write by the time a connection is free."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="feed") as bus, bus.reader() as narrow:
            key, stop = (DataKind.TICKS, "AAPL"), asyncio.Event()
            asked = asyncio.Event()

            def holds(_: str) -> bool:
                asked.set()
                return True

            writer = StreamWriter(narrow, holds=holds, clock=SYSTEM_CLOCK)
            async with asyncio.TaskGroup() as group:
                only_connection = group.create_task(narrow.call(narrow.redis.blpop("released"), deadline_s=30))
                await eventually(lambda: _is_blocked(bus), what="no connection to be free")
                group.create_task(writer.work(stop))
                writer.put(writer.outlet(key, epoch_after=0), TradeTick(1, 1.0, 1.0))
                await asked.wait()
                writer.drop(lambda symbol: symbol == "AAPL")
                await bus.call(bus.redis.rpush("released", "now"))
                await only_connection
                other = (DataKind.TICKS, "MSFT")
                writer.put(writer.outlet(other, epoch_after=0), TradeTick(1, 1.0, 1.0))
                await eventually(lambda: bus.call(bus.redis.exists(TICKS.named("MSFT").name)), what="another's tick")
                assert not await bus.call(bus.redis.exists(TICKS.named("AAPL").name))
                stop.set()

    run(scenario())


async def _is_blocked(bus: Bus) -> bool:
    return bool((await bus.call(bus.redis.info("clients")))["blocked_clients"])


def _asked(source: ScriptedMarketData) -> list[str]:
    return [call.symbol for call in source.calls if call.name == "open_stream"]


def test_a_busy_symbol_holds_up_no_other(redis_url: str) -> None:
    """Its ticks come faster than Redis answers. They go out in batches, and between two of them what others have."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="feed") as bus:
            writer = StreamWriter(bus, holds=lambda _: True, clock=SYSTEM_CLOCK)
            keys = [(DataKind.TICKS, symbol) for symbol in ("BUSY", "QUIET")]
            writer.keep(keys)
            busy, quiet = (writer.outlet(key, epoch_after=0) for key in keys)
            stop = asyncio.Event()

            async def tick() -> None:
                while not stop.is_set():
                    writer.put(busy, TradeTick(1, 1.0, 1.0))
                    await asyncio.wait({asyncio.ensure_future(bus.ping())})

            async def length(symbol: str) -> int:
                return int(await bus.call(bus.redis.xlen(TICKS.named(symbol).name)))

            async with asyncio.TaskGroup() as group:
                group.create_task(tick())
                group.create_task(writer.work(stop))
                start_s = SYSTEM_CLOCK.monotonic()
                for count in (1, 2, 3):
                    writer.put(quiet, TradeTick(count, 1.0, 1.0))
                    await eventually(partial(_is_at_least, length, "QUIET", count), what=f"{count} of the quiet symbol")
                written, lasted_s = await length("BUSY"), SYSTEM_CLOCK.monotonic() - start_s
                stop.set()
            assert 1 <= written <= lasted_s / BATCH_S + 1

    run(scenario())


async def _is_at_least(length: Callable[[str], Awaitable[int]], symbol: str, count: int) -> bool:
    return await length(symbol) >= count


def test_epochs_are_above_those_of_the_writer_before(redis_url: str) -> None:
    """Whose clock may have been ahead."""

    async def scenario() -> None:
        ahead = SYSTEM_CLOCK.time_ns() // 1_000_000 + 3_600_000
        async with feed(redis_url, epoch_after=ahead) as it:
            it.desire(want(AAPL, DataKind.TICKS))
            [first, *_] = await eventually(lambda: it.messages(TICKS.named("AAPL")), what="ticks")
            assert (first.epoch, first.seq) == (ahead + 1, 1)

    run(scenario())


def test_ticks_wanted_again_at_once_rest_first(redis_url: str) -> None:
    """IBKR takes one such request for an instrument in 15 s; meanwhile nothing is told but that the first ones ended."""

    async def scenario() -> None:
        async with feed(redis_url) as it:
            start_s = SYSTEM_CLOCK.monotonic()
            it.desire(want(AAPL, DataKind.TICKS))
            await it.outcome("AAPL", DataKind.TICKS, _O.ACTIVE)
            it.desire([])
            await eventually(lambda: it.subscriptions()[DataKind.TICKS] == 0, what="their end")
            it.desire(want(AAPL, DataKind.TICKS))
            await eventually(lambda: _requests_are(it, TICK_REQUEST, 4), what="the second request")
            assert SYSTEM_CLOCK.monotonic() - start_s >= TICK_REST_S / 10
            await it.outcome("AAPL", DataKind.TICKS, _O.ACTIVE)
            assert [one.outcome for one in it.told] == [_O.ACTIVE, _O.ENDED, _O.ACTIVE]

    run(scenario())


def test_a_login_elsewhere_is_waited_for(redis_url: str) -> None:
    """10197: told as such, and asked for again after a while."""

    async def scenario() -> None:
        async with feed(redis_url) as it:
            await it.gateway.competing_session()
            it.desire(want(AAPL, DataKind.DEPTH))
            assert (await it.outcome("AAPL", DataKind.DEPTH, _O.COMPETING_SESSION)).code == 10197
            await it.gateway.clear()
            await it.outcome("AAPL", DataKind.DEPTH, _O.ACTIVE)
            assert await it.requests(DEPTH_REQUEST) == 2

    run(scenario())


@pytest.mark.parametrize("data_lost", [True, False])
def test_a_lost_link_is_seen_by_readers_and_everything_is_asked_for_again(redis_url: str, *, data_lost: bool) -> None:
    """1100: books are empty at once. 1101 or 1102: a new epoch, and each subscription stands once at the Gateway."""

    async def scenario() -> None:
        async with feed(redis_url) as it:
            assert it.host is not None
            it.desire(want(AAPL, DataKind.TICKS, DataKind.DEPTH, DataKind.BARS))
            ticks, depth = TICKS.named("AAPL"), DEPTH.named("AAPL")
            await eventually(lambda: _has_rows(it, depth), what="a book")
            await eventually(lambda: _more_than(it, ticks, 3), what="ticks")
            await it.gateway.lose_link()
            await in_state(it.host, ConnectionState.DEGRADED)
            await eventually(lambda: _is_empty(it, depth), what="an empty book")
            before = (await it.newest(ticks)).epoch
            await it.gateway.restore_link(data_lost=data_lost)
            await eventually(lambda: _has_rows(it, depth), what="a book again")
            await eventually(lambda: _epoch_after(it, ticks, before), within_s=TICK_REST_S, what="a new epoch")
            await eventually(
                lambda: it.subscriptions() == {DataKind.TICKS: 2, DataKind.BARS: 1, DataKind.DEPTH: 1},
                what=f"each once: {it.subscriptions()}",
            )
            assert_readable(await it.messages(ticks))
            assert await it.requests(TICK_REQUEST) == 4
            assert {one.outcome for one in it.told} == {_O.ACTIVE}

    run(scenario())


async def _has_rows(it: Feed, stream: Stream) -> bool:
    book = await it.newest(stream)
    return book is not None and len(book.bids) == DEPTH_LEVELS


async def _is_empty(it: Feed, stream: Stream) -> bool:
    book = await it.newest(stream)
    return book is not None and book.bids == book.asks == []


async def _epoch_after(it: Feed, stream: Stream, epoch: int) -> bool:
    return bool((await it.newest(stream)).epoch > epoch)


def test_a_gateway_that_restarts_breaks_the_epoch_and_nothing_else(redis_url: str) -> None:
    """The consumer is told where continuity broke, and reads on."""

    async def scenario() -> None:
        async with feed(redis_url) as it, Bus(redis_url, client_name="consumer") as bus:
            subscription = TickSubscription(bus, "AAPL", patience_s=PATIENCE_S, clock=SYSTEM_CLOCK)
            async with subscription as events:
                it.desire(want(AAPL, DataKind.TICKS, DataKind.DEPTH))
                await take(events, 5)
                assert events.continuity.unbroken
                await it.gateway.restart(down_s=0.5)
                await eventually(lambda: _is_empty(it, DEPTH.named("AAPL")), what="an empty book")
                seen: list[Any] = []
                while not seen or not isinstance(seen[-1], EpochChanged):
                    seen += await take(events, 1)
                assert isinstance((await take(events, 1))[0], TickBatch)
                assert (events.continuity.gaps, events.continuity.repeats) == (0, 0)
            await eventually(lambda: _has_rows(it, DEPTH.named("AAPL")), what="a book again")
            assert_readable(await it.messages(TICKS.named("AAPL")))

    run(scenario())


def test_while_redis_is_away_ticks_wait_and_none_is_lost(private_server: Callable[[], KillableServer]) -> None:
    """Killed and started again: a new epoch from where a batch was in doubt, and over both every trade of the market."""

    async def scenario() -> None:
        async with private_server() as server, feed(server.url) as it:
            ticks = TICKS.named("AAPL")
            it.desire(want(AAPL, DataKind.TICKS))
            await eventually(lambda: _more_than(it, ticks, 3), what="ticks")
            before = await it.messages(ticks)
            await server.kill()
            await _ticks_pass(1.0)
            await server.start()
            await eventually(lambda: _has_epoch_after(it, ticks, before[-1].epoch), within_s=15, what="ticks again")
            found = [*before, *(await it.messages(ticks))]
            told = {(one.time_s, one.price, one.size, one.received_ns): None for one in trades(found)}
            in_order = [TradeTick(time_s, price, size) for time_s, price, size, _ in told]
            assert len({batch.epoch for batch in found}) > 1
            assert_complete("AAPL", in_order)

    run(scenario())


async def _ticks_pass(seconds: float) -> None:
    """Return once the market has moved on for so long."""
    start_s = SYSTEM_CLOCK.monotonic()
    await eventually(lambda: SYSTEM_CLOCK.monotonic() > start_s + seconds, what="time to pass")


async def _has_epoch_after(it: Feed, stream: Stream, epoch: int) -> bool:
    newest = await it.newest(stream)
    return newest is not None and newest.epoch > epoch
