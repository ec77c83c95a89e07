"""From the book to Redis and back: numbered batches, last values, and every way in which a write can fail."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
import redis
from bus_helpers import LossyProxy, raw
from redis_for_tests import KillableServer
from support import eventually, log_of, run

from ibstream.bus import Bus, BusUnavailable
from ibstream.contracts.base import encode, type_of
from ibstream.contracts.quotes import Quality, Quote, QuoteBatch, shard_of
from ibstream.contracts.registry import QUOTES, last_quotes_key
from ibstream.runtime import metrics
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.settings import FeedSettings
from ibstream_feed import last_values as last_values_module
from ibstream_feed import publishing
from ibstream_feed.adapters.shard_leases import TTL_S
from ibstream_feed.domain.book import QuoteBook
from ibstream_feed.domain.line import BID, BID_SIZE, Line
from ibstream_feed.last_values import RETRY_S
from ibstream_feed.publishing import ANSWERED_S, LAST_WORD_S, LET_GO_S, QuotePublisher

Servers = Callable[[], KillableServer]

SHARDS = 2
SYMBOLS = ["AAPL", "MSFT", "NVDA", "BRK.B"]
ALL = range(SHARDS)


@dataclass
class Rig:
    """A publisher at work, the book it publishes, and a bus to look with."""

    publisher: QuotePublisher
    book: QuoteBook
    bus: Bus
    held: set[int] = field(default_factory=lambda: set(ALL))
    settings: FeedSettings = field(default_factory=FeedSettings)

    def tick(self, bid: float, *symbols: str) -> None:
        """A tick of each symbol, as a port brings it."""
        lines = [self.book.open(symbol) for symbol in symbols or SYMBOLS]
        for line in lines:
            line.values[BID], line.values[BID_SIZE] = b"%g" % bid, b"1"
        self.publisher.flush(self.book.ticked(lines, SYSTEM_CLOCK.time_ns()))

    async def take_over_all(self) -> None:
        for shard in ALL:
            await self.publisher.take_over(shard, SYMBOLS, 0)

    async def arrived(self, bid: float, quality: Quality = Quality.LIVE, *, within_s: float = 10.0) -> None:
        """Wait until the newest row of every symbol is this, in the streams and in the hashes."""

        async def is_so() -> bool:
            wanted = dict.fromkeys(SYMBOLS, (bid, quality))
            rows, saved = await newest(self.bus), await last_values(self.bus)
            return said(rows) == wanted == said(saved)

        await eventually(is_so, within_s=within_s, what=f"bid {bid}, {quality}, of every symbol")


def said(rows: dict[str, Quote]) -> dict[str, tuple[float | None, Quality]]:
    return {symbol: (row.bid, row.quality) for symbol, row in rows.items()}


@contextlib.asynccontextmanager
async def publishing_to(
    url: str, *, look_at: str = "", held: set[int] | None = None, **settings: Any
) -> AsyncIterator[Rig]:
    """A publisher that has not taken anything over; it is stopped in good order. `look_at`: another way to the same server."""
    chosen = FeedSettings(**{"shards": SHARDS, "last_values_interval_s": 0.05, **settings})
    book = QuoteBook(SHARDS)
    book.flows = True
    ours = set(ALL) if held is None else held
    async with Bus(url, client_name="feed") as quotes, Bus(look_at or url, client_name="test") as bus:
        publisher = QuotePublisher(quotes, book, settings=chosen, holds=ours.__contains__, clock=SYSTEM_CLOCK)
        stop = asyncio.Event()
        task = asyncio.create_task(publisher.run(stop))
        try:
            yield Rig(publisher, book, bus, ours, chosen)
        finally:
            stop.set()
            await task


@contextlib.asynccontextmanager
async def at_work(url: str, **settings: Any) -> AsyncIterator[Rig]:
    """A publisher that has taken every shard over."""
    async with publishing_to(url, **settings) as rig:
        await rig.take_over_all()
        await eventually(lambda: rig.publisher._pipe.is_connected, what="a connection")
        yield rig


async def batches(bus: Bus, shard: int) -> list[QuoteBatch]:
    """Everything a shard has published."""
    decode = QUOTES.codec().decode
    entries = await bus.call(bus.redis.xrange(QUOTES.named(shard).name))
    return [batch for _, fields in entries if isinstance(batch := decode(fields[b"type"], fields[b"data"]), QuoteBatch)]


async def newest(bus: Bus) -> dict[str, Quote]:
    """The newest row of each symbol, by the streams."""
    return {row.symbol: row for shard in ALL for batch in await batches(bus, shard) for row in batch.rows}


async def last_values(bus: Bus) -> dict[str, Quote]:
    """The newest row of each symbol, by the hashes."""
    rows = [await bus.hash(last_quotes_key(shard)) for shard in ALL]
    return {name.decode(): msgspec.json.decode(row, type=Quote) for shard in rows for name, row in shard.items()}


async def assert_continuous(bus: Bus) -> None:
    """In every shard: within an epoch 1, 2, 3 …; epochs only grow; no symbol twice in a batch."""
    for shard in ALL:
        found = await batches(bus, shard)
        numbers = [(batch.epoch, batch.seq) for batch in found]
        assert numbers == sorted(set(numbers))
        for epoch in {batch.epoch for batch in found}:
            own = [batch.seq for batch in found if batch.epoch == epoch]
            assert own == list(range(1, len(own) + 1))
        for batch in found:
            assert batch.shard == shard
            assert len({row.symbol for row in batch.rows}) == len(batch.rows) > 0


async def leave(bus: Bus, *rows: Quote) -> None:
    """Put last values where an earlier process would have left them."""
    for row in rows:
        await bus.set_fields(last_quotes_key(shard_of(row.symbol, SHARDS)), {row.symbol: msgspec.json.encode(row)})


async def calls_of(bus: Bus, command: str) -> int:
    """How often the server was asked for a command, refusals included."""
    stats = await bus.call(raw(bus).info("commandstats"))
    found = stats.get(f"cmdstat_{command}", {"calls": 0, "rejected_calls": 0})
    return int(found["calls"]) + int(found["rejected_calls"])


def test_rows_arrive_numbered_without_a_gap(redis_url: str) -> None:
    """Every tick's newest state is in the streams and in the hashes; what was counted is what is there."""

    async def scenario() -> None:
        async with at_work(redis_url) as rig:
            counted = metrics.QUOTES_PUBLISHED._value.get()
            for bid in range(1, 200):
                rig.tick(bid)
                if bid % 10 == 0:
                    await SYSTEM_CLOCK.sleep(0.005)
            await rig.arrived(199)
            await assert_continuous(rig.bus)
            found = [batch for shard in ALL for batch in await batches(rig.bus, shard)]
            assert len(found) > 2 * SHARDS
            assert sum(len(batch.rows) for batch in found) == metrics.QUOTES_PUBLISHED._value.get() - counted

    run(scenario())


def test_a_batch_is_at_the_server_before_the_tick_has_returned(redis_url: str) -> None:
    """No task has to be scheduled: the loop does not turn between the tick and what another connection reads."""

    async def scenario() -> None:
        async with at_work(redis_url) as rig:
            rig.tick(10)
            with redis.Redis.from_url(redis_url) as other:
                for _ in range(1000):
                    if length := other.xlen("quotes:0"):
                        break
            assert length == 1

    run(scenario())


def test_a_slow_redis_gets_fewer_and_whole_batches(redis_url: str) -> None:
    """One XADD a shard is under way. What comes meanwhile conflates into the next, which is no larger than the symbols."""

    async def scenario() -> None:
        async with at_work(redis_url) as rig:
            conflated, counted = rig.book.conflated, metrics.QUOTES_CONFLATED._value.get()
            await rig.bus.call(raw(rig.bus).client_pause(600, all=False))
            for bid in range(1, 1001):
                rig.tick(bid)
                if bid % 100 == 0:
                    await SYSTEM_CLOCK.sleep(0)
            await rig.arrived(1000)
            for shard in ALL:
                bids = [[row.bid for row in batch.rows] for batch in await batches(rig.bus, shard)]
                symbols = [symbol for symbol in SYMBOLS if shard_of(symbol, SHARDS) == shard]
                assert bids == [[1] * len(symbols), [1000] * len(symbols)]
            assert rig.book.conflated - conflated == 998 * len(SYMBOLS)
            assert metrics.QUOTES_CONFLATED._value.get() - counted == 998 * len(SYMBOLS)
            await assert_continuous(rig.bus)

    run(scenario())


def test_a_redis_that_dies_and_returns_costs_an_epoch_and_no_quote(private_server: Servers) -> None:
    """What was seen last arrives on its return without another tick; ticks meanwhile fill no memory."""

    async def scenario() -> None:
        async with private_server() as server, at_work(server.url) as rig:
            rig.tick(10)
            await rig.arrived(10)
            before = {shard: (await batches(rig.bus, shard))[-1].epoch for shard in ALL}
            async with server.frozen():
                rig.tick(11)
            await server.kill()
            for bid in range(12, 1012):
                rig.tick(bid)
            assert sum(len(rig.book._unsent[shard]) for shard in ALL) == len(SYMBOLS)
            assert sum(len(rig.book._unsaved[shard]) for shard in ALL) <= len(SYMBOLS)
            await eventually(lambda: not rig.publisher._pipe.is_connected, what="the loss")
            await server.start()
            await rig.arrived(1011)
            await assert_continuous(rig.bus)
            for shard in ALL:
                assert (await batches(rig.bus, shard))[-1].epoch > before[shard]

    run(scenario())


def test_a_batch_whose_answer_was_lost_never_lends_its_number(redis_url: str) -> None:
    """It was written; nobody knows. Its rows go out again, as they stand, in a new epoch."""

    async def scenario() -> None:
        async with (
            LossyProxy(redis_url) as proxy,
            at_work(proxy.url, look_at=redis_url, last_values_interval_s=60) as rig,
        ):
            failed = metrics.BATCHES_NOT_WRITTEN._value.get()
            shard = shard_of("AAPL", SHARDS)
            rig.tick(10, "AAPL")
            await rig.publisher.settled(ALL)
            proxy.loses = b"XADD"
            rig.tick(11, "AAPL")
            await eventually(lambda: proxy.lost, what="the loss")
            proxy.loses = None
            await eventually(lambda: rig.publisher._pipe.is_connected, what="another connection")
            await rig.publisher.settled(ALL)
            found = await batches(rig.bus, shard)
            assert [(batch.seq, batch.rows[0].bid) for batch in found] == [(1, 10), (2, 11), (1, 11)]
            assert metrics.BATCHES_NOT_WRITTEN._value.get() == failed + 1
            await assert_continuous(rig.bus)

    run(scenario())


def test_whatever_connections_die_numbers_are_used_once_and_the_newest_arrives(redis_url: str) -> None:
    """Ticks go on while the server closes the feed's connections again and again, at moments nobody chose."""

    async def scenario() -> None:
        async with at_work(redis_url) as rig:
            for round_ in range(1, 8):
                await eventually(lambda: rig.publisher._pipe.is_connected, what="a connection")
                for step in range(40):
                    rig.tick(round_ * 100 + step)
                    await SYSTEM_CLOCK.sleep(0.001 * (round_ % 3))
                for client in await raw(rig.bus).client_list():
                    if client["name"] == "feed":
                        rig.tick(round_ * 100 + 50)
                        await raw(rig.bus).client_kill_filter(_id=client["id"])
            rig.tick(5000)
            await rig.arrived(5000)
            await assert_continuous(rig.bus)
            assert len({batch.epoch for batch in await batches(rig.bus, 0)}) > 2

    run(scenario())


def test_what_redis_refuses_is_tried_again_from_time_to_time(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ticks do not make it more often; the log says it once; when it can be written it is, in a new epoch."""
    logged = log_of(publishing, monkeypatch)

    async def scenario() -> None:
        async with at_work(redis_url) as rig:
            shard = shard_of("AAPL", SHARDS)
            await rig.bus.put(QUOTES.named(shard).name, b"not a stream")
            tries = await calls_of(rig.bus, "xadd")
            started = SYSTEM_CLOCK.monotonic()
            bid = 0
            while SYSTEM_CLOCK.monotonic() - started < 3 * RETRY_S:
                bid += 1
                rig.tick(bid, "AAPL")
                await SYSTEM_CLOCK.sleep(0.001)
            assert 2 <= await calls_of(rig.bus, "xadd") - tries <= 5
            assert [entry["event"] for entry in logged] == ["feed.batch_not_written"]
            await rig.bus.delete(QUOTES.named(shard).name)
            rig.tick(9999)
            await rig.arrived(9999)
            await assert_continuous(rig.bus)

    run(scenario())


def test_a_shard_that_was_not_taken_over_is_not_written(redis_url: str) -> None:
    """Its rows wait, conflated, and go out when it is."""

    async def scenario() -> None:
        async with publishing_to(redis_url) as rig:
            await rig.publisher.take_over(0, SYMBOLS, 0)
            for bid in range(10):
                rig.tick(bid)
            await eventually(lambda: rig.bus.hash(last_quotes_key(0)), what="the last values of the shard that is ours")
            assert await rig.bus.hash(last_quotes_key(1)) == {}
            assert await batches(rig.bus, 1) == []
            await rig.publisher.take_over(1, SYMBOLS, 0)
            await rig.arrived(9)

    run(scenario())


def test_a_shard_whose_lease_is_gone_is_not_written(redis_url: str) -> None:
    """Whatever was taken over: `holds` is asked before every write, to streams and hashes, at the stop too."""

    async def scenario() -> None:
        lost = shard_of("AAPL", SHARDS)
        async with at_work(redis_url) as rig:
            rig.tick(10)
            await rig.arrived(10)
            rig.held.discard(lost)
            rig.tick(11)
            other = 1 - lost
            await eventually(
                lambda: _saved_bids(rig.bus, other, 11), what="the last values of the shard that is still held"
            )
            assert {row.bid for batch in await batches(rig.bus, lost) for row in batch.rows} == {10}
        async with Bus(redis_url, client_name="test") as bus:
            rows = await bus.hash(last_quotes_key(lost))
            assert {msgspec.json.decode(row, type=Quote).quality for row in rows.values()} == {Quality.LIVE}
            assert (await batches(bus, lost))[-1].rows[0].quality is Quality.LIVE
            assert (await batches(bus, other))[-1].rows[0].quality is Quality.STALE

    run(scenario())


async def _saved_bids(bus: Bus, shard: int, bid: float) -> bool:
    rows = [msgspec.json.decode(row, type=Quote) for row in (await bus.hash(last_quotes_key(shard))).values()]
    return {row.bid for row in rows} == {bid}


def test_who_takes_a_shard_over_goes_on_where_its_writer_left_off(redis_url: str) -> None:
    """Rows of wanted symbols are stale from now on, in stream, hash and book; all others are gone from the hash."""

    async def scenario() -> None:
        aapl, msft = Quote("AAPL", 10, bid_size=1, time_ns=5), Quote("MSFT", 20, bid_size=1, time_ns=6)
        was_stale = Quote("NVDA", 30, bid_size=1, time_ns=7, quality=Quality.STALE)
        async with publishing_to(redis_url) as rig:
            await leave(rig.bus, aapl, msft, was_stale, Quote("GONE", 1, bid_size=1, time_ns=8))
            before_ns = SYSTEM_CLOCK.time_ns()
            await rig.take_over_all()
            await eventually(lambda: _symbols(rig.bus, "AAPL", "MSFT", "NVDA"), what="the rows in the streams")
            await rig.publisher.settled(ALL)
            by_stream = await newest(rig.bus)
            assert said(by_stream) == {
                symbol: (bid, Quality.STALE) for symbol, bid in (("AAPL", 10), ("MSFT", 20), ("NVDA", 30))
            }
            assert by_stream["NVDA"].time_ns == 7
            assert min(by_stream["AAPL"].time_ns, by_stream["MSFT"].time_ns) >= before_ns
            await eventually(lambda: _equal(last_values(rig.bus), by_stream), what="the same in the hashes")
            rig.tick(11, "AAPL")
            await eventually(lambda: _bid(rig.bus, "AAPL", 11), what="the tick")
            await assert_continuous(rig.bus)

    run(scenario())


async def _symbols(bus: Bus, *symbols: str) -> bool:
    return (await newest(bus)).keys() == set(symbols)


async def _bid(bus: Bus, symbol: str, bid: float) -> bool:
    return (await newest(bus))[symbol].bid == bid


async def _equal(found: Any, wanted: Any) -> bool:
    return bool(await found == wanted)


def test_an_epoch_is_greater_than_that_of_the_writer_before_whatever_its_clock_said(redis_url: str) -> None:
    """And than the floor that its lease's token gives."""

    async def scenario() -> None:
        async with publishing_to(redis_url) as rig:
            ahead = SYSTEM_CLOCK.time_ns() // 1_000_000 + 3_600_000
            batch = QuoteBatch(shard=0, epoch=ahead, seq=7, published_at=1, rows=[Quote("BRK.B", 1)])
            fields: dict[Any, Any] = {"type": type_of(batch), "data": encode(batch)}
            await rig.bus.call(raw(rig.bus).xadd(QUOTES.named(0).name, fields))
            await rig.publisher.take_over(0, SYMBOLS, 0)
            await rig.publisher.take_over(1, SYMBOLS, 2 * ahead)
            rig.tick(10)
            await rig.arrived(10)
            assert (await batches(rig.bus, 0))[-1].epoch == ahead + 1
            assert (await batches(rig.bus, 1))[-1].epoch == 2 * ahead + 1
            rig.publisher.new_epoch()
            rig.tick(11)
            await rig.arrived(11)
            assert (await batches(rig.bus, 0))[-1].epoch == ahead + 2
            assert (await batches(rig.bus, 1))[-1].epoch == 2 * ahead + 2

    run(scenario())


def test_what_stands_in_the_stream_and_was_not_saved_any_more_is_taken_over_too(redis_url: str) -> None:
    """Its writer was killed in between: of each symbol the newest row is taken, so that none goes back in time or price."""

    async def scenario() -> None:
        async with at_work(redis_url) as rig:
            rig.tick(10)
            await rig.arrived(10)
            shard = rig.book.shard_of("AAPL")
            now_ns = SYSTEM_CLOCK.time_ns()
            saved = Quote("AAPL", 10.0, bid_size=1.0, quality=Quality.STALE, time_ns=now_ns)
            written = Quote("AAPL", 11.0, bid_size=1.0, time_ns=saved.time_ns + 1)
            unwanted = Quote("GONE", 1.0, bid_size=1.0, time_ns=saved.time_ns + 1)
            newest = (await batches(rig.bus, shard))[-1]
            batch = QuoteBatch(shard=shard, epoch=newest.epoch + 9, seq=1, published_at=1, rows=[written, unwanted])
            fields: dict[Any, Any] = {"type": type_of(batch), "data": encode(batch)}
            rig.publisher.lost([shard])
            rig.book.close("AAPL")
            await rig.bus.set_fields(last_quotes_key(shard), {"AAPL": msgspec.json.encode(saved)})
            await rig.bus.call(raw(rig.bus).xadd(QUOTES.named(shard).name, fields))
            await eventually(lambda: rig.publisher._pipe.is_connected, what="the connection")
            await rig.publisher.take_over(shard, SYMBOLS, 0)
            (row,) = [
                one for one in (await until_written(rig.bus, shard, batch.epoch + 1)).rows if one.symbol == "AAPL"
            ]
            assert (row.bid, row.quality) == (11.0, Quality.STALE)
            assert row.time_ns >= written.time_ns
            assert rig.book.get("GONE") is None

    run(scenario())


async def until_written(bus: Bus, shard: int, epoch: int) -> QuoteBatch:
    """The first batch of an epoch, once it is there."""

    async def found() -> QuoteBatch | None:
        return next((batch for batch in await batches(bus, shard) if batch.epoch >= epoch), None)

    batch: QuoteBatch = await eventually(found, what=f"a batch of epoch {epoch}")
    return batch


def test_a_stream_whose_newest_entry_cannot_be_read_is_taken_over_all_the_same(redis_url: str) -> None:
    """Somebody wrote nonsense into it."""

    async def scenario() -> None:
        async with publishing_to(redis_url) as rig:
            await rig.bus.call(raw(rig.bus).xadd(QUOTES.named(0).name, {"type": "quotes.batch.v1", "data": b"{"}))
            await rig.bus.call(raw(rig.bus).xadd(QUOTES.named(1).name, {"odd": b"x"}))
            await rig.take_over_all()
            rig.tick(10)
            await eventually(lambda: rig.bus.hash(last_quotes_key(0)), what="last values")

    run(scenario())


def test_last_values_that_cannot_be_read_or_belong_elsewhere_are_removed_and_told(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nonsense, a row under another's name, and a row that another number of shards had put here."""
    logged = log_of(last_values_module, monkeypatch)

    async def scenario() -> None:
        shard = shard_of("AAPL", SHARDS)
        async with publishing_to(redis_url) as rig:
            good = msgspec.json.encode(Quote("AAPL", 10, bid_size=1, time_ns=5))
            stranger = next(symbol for symbol in SYMBOLS if shard_of(symbol, SHARDS) != shard)
            bad = {"ODD": b"{", "ODDER": b'["\xff"]', "X": good, stranger: msgspec.json.encode(Quote(stranger, 1))}
            await rig.bus.set_fields(last_quotes_key(shard), {"AAPL": good, **bad})
            await rig.publisher.take_over(shard, [*SYMBOLS, *bad], 0)
            assert set(await rig.bus.hash(last_quotes_key(shard))) == {b"AAPL"}
            assert [line.symbol for line in rig.book] == ["AAPL"]
        assert [entry["event"] for entry in logged] == ["feed.undecodable_last_value"] * 2

    run(scenario())


def test_what_the_book_knows_better_is_left_alone(redis_url: str) -> None:
    """Ticks of a shard that came before it was taken over; its row in the hash is older."""

    async def scenario() -> None:
        async with publishing_to(redis_url) as rig:
            await leave(rig.bus, *(Quote(symbol, 1, bid_size=1, time_ns=5) for symbol in SYMBOLS))
            rig.tick(10)
            await rig.take_over_all()
            await rig.arrived(10)
            for shard in ALL:
                assert {row.bid for batch in await batches(rig.bus, shard) for row in batch.rows} == {10}

    run(scenario())


def test_a_take_over_that_fails_has_begun_nothing(private_server: Servers) -> None:
    """Redis is away: it raises, and nothing is written until a later try succeeds."""

    async def scenario() -> None:
        async with private_server() as server, publishing_to(server.url) as rig:
            await server.kill()
            with pytest.raises(BusUnavailable):
                await rig.publisher.take_over(0, SYMBOLS, 0)
            rig.tick(10)
            await server.start()
            await eventually(lambda: rig.publisher._pipe.is_connected, what="a connection")
            rig.tick(11)
            assert await batches(rig.bus, 0) == []
            await rig.take_over_all()
            await rig.arrived(11)

    run(scenario())


def test_a_shard_that_was_let_go_is_written_no_more(redis_url: str) -> None:
    """What is under way is waited for, and its last values are saved, before it returns; nothing follows."""

    async def scenario() -> None:
        async with at_work(redis_url, last_values_interval_s=60) as rig:
            shard = shard_of("AAPL", SHARDS)
            await rig.bus.call(raw(rig.bus).client_pause(400, all=False))
            rig.tick(10, "AAPL")
            rig.tick(11, "AAPL")
            await rig.publisher.let_go(shard)
            assert [row.bid for batch in await batches(rig.bus, shard) for row in batch.rows] == [10]
            assert (await last_values(rig.bus))["AAPL"].bid == 11
            rig.tick(12)
            await rig.publisher.settled(ALL)
            assert [row.bid for batch in await batches(rig.bus, shard) for row in batch.rows] == [10]
            await rig.publisher.take_over(shard, SYMBOLS, 0)
            await eventually(lambda: _bid(rig.bus, "AAPL", 12), what="the newest row, of the shard taken over again")
            await assert_continuous(rig.bus)

    run(scenario())


def test_letting_go_does_not_wait_for_a_redis_that_hangs(
    private_server: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hand-over must go on; the lease guards the rest."""
    logged = log_of(publishing, monkeypatch)

    async def scenario() -> None:
        async with private_server() as server, at_work(server.url) as rig:
            async with server.frozen():
                rig.tick(10)
                started = SYSTEM_CLOCK.monotonic()
                await rig.publisher.let_go(0)
                assert LET_GO_S <= SYSTEM_CLOCK.monotonic() - started < LET_GO_S + 1
            assert logged[0]["event"] == "feed.redis_is_slow"

    run(scenario())


def test_a_shard_that_was_lost_and_regained_is_not_written_before_it_is_taken_over(redis_url: str) -> None:
    """Another has written meanwhile. The line that was closed still ticks; what was to be removed then is not any more."""

    async def scenario() -> None:
        shard = shard_of("AAPL", SHARDS)
        async with at_work(redis_url) as rig:
            rig.tick(10, "AAPL")
            await rig.publisher.settled(ALL)
            closed = rig.book.open("AAPL")
            rig.held.discard(shard)
            rig.book.close("AAPL")
            await rig.publisher.forget(["AAPL"])
            rig.publisher.lost([shard])
            theirs = QuoteBatch(
                shard=shard,
                epoch=SYSTEM_CLOCK.time_ns() // 1_000_000 + 1000,
                seq=1,
                published_at=1,
                rows=[Quote("AAPL", 20, bid_size=1, time_ns=SYSTEM_CLOCK.time_ns())],
            )
            fields: dict[Any, Any] = {"type": type_of(theirs), "data": encode(theirs)}
            await rig.bus.call(raw(rig.bus).xadd(QUOTES.named(shard).name, fields))
            await leave(rig.bus, *theirs.rows)
            rig.held.add(shard)
            _tick_line(rig, closed, 11)
            rig.publisher.flush(ALL)
            await _saved_twice(rig)
            assert (await batches(rig.bus, shard))[-1] == theirs
            assert (await last_values(rig.bus))["AAPL"] == theirs.rows[0]
            await rig.publisher.take_over(shard, SYMBOLS, 0)
            _tick_line(rig, closed, 12)
            await rig.publisher.settled(ALL)
            await _saved_twice(rig)
            for rows in (await newest(rig.bus), await last_values(rig.bus)):
                assert said(rows)["AAPL"] == (20, Quality.STALE)
            await assert_continuous(rig.bus)

    run(scenario())


def _tick_line(rig: Rig, line: Line, bid: float) -> None:
    line.values[BID], line.values[BID_SIZE] = b"%g" % bid, b"1"
    rig.publisher.flush(rig.book.ticked([line], SYSTEM_CLOCK.time_ns()))


async def _saved_twice(rig: Rig) -> None:
    """Wait until the last values of the other shard have been looked at twice since."""
    other = next(symbol for symbol in SYMBOLS if shard_of(symbol, SHARDS) != shard_of("AAPL", SHARDS))
    for _ in range(2):
        bid = float(SYSTEM_CLOCK.time_ns() % 1_000_000)
        rig.tick(bid, other)
        await eventually(functools.partial(_is_saved, rig.bus, other, bid), what="a save")
        rig.book.close(other)
        await rig.publisher.forget([other])


async def _is_saved(bus: Bus, symbol: str, bid: float) -> bool:
    row = (await last_values(bus)).get(symbol)
    return row is not None and row.bid == bid


def test_what_is_under_way_of_a_shard_that_is_lost_does_not_follow_its_next_writers(private_server: Servers) -> None:
    """Redis hangs, with a batch and a removal before it; whether they were done is not known, later they are not."""

    async def scenario() -> None:
        async with private_server() as server, at_work(server.url) as rig:
            shard = shard_of("AAPL", SHARDS)
            rig.tick(10, "AAPL")
            await rig.publisher.settled(ALL)
            async with server.frozen():
                rig.tick(11, "AAPL")
                rig.held.discard(shard)
                rig.publisher.lost([shard])
                assert not rig.publisher._pipe.is_connected
                await eventually(
                    lambda: rig.publisher._is_idle(rig.publisher._shards[shard]), what="the end of what was under way"
                )
            await eventually(lambda: rig.publisher._pipe.is_connected, within_s=10, what="another connection")
            length = len(await batches(rig.bus, shard))
            rig.tick(12, "AAPL")
            rig.held.add(shard)
            rig.tick(13, "AAPL")
            assert len(await batches(rig.bus, shard)) == length
            await rig.publisher.take_over(shard, SYMBOLS, 0)
            await eventually(lambda: _bid(rig.bus, "AAPL", 13), what="the newest row")
            await assert_continuous(rig.bus)

    run(scenario())


def test_no_answer_is_awaited_longer_than_a_lease_lasts() -> None:
    """Or a batch could land behind those of another owner."""
    assert ANSWERED_S < TTL_S


def test_last_values_of_what_nobody_wants_any_more_are_removed(redis_url: str) -> None:
    """Those of one that is wanted again by then are not."""

    async def scenario() -> None:
        async with at_work(redis_url) as rig:
            rig.tick(10)
            await rig.arrived(10)
            rig.book.close("AAPL")
            await rig.publisher.forget(["AAPL", "MSFT"])
            assert sorted(await last_values(rig.bus)) == sorted(set(SYMBOLS) - {"AAPL"})

    run(scenario())


def test_last_values_that_could_not_be_removed_are_removed_later(private_server: Servers) -> None:
    """Redis was away; it holds its data over a restart."""

    async def scenario() -> None:
        async with private_server() as server, at_work(server.url) as rig:
            rig.tick(10)
            await rig.arrived(10)
            await server.kill()
            await eventually(lambda: not rig.publisher._pipe.is_connected, what="the loss")
            rig.book.close("AAPL")
            await rig.publisher.forget(["AAPL"])
            await server.start()
            wanted = sorted(set(SYMBOLS) - {"AAPL"})
            await eventually(lambda: _equal(_sorted(last_values(rig.bus)), wanted), what="the removal")

    run(scenario())


async def _sorted(found: Any) -> list[str]:
    return sorted(await found)


def test_a_removal_that_was_refused_is_tried_again(redis_url: str) -> None:
    """Whatever stood in the way of it."""

    async def scenario() -> None:
        async with at_work(redis_url) as rig:
            rig.tick(10)
            await rig.arrived(10)
            rig.book.close("AAPL")
            key = last_quotes_key(shard_of("AAPL", SHARDS))
            await rig.bus.ask("RENAME", key, "aside")
            await rig.bus.put(key, b"not a hash")
            refused = functools.partial(calls_of, rig.bus, "hdel")
            await rig.publisher.forget(["AAPL"])
            await eventually(lambda: _more(refused, 2), what="refused removals")
            await rig.bus.ask("RENAME", "aside", key)
            wanted = sorted(set(SYMBOLS) - {"AAPL"})
            await eventually(lambda: _equal(_sorted(last_values(rig.bus)), wanted), what="the removal")

    run(scenario())


def test_last_values_are_saved_no_more_often_than_asked_for(redis_url: str) -> None:
    """One HSET a shard in an interval, however many ticks and symbols."""

    async def scenario() -> None:
        interval_s = 0.25
        async with at_work(redis_url, last_values_interval_s=interval_s) as rig:
            before = await calls_of(rig.bus, "hset")
            started = SYSTEM_CLOCK.monotonic()
            bid = 0
            while (passed_s := SYSTEM_CLOCK.monotonic() - started) < 4 * interval_s:
                bid += 1
                rig.tick(bid)
                await SYSTEM_CLOCK.sleep(0.002)
            saves = await calls_of(rig.bus, "hset") - before
            assert SHARDS <= saves <= SHARDS * (passed_s / interval_s + 1)
            await rig.arrived(bid)

    run(scenario())


def test_a_hash_that_cannot_be_written_is_written_when_it_can_be(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows that were refused come back, as they stand then. It is tried from time to time, and told once."""
    logged = log_of(last_values_module, monkeypatch)

    async def scenario() -> None:
        async with at_work(redis_url) as rig:
            for bid in (10, 11):
                for shard in ALL:
                    await rig.bus.put(last_quotes_key(shard), b"not a hash")
                refused = functools.partial(calls_of, rig.bus, "hset")
                first, started = await refused(), SYSTEM_CLOCK.monotonic()
                rig.tick(bid)
                await eventually(functools.partial(_more, refused, first + 2 * SHARDS), what="refused writes")
                assert SYSTEM_CLOCK.monotonic() - started >= 2 * RETRY_S
                await rig.bus.delete(*map(last_quotes_key, ALL))
                await rig.arrived(bid)
            told = [(entry["event"], entry["command"]) for entry in logged]
            assert told == [("feed.last_values_not_written", "HSET")] * 2 * SHARDS

    run(scenario())


async def _more(count: Callable[[], Any], than: int) -> bool:
    return bool(await count() > than)


def test_old_entries_go_by_number(redis_url: str) -> None:
    """About so many are kept; Redis trims whole nodes of a hundred."""

    async def scenario() -> None:
        async with at_work(redis_url, keep_entries=100) as rig:
            for bid in range(1, 501):
                rig.tick(bid)
                await rig.publisher.settled(ALL)
            for shard in ALL:
                assert 100 <= await rig.bus.ask("XLEN", QUOTES.named(shard).name) <= 200
                assert (await batches(rig.bus, shard))[-1].seq == 500

    run(scenario())


def test_old_entries_go_by_age(redis_url: str) -> None:
    """Where seconds are given, the number does not count, and what is older goes."""

    async def scenario() -> None:
        async with at_work(redis_url, keep_entries=100, keep_s=1.0) as rig:
            for bid in range(1, 401):
                rig.tick(bid)
                await rig.publisher.settled(ALL)
                if bid == 250:
                    within = await rig.bus.ask("XLEN", QUOTES.named(0).name)
            assert within == 250

            async def oldest_went() -> bool:
                rig.tick(SYSTEM_CLOCK.monotonic())
                return (await batches(rig.bus, 0))[0].seq > 400

            await eventually(oldest_went, what="the end of the oldest entries")

    run(scenario())


def test_the_stop_says_that_all_is_stale(redis_url: str) -> None:
    """In streams and hashes, of every symbol."""

    async def scenario() -> None:
        async with at_work(redis_url) as rig:
            rig.tick(10)
            await rig.arrived(10)
        async with Bus(redis_url, client_name="test") as bus:
            wanted = dict.fromkeys(SYMBOLS, (10, Quality.STALE))
            assert said(await newest(bus)) == said(await last_values(bus)) == wanted
            await assert_continuous(bus)

    run(scenario())


def test_a_stop_while_redis_is_slow_still_says_that_all_is_stale(redis_url: str) -> None:
    """It meets writes under way, and waits for them. Ticks that come meanwhile do not change it any more."""

    async def scenario() -> None:
        async with at_work(redis_url) as rig:
            rig.tick(10)
            await rig.arrived(10)
            await rig.bus.call(raw(rig.bus).client_pause(1000, all=False))
            rig.tick(11)
            asyncio.get_running_loop().call_later(0.5, rig.tick, 12)
        async with Bus(redis_url, client_name="test") as bus:
            wanted = dict.fromkeys(SYMBOLS, (11, Quality.STALE))
            assert said(await newest(bus)) == said(await last_values(bus)) == wanted
            await assert_continuous(bus)

    run(scenario())


def test_a_stop_without_redis_ends(private_server: Servers) -> None:
    """Nobody can be told any more; the process must end all the same."""

    async def scenario() -> None:
        async with private_server() as server:
            async with at_work(server.url) as rig:
                rig.tick(10)
                await rig.arrived(10)
                await server.kill()
                started = SYSTEM_CLOCK.monotonic()
            assert SYSTEM_CLOCK.monotonic() - started < LAST_WORD_S + 2

    run(scenario())
