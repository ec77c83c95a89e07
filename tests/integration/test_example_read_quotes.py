"""The example that reads quotes with redis-py alone, run as its users run it beside a publisher at work."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import re
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import eventually, run

from ibstream.bus import Bus
from ibstream.contracts.quotes import shard_of
from ibstream.contracts.registry import QUOTES, shard_lease
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.settings import FeedSettings
from ibstream_feed.domain.book import QuoteBook
from ibstream_feed.domain.line import BID, BID_SIZE
from ibstream_feed.publishing import QuotePublisher

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "read_quotes.py"
SHARDS = 2
SYMBOLS = ("AAPL", "MSFT", "NVDA", "BRK.B")
READ_S = 3
PERIOD_S = 0.02
READ = re.compile(r"quotes:(\d+) read from epoch \d+, seq (\d+) to epoch \d+, seq (\d+)")


@dataclass
class Desk:
    """A publisher that holds all shards, and a bus to look with."""

    publisher: QuotePublisher
    book: QuoteBook
    bus: Bus
    ticks: int = 0

    def tick(self, *symbols: str) -> None:
        self.ticks += 1
        lines = [self.book.open(symbol) for symbol in symbols]
        for line in lines:
            line.values[BID], line.values[BID_SIZE] = b"%d" % self.ticks, b"1"
        self.publisher.flush(self.book.ticked(lines, SYSTEM_CLOCK.time_ns()))

    async def entries(self, shard: int) -> list[bytes]:
        found = await self.bus.call(self.bus.redis.xrange(QUOTES.named(shard).name))
        return [entry_id for entry_id, _ in found]

    async def ticked_one_by_one(self, symbol: str, count: int) -> list[bytes]:
        """So many batches with nothing but this symbol; returns their ids."""
        shard = shard_of(symbol, SHARDS)
        before = len(await self.entries(shard))
        for written in range(before + 1, before + count + 1):
            self.tick(symbol)

            async def is_written(length: int = written) -> bool:
                return len(await self.entries(shard)) == length

            await eventually(is_written, what="a batch")
        return (await self.entries(shard))[before:]


@contextlib.asynccontextmanager
async def publishing(url: str) -> AsyncIterator[Desk]:
    settings = FeedSettings(shards=SHARDS, last_values_interval_s=0.05)
    book = QuoteBook(SHARDS)
    book.flows = True
    async with Bus(url, client_name="feed") as quotes, Bus(url, client_name="test") as bus:
        publisher = QuotePublisher(quotes, book, settings=settings, holds=lambda _: True, clock=SYSTEM_CLOCK)
        stop = asyncio.Event()
        task = asyncio.create_task(publisher.run(stop))
        for shard in range(SHARDS):
            await publisher.take_over(shard, SYMBOLS, 0)
            await bus.put(shard_lease(shard), b"feed-0|1")
        desk = Desk(publisher, book, bus)
        desk.tick(*SYMBOLS)
        await eventually(lambda: _all_there(desk), what="the first rows in the hashes")
        try:
            yield desk
        finally:
            stop.set()
            await task


async def _all_there(desk: Desk) -> bool:
    return sum([len(await desk.bus.hash(f"quotes:last:{shard}")) for shard in range(SHARDS)]) == len(SYMBOLS)


@contextlib.asynccontextmanager
async def example(url: str, seconds: float = READ_S) -> AsyncIterator[asyncio.subprocess.Process]:
    """The example, once it has taken its snapshot."""
    arguments = (str(EXAMPLE), url, str(SHARDS), str(seconds))
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        assert (await process.stdout.readline()).decode().startswith("snapshot: ")
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def report(process: asyncio.subprocess.Process) -> tuple[int, str]:
    said, _ = await process.communicate()
    return await process.wait(), said.decode()


def test_it_imports_nothing_of_ours() -> None:
    nodes = list(ast.walk(ast.parse(EXAMPLE.read_text(encoding="utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names) == {"redis"}


def test_a_late_reader_has_a_snapshot_then_every_batch_and_proves_it(redis_url: str) -> None:
    async def scenario() -> None:
        async with publishing(redis_url) as desk, example(redis_url) as process:
            reading = asyncio.create_task(report(process))
            while not reading.done():
                desk.tick(*SYMBOLS)
                await SYSTEM_CLOCK.sleep(PERIOD_S)
            status, said = await reading
            assert status == 0, said
            assert f"symbols: {len(SYMBOLS)} ({len(SYMBOLS)} live)" in said
            assert "new epochs: 0, batches missed: 0" in said
            read = {int(shard): (int(first), int(last)) for shard, first, last in READ.findall(said)}
            assert read.keys() == set(range(SHARDS))
            assert f"batches: {sum(last - first + 1 for first, last in read.values())}, with " in said
            for shard, (first, last) in read.items():
                assert 1 <= first < last <= len(await desk.entries(shard))

    run(scenario())


def test_a_gap_is_told_with_its_place_and_the_missed_rows_come_from_the_hash(redis_url: str) -> None:
    async def scenario() -> None:
        async with publishing(redis_url) as desk, example(redis_url, READ_S + 3) as process:
            shard = shard_of("AAPL", SHARDS)
            other = next(one for one in SYMBOLS if one != "AAPL" and shard_of(one, SHARDS) == shard)
            await desk.ticked_one_by_one("AAPL", 2)
            process.send_signal(signal.SIGSTOP)
            await desk.ticked_one_by_one("AAPL", 1)
            lost = await desk.ticked_one_by_one(other, 2)
            await desk.ticked_one_by_one("AAPL", 2)
            await desk.bus.call(desk.bus.redis.xdel(QUOTES.named(shard).name, *lost))
            process.send_signal(signal.SIGCONT)
            status, said = await report(process)
            assert status == 1, said
            assert re.search(rf"quotes:{shard} has a gap: epoch \d+, seq 7 where 5 was due", said), said
            assert "new epochs: 0, batches missed: 2" in said
            assert f"quotes:last:{shard} read again: 1 newer rows" in said
            assert re.search(rf"quotes:{shard} read from epoch \d+, seq \d to epoch \d+, seq 8\n", said), said

    run(scenario())


def test_a_new_epoch_is_told_and_nothing_is_missed(redis_url: str) -> None:
    async def scenario() -> None:
        async with publishing(redis_url) as desk, example(redis_url, READ_S + 3) as process:
            shard = shard_of("AAPL", SHARDS)
            await desk.ticked_one_by_one("AAPL", 2)
            desk.publisher.new_epoch([shard])
            await desk.ticked_one_by_one("AAPL", 2)
            status, said = await report(process)
            assert status == 0, said
            assert f"quotes:{shard} begins a new epoch: " in said
            assert "new epochs: 1, batches missed: 0" in said
            assert f"quotes:last:{shard} read again: 0 newer rows" in said
            assert re.search(rf"quotes:{shard} read from epoch \d+, seq \d to epoch \d+, seq 2\n", said), said

    run(scenario())


def test_what_a_dead_feed_left_is_stale(redis_url: str) -> None:
    """Of the shard that nobody holds any more, when all that was written of it has been read."""

    async def scenario() -> None:
        async with publishing(redis_url) as desk, example(redis_url) as process:
            shard = shard_of("AAPL", SHARDS)
            await desk.ticked_one_by_one("AAPL", 2)
            await desk.bus.delete(shard_lease(shard))
            status, said = await report(process)
            assert status == 0, said
            left = sum(shard_of(symbol, SHARDS) == shard for symbol in SYMBOLS)
            assert 0 < left < len(SYMBOLS)
            assert f"symbols: {len(SYMBOLS)} ({len(SYMBOLS) - left} live, {left} stale)" in said

    run(scenario())


@pytest.mark.parametrize("arguments", [(), ("redis://127.0.0.1:1/0", "8")])
def test_it_says_how_it_is_used(arguments: tuple[str, ...]) -> None:
    async def scenario() -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(EXAMPLE), *arguments, stderr=asyncio.subprocess.PIPE
        )
        _, said = await process.communicate()
        assert process.returncode == 1
        assert b"python examples/read_quotes.py redis://" in said

    run(scenario())
