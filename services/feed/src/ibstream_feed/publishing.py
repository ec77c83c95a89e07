"""From the book to `quotes:<shard>` and `quotes:last:<shard>`: what is unsent of a shard goes out as one batch, at once.

One XADD per shard is under way at a time. While it flies, the book conflates: small batches when it is quiet, large ones
under load, bounded memory, and the socket to the Gateway never waits for Redis.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog

from ibstream.bus import Bus, BusUnavailable, Pipe
from ibstream.contracts.base import encode, type_of
from ibstream.contracts.quotes import Quality, Quote, QuoteBatch
from ibstream.contracts.registry import QUOTES
from ibstream.runtime import metrics
from ibstream.runtime.clock import Clock
from ibstream.runtime.settings import FeedSettings
from ibstream.runtime.supervise import unless
from ibstream_feed.adapters.stream_tail import newest_rows, written_lately
from ibstream_feed.domain.book import QuoteBook
from ibstream_feed.domain.sequence import Sequence
from ibstream_feed.last_values import RETRY_S, LastValues

ROWS_SAVED_PER_S = 2_000
"""So many last values are saved in a second, at most, unless that would make one older than `SAVED_EVERY_S_MAX`."""

SAVED_EVERY_S_MAX = 1.0
"""Readers rely on it: what stood in a stream two seconds ago stands in the hash."""

LET_GO_S = 1.0
"""How long it may take until what is under way of a shard is written."""

LAST_WORD_S = 3.0
"""How long the stop may take to have it written that all is stale."""

ANSWERED_S = 2.5
"""How long Redis may take to answer. A lease lasts longer: what waits in a connection by then is another writer's to say."""

_TAG = type_of(QuoteBatch)
_entries_published = metrics.ENTRIES_PUBLISHED.labels(metrics.stream_label(QUOTES.named(0).name))
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Shard:
    number: int
    stream: str
    sequence: Sequence = field(default_factory=Sequence)
    is_taken: bool = False
    under_way: list[Quote] | None = None
    """The rows of the batch that was sent and not answered yet."""
    failures: int = 0
    """Batches in a row that were not written."""
    is_resting: bool = False
    """Whether it waits for the next try."""


class QuotePublisher:
    """Numbers, sends and saves the rows of the shards that are ours: `take_over` begins that, `let_go` ends it.

    What Redis does not take is put back into the book, where it conflates, and goes out as it stands when Redis is back, in
    a new epoch: no number is ever doubtful. `holds` has the last word before every write: a shard for which it is false is
    another process's, and its rows stay unsent.
    """

    def __init__(
        self, bus: Bus, book: QuoteBook, *, settings: FeedSettings, holds: Callable[[int], bool], clock: Clock
    ) -> None:
        self._bus = bus
        self._book = book
        self._settings = settings
        self._holds = holds
        self._clock = clock
        self._pipe = Pipe(bus, clock=clock, on_connected=self._resume, deadline_s=ANSWERED_S)
        self._shards = [_Shard(number, QUOTES.named(number).name) for number in range(settings.shards)]
        self._answered = asyncio.Event()
        self._failed = asyncio.Event()
        self._last = LastValues(bus, self._pipe, book, settings.shards, self._answered.set, clock=clock)
        self._conflated = book.conflated

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the connection and the last values until the stop; then say of every row that it is stale."""
        closing = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pipe.run(closing))
            group.create_task(self._retry(stop))
            try:
                await self._keep_last_values(stop)
                await self._say_that_all_is_stale()
            finally:
                closing.set()

    def flush(self, shards: Iterable[int]) -> None:
        """Send what is unsent of these shards, now. Of a shard whose batch is under way it goes out with the answer."""
        if not self._pipe.is_connected:
            return
        self._pipe.cork()
        try:
            for number in shards:
                shard = self._shards[number]
                if (
                    shard.under_way is None
                    and not shard.is_resting
                    and self._book.unsent(number)
                    and self._is_ours(shard)
                ):
                    self._send(shard)
        finally:
            self._pipe.uncork()

    def new_epoch(self, shards: Iterable[int] | None = None) -> None:
        """Say, with the next batches of these shards (None: of all), that continuity with what was before is not promised."""
        time_ms = self._clock.time_ns() // 1_000_000
        for number in range(len(self._shards)) if shards is None else shards:
            self._shards[number].sequence.begin(time_ms)

    async def take_over(self, number: int, wanted: Collection[str], floor: int) -> None:
        """This process has just become the only writer of a shard: go on where its writer before has left off.

        Begins an epoch greater than `floor` and than that of the shard's newest batch. What is known last of `wanted` symbols,
        by the hash or by what stands in the stream and was not saved any more, goes into the book, as stale, unless that knows
        better; it is published and saved so. Others are removed. Raises as `Bus.call`; then nothing has begun, and the caller
        may try again.
        """
        shard = self._shards[number]
        shard.is_taken = False  # whatever was known of it: others may have written since
        lag_s = max(SAVED_EVERY_S_MAX, self._settings.last_values_interval_s) + LET_GO_S
        batches = await written_lately(self._bus, shard.stream, lag_s)
        rows = newest_rows(batches, await self._last.take_over(number, wanted))
        before = batches[0].epoch if batches else 0
        shard.sequence.begin(self._clock.time_ns() // 1_000_000, after=max(floor, before))
        for symbol in rows.keys() & set(wanted):
            self._restore(rows[symbol])
        for line in filter(None, map(self._book.get, wanted)):
            if line.shard == number and line.time_ns:
                self._book.show(line)
        shard.is_taken = True
        self.flush((number,))

    async def let_go(self, number: int) -> None:
        """Write nothing more to a shard but its last values; return when they are saved, or after `LET_GO_S`."""
        shard = self._shards[number]
        shard.is_taken = False
        self._last.let_go(number)
        async with self._within(LET_GO_S):
            await self._until(lambda: self._is_idle(shard))
            if self._holds(number):
                self._last.save(number)
            await self._until(lambda: self._is_idle(shard))

    def lost(self, shards: Iterable[int]) -> None:
        """Another process may write these already: nothing more is written to them, and what is under way is cut off."""
        for shard in map(self._shards.__getitem__, shards):
            shard.is_taken = False
            self._last.let_go(shard.number)
            if not self._is_idle(shard):
                self._pipe.cut(f"shard {shard.number} was lost")

    async def settled(self, shards: Collection[int]) -> None:
        """Return when nothing of these shards is unsent or under way, or after `LET_GO_S`."""
        async with self._within(LET_GO_S):
            await self._until(lambda: all(self._is_settled(self._shards[number]) for number in shards))

    async def forget(self, symbols: Iterable[str]) -> None:
        """Remove the last values of symbols that nobody wants any more, and that are closed in the book.

        Returns when it is done, or after `LET_GO_S`; then it is done later, unless they are wanted again meanwhile.
        """
        shards = self._last.forget(symbols)
        for number in shards:
            if self._is_ours(self._shards[number]):
                self._last.drop(number)
        async with self._within(LET_GO_S):
            await self._until(lambda: all(map(self._last.is_idle, shards)))

    def _is_ours(self, shard: _Shard) -> bool:
        return shard.is_taken and self._holds(shard.number)

    def _is_idle(self, shard: _Shard) -> bool:
        return shard.under_way is None and self._last.is_idle(shard.number)

    def _is_settled(self, shard: _Shard) -> bool:
        return self._is_idle(shard) and not (self._book.unsent(shard.number) and self._is_ours(shard))

    def _send(self, shard: _Shard) -> None:
        rows = self._book.take_unsent(shard.number)
        if not rows:
            return
        time_ns = self._clock.time_ns()
        sequence = shard.sequence
        batch = QuoteBatch(
            shard=shard.number, epoch=sequence.epoch, seq=sequence.next(), published_at=time_ns, rows=rows
        )
        command = ("XADD", shard.stream, *self._trimming(time_ns), "*", "type", _TAG, "data", encode(batch))
        shard.under_way = rows
        try:
            self._pipe.send(command, partial(self._on_written, shard))
        except BusUnavailable as error:
            self._on_written(shard, error)

    def _trimming(self, time_ns: int) -> tuple[str, str, int]:
        if self._settings.keep_s:
            return "MINID", "~", max(0, time_ns // 1_000_000 - round(self._settings.keep_s * 1000))
        return "MAXLEN", "~", self._settings.keep_entries

    def _on_written(self, shard: _Shard, answer: Any) -> None:
        rows, shard.under_way = shard.under_way or [], None
        if isinstance(answer, Exception):
            self._put_back(shard, rows, answer)
        else:
            shard.failures = 0
            metrics.QUOTES_PUBLISHED.inc(len(rows))
            _entries_published.inc()
            self.flush((shard.number,))
        self._answered.set()

    def _put_back(self, shard: _Shard, rows: list[Quote], error: Exception) -> None:
        """Whether it was written or not: its number is not used again, and its rows are sent again as they stand then."""
        metrics.BATCHES_NOT_WRITTEN.inc()
        self._book.put_back(rows)
        self.new_epoch((shard.number,))
        shard.failures += 1
        if shard.failures == 1:
            _log.warning("feed.batch_not_written", shard=shard.number, rows=len(rows), error=str(error))
        shard.is_resting = True
        self._failed.set()

    async def _retry(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await unless(stop, self._failed.wait())
            self._failed.clear()
            await unless(stop, self._clock.sleep(RETRY_S))
            self._resume()

    def _resume(self) -> None:
        for shard in self._shards:
            shard.is_resting = False
        self.flush(range(len(self._shards)))

    def _last_values_pause_s(self) -> float:
        """As set; but with very many symbols less often, or saving would cost as much as publishing."""
        many_s = min(len(self._book) / ROWS_SAVED_PER_S, SAVED_EVERY_S_MAX)
        return max(self._settings.last_values_interval_s, many_s)

    async def _keep_last_values(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await unless(stop, self._clock.sleep(self._last_values_pause_s()))
            self._count_conflated()
            self._pipe.cork()
            for shard in filter(self._is_ours, self._shards):
                self._last.save(shard.number)
                self._last.drop(shard.number)
            self._pipe.uncork()

    def _count_conflated(self) -> None:
        conflated = self._book.conflated
        metrics.QUOTES_CONFLATED.inc(conflated - self._conflated)
        self._conflated = conflated

    async def _say_that_all_is_stale(self) -> None:
        """The last word in streams and hashes: what is under way is waited for, and all of it, `LAST_WORD_S`."""
        self._book.flows = False
        self._book.mark_stale(self._book, self._clock.time_ns())
        self._resume()
        async with self._within(LAST_WORD_S):
            await asyncio.gather(*(self._finish(shard) for shard in self._shards if self._is_ours(shard)))
        self._count_conflated()

    async def _finish(self, shard: _Shard) -> None:
        await self._until(lambda: self._is_settled(shard))
        self._last.save(shard.number)
        await self._until(lambda: self._is_idle(shard))

    async def _until(self, state: Callable[[], bool]) -> None:
        while not state():
            self._answered.clear()
            await self._answered.wait()

    @contextlib.asynccontextmanager
    async def _within(self, deadline_s: float) -> AsyncIterator[None]:
        """Leave the block after the deadline, and go on."""
        try:
            async with asyncio.timeout(deadline_s):
                yield
        except TimeoutError:
            _log.warning("feed.redis_is_slow", waited_s=deadline_s)

    def _restore(self, row: Quote) -> None:
        line = self._book.open(row.symbol)
        if line.time_ns < row.time_ns:
            line.restore(row)
            if row.quality is not Quality.STALE:  # else it says already since when
                line.time_ns = max(self._clock.time_ns(), row.time_ns)
