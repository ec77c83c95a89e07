"""From the port to `quotes:<shard>`: what arrives is conflated in the book, what is unsent goes out as one batch a shard.

One XADD per shard is under way at a time. While it flies, the book conflates: small batches when it is quiet, large ones
under load, bounded memory, and the socket to the Gateway never waits for Redis.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import partial

import msgspec
import structlog

from ibstream.bus import Bus, BusUnavailable, Publisher
from ibstream.contracts.feed import SubscriptionChanged, SubscriptionOutcome
from ibstream.contracts.instrument import Instrument
from ibstream.contracts.quotes import Quote, QuoteBatch
from ibstream.contracts.registry import FEED_EVENTS, QUOTES, last_quotes_key
from ibstream.contracts.system import ConnectionState
from ibstream.runtime import metrics
from ibstream.runtime.clock import Clock
from ibstream.runtime.connection import ConnectionEvent, Trigger
from ibstream.runtime.service import Worker
from ibstream.runtime.supervise import unless
from ibstream_feed.domain.book import QuoteBook
from ibstream_feed.domain.sequence import Sequence as BatchSequence
from ibstream_feed.ports import QuotesPort

RETRY_S = 0.5
"""Between two tries to write while Redis is away."""

EVENTS_KEPT_MAX = 10_000
"""Subscription outcomes that wait for Redis; of more, the oldest are dropped."""

LINK_RESTORED_DATA_KEPT = 1102
"""IBKR's word that the subscriptions outlived the loss."""

_FLOWING = {ConnectionState.READY, ConnectionState.SYNCHRONISING}
_SESSION_LIVES = {*_FLOWING, ConnectionState.DEGRADED}

_log = structlog.get_logger(__name__)


class FeedService:
    """Subscribes the list, publishes quotes, and says of each row where it stands."""

    def __init__(
        self,
        bus: Bus,
        quotes_bus: Bus,
        port: QuotesPort,
        instruments: Sequence[Instrument],
        *,
        shards: int,
        last_values_interval_s: float,
        clock: Clock,
    ) -> None:
        self._publisher = Publisher(bus)
        self._quotes_bus = quotes_bus
        self._quotes = Publisher(quotes_bus)
        self._port = port
        self._instruments = instruments
        self._shards = shards
        self._last_values_interval_s = last_values_interval_s
        self._clock = clock
        self._book = QuoteBook(shards)
        self._sequences = [BatchSequence() for _ in range(shards)]
        self._unsent = [asyncio.Event() for _ in range(shards)]
        self._outcomes: deque[SubscriptionChanged] = deque(maxlen=EVENTS_KEPT_MAX)
        self._outcome_told = asyncio.Event()
        self._active: set[str] = set()
        self._flows = False
        port.listen(self._on_quote, self._on_subscription)

    def workers(self) -> tuple[Worker, ...]:
        """One per shard, one for the last values, one for the outcomes of subscriptions.

        What an earlier life of this process knew is forgotten: another feed may have published newer rows since.
        """
        self._book = QuoteBook(self._shards)
        self._flows = False
        for unsent in self._unsent:
            unsent.clear()
        shards = [partial(self._publish_shard, shard) for shard in range(self._shards)]
        return (*shards, self._save_last_values, self._publish_outcomes)

    async def synchronise(self, event: ConnectionEvent) -> None:
        """Subscribe everything: on a new session, and when IBKR lost the subscriptions or may have (1101, 1102)."""
        self._new_epoch()
        if event.trigger is Trigger.LINK_RESTORED:
            _log.info("feed.resubscribing", reason=event.reason)
        if event.code != LINK_RESTORED_DATA_KEPT:
            self._active.clear()
        await self._port.subscribe(self._instruments, afresh=event.code != LINK_RESTORED_DATA_KEPT)
        _log.info("feed.subscribed", active=len(self._active), wanted=len(self._instruments))

    def on_state(self, state: ConnectionState, _reason: str) -> None:
        """The moment quotes stop flowing, every row says so."""
        if state in _FLOWING:
            self._flows = True
            return
        self._stop_flowing()
        if state not in _SESSION_LIVES:
            self._active.clear()
            metrics.SUBSCRIPTIONS.set(0)

    def details(self) -> dict[str, int | float | str]:
        """For the heartbeat."""
        return {"subscriptions": len(self._active), "wanted": len(self._instruments), "symbols_seen": len(self._book)}

    def _new_epoch(self) -> None:
        for sequence in self._sequences:
            sequence.begin(self._clock.time_ns() // 1_000_000)

    def _stop_flowing(self) -> None:
        """From now on no row is kept up, and each says so; what still arrives is not believed."""
        self._flows = False
        for shard in self._book.mark_stale(self._clock.time_ns()):
            self._unsent[shard].set()

    def _on_quote(self, row: Quote) -> None:
        if not self._flows:
            return
        before = self._book.conflated
        shard = self._book.update(row)
        if shard is not None:
            metrics.QUOTES_CONFLATED.inc(self._book.conflated - before)
            self._unsent[shard].set()

    def _on_subscription(self, symbol: str, outcome: SubscriptionOutcome, text: str, code: int) -> None:
        if outcome in (SubscriptionOutcome.ACTIVE, SubscriptionOutcome.DELAYED):
            self._active.add(symbol)
        else:
            self._active.discard(symbol)
            shard = self._book.mark_one_stale(symbol, self._clock.time_ns())
            if shard is not None:
                self._unsent[shard].set()
            _log.warning("feed.not_subscribed", symbol=symbol, outcome=outcome, text=text, code=code)
        metrics.SUBSCRIPTIONS.set(len(self._active))
        self._outcomes.append(
            SubscriptionChanged(symbol=symbol, outcome=outcome, text=text, code=code, at=self._clock.now())
        )
        self._outcome_told.set()

    async def _publish_shard(self, shard: int, stop: asyncio.Event) -> None:
        """Send what is unsent, one batch after the other; with the stop, a last one that marks every row stale."""
        unsent = self._unsent[shard]
        self._sequences[shard].begin(self._clock.time_ns() // 1_000_000)
        while not stop.is_set():
            await unless(stop, unsent.wait())
            unsent.clear()
            if not await self._send_unsent(shard):
                unsent.set()
                await unless(stop, self._clock.sleep(RETRY_S))
        self._stop_flowing()
        await self._send_unsent(shard)

    async def _send_unsent(self, shard: int) -> bool:
        rows = self._book.take_unsent(shard)
        return not rows or await self._send(shard, rows)

    async def _send(self, shard: int, rows: list[Quote]) -> bool:
        """Send one batch. If it is not known to be written, the next one starts an epoch: no number is ever doubtful."""
        sequence = self._sequences[shard]
        batch = QuoteBatch(
            shard=shard, epoch=sequence.epoch, seq=sequence.next(), published_at=self._clock.time_ns(), rows=rows
        )
        try:
            await self._quotes.publish(QUOTES.named(shard), batch)
        except BusUnavailable as error:
            _log.warning("feed.batch_not_written", shard=shard, rows=len(rows), error=str(error))
            self._book.put_back(shard, rows)
            sequence.begin(self._clock.time_ns() // 1_000_000)
            return False
        metrics.QUOTES_PUBLISHED.inc(len(rows))
        return True

    async def _save_last_values(self, stop: asyncio.Event) -> None:
        """Bring `quotes:last:<shard>` up to date; first drop what an earlier process left, last say that all is stale."""
        await self._drop_old_last_values(stop)
        while not stop.is_set():
            await unless(stop, self._clock.sleep(self._last_values_interval_s))
            await self._save_all()
        self._stop_flowing()
        await self._save_all()

    async def _save_all(self) -> None:
        for shard in range(self._shards):
            await self._save_shard(shard)

    async def _drop_old_last_values(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self._quotes_bus.delete(*(last_quotes_key(shard) for shard in range(self._shards)))
            except BusUnavailable:
                await unless(stop, self._clock.sleep(RETRY_S))
            else:
                return

    async def _save_shard(self, shard: int) -> None:
        rows = self._book.take_unsaved(shard)
        try:
            fields = {symbol: msgspec.json.encode(row) for symbol, row in rows.items()}
            await self._quotes_bus.set_fields(last_quotes_key(shard), fields)
        except BusUnavailable:
            self._book.put_back_unsaved(shard, rows)

    async def _publish_outcomes(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await unless(stop, self._outcome_told.wait())
            self._outcome_told.clear()
            try:
                while self._outcomes:
                    await self._publisher.publish(FEED_EVENTS, self._outcomes[0])
                    self._outcomes.popleft()
            except BusUnavailable:
                self._outcome_told.set()
                await unless(stop, self._clock.sleep(RETRY_S))
