"""Quotes as a consumer sees them: a snapshot, then every batch in order, with proof that none was missed."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import msgspec
import structlog

from ibstream.bus import Bus, BusUnavailable, Entry
from ibstream.bus.reader import BLOCK_S_MAX, entry_order
from ibstream.client.continuity import Continuity, EpochChanged, Gap, Repeated
from ibstream.client.subscription import PatientReader, Subscription
from ibstream.client.writers import ShardWriters, as_stale
from ibstream.contracts.quotes import Quality, Quote, QuoteBatch, shard_of
from ibstream.contracts.registry import QUOTES, last_quotes_key
from ibstream.runtime import metrics
from ibstream.runtime.clock import Clock
from ibstream.runtime.errors import ConfigurationError

READ_COUNT = 1000
"""Entries per shard and read."""

CATCH_UP_READS_MAX = 50
"""After so many reads the snapshot is handed out as it stands; what follows comes as batches, and nothing is lost."""

_SERVER_TIME = "return redis.call('TIME')"
_log = structlog.get_logger(__name__)
_row = msgspec.json.Decoder(Quote)


@dataclass(frozen=True, slots=True)
class QuoteSnapshot:
    """The latest row per symbol, wherever it stood. The first event, and again after a gap or a new epoch: then of one shard,
    with only the rows that are newer than what was handed out before. Also what was handed out of a shard, as `STALE`, when its
    feed process has died and no other has taken over."""

    rows: list[Quote]
    shard: int | None = None
    """None for all shards."""


QuoteEvent = QuoteSnapshot | QuoteBatch | Gap | EpochChanged | Repeated
"""What a subscription yields. Every report comes before the batch in which it showed."""


@dataclass(frozen=True, slots=True)
class _Refreshed:
    """What a shard's hash said, kept until the stream has been read as far as it was then: else rows would go back."""

    shard: int
    rows: list[Quote]
    at_ms: int
    """By the server's clock, as the ids of entries are; not before the hash was read."""

    def is_passed(self, entries: list[Entry]) -> bool:
        """Whether a read that brought these entries has come to the stream's end, or to what was written later."""
        stream = QUOTES.named(self.shard).name
        its = [entry for entry in entries if entry.stream == stream]
        return len(its) < READ_COUNT or entry_order(its[-1].id)[0] > self.at_ms


class QuoteSubscription(Subscription[QuoteEvent]):
    """Follows quotes with one plain XREAD over all shards on one connection.

    The feed brings the hashes of latest rows up to date a little after the streams. So reading starts `settle_s` seconds
    before now, and a row of the snapshot is the newer of what the hash and the stream say: no update falls between the
    two. For the same reason a shard's hash is read again only `settle_s` seconds after a gap or new epoch showed.

    A feed process that is killed cannot say that its rows are stale. So the leases of the shards, which lie on the `leases` bus,
    are looked at with the snapshot and every two seconds: where nobody holds a shard, what stands of it is handed out as stale,
    once, until a batch of it comes.
    """

    def __init__(
        self,
        bus: Bus,
        *,
        leases: Bus,
        shards: int,
        symbols: Collection[str] | None,
        settle_s: float,
        patience_s: float,
        clock: Clock,
    ) -> None:
        super().__init__()
        self._bus = bus
        self._shards = shards
        self._symbols = frozenset(symbols) if symbols else None
        self._followed = sorted({shard_of(symbol, shards) for symbol in symbols or ()}) or list(range(shards))
        self._settle_s = settle_s
        self._patience_s = patience_s
        self._clock = clock
        self._reader: PatientReader | None = None
        self._writers = ShardWriters(leases, self._followed, clock=clock)
        self._orphaned: frozenset[int] = frozenset()
        self._latest: dict[str, Quote] = {}
        self._refresh_at: dict[int, float] = {}
        self._refreshed: list[_Refreshed] = []
        self.continuity = Continuity()
        """What was seen and what was missed, so far."""

    async def _close(self) -> None:
        if self._reader is not None:
            await self._reader.close()

    async def _open(self) -> None:
        start = await self._position_before_now()
        streams = {QUOTES.named(shard): start for shard in self._followed}
        reader = PatientReader(self._bus, streams, patience_s=self._patience_s, clock=self._clock)
        self.continuity = Continuity()
        try:
            await self._first_snapshot(reader)
        except BaseException:
            await reader.close()
            raise
        self._reader = reader

    async def _first_snapshot(self, reader: PatientReader) -> None:
        latest = {row.symbol: row for shard in self._followed for row in await self._last_rows(shard)}
        reports: list[QuoteEvent] = []
        for event in await self._catch_up(reader):
            if isinstance(event, QuoteBatch):
                _keep_newer(latest, event.rows)
            else:
                reports.append(event)
        self._orphaned = await self._writers.unwritten()
        self._latest = {symbol: self._judged(row) for symbol, row in latest.items()}
        self._pending.extend([QuoteSnapshot(list(self._latest.values())), *reports])

    async def _more(self) -> list[QuoteEvent]:
        """What stands in the streams; then what stood in the hashes *before* that was read, so that no row goes back."""
        assert self._reader is not None  # noqa: S101 - open() ran before
        await self._refresh()
        unwritten = await self._writers.unwritten_if_due() - self._orphaned
        block_s = 0 if self._refreshed or unwritten else self._block_s()
        entries = await self._reader.read(block_s=block_s, count=READ_COUNT)
        events = self._judge_all(entries)
        latest = self._latest
        for event in events:
            if isinstance(event, QuoteBatch):
                for row in event.rows:
                    latest[row.symbol] = row
        if unwritten or self._orphaned:
            written = {entry.message.shard for entry in entries if isinstance(entry.message, QuoteBatch)}
            unwritten -= written
            self._orphaned = (self._orphaned - written) | unwritten
        return [*events, *self._snapshots(entries), *self._orphan(unwritten)]

    def _orphan(self, shards: frozenset[int]) -> list[QuoteSnapshot]:
        """What stands of shards that nobody writes any more, when all that was written of them has been read."""
        if not shards:
            return []
        rows: dict[int, list[Quote]] = {shard: [] for shard in sorted(shards)}
        for symbol, row in self._latest.items():
            shard = shard_of(symbol, self._shards)
            if shard in shards and row.quality is not Quality.STALE:
                rows[shard].append(as_stale(row))
        self._latest.update((row.symbol, row) for its in rows.values() for row in its)
        return [QuoteSnapshot(its, shard) for shard, its in rows.items() if its]

    def _judged(self, row: Quote) -> Quote:
        return as_stale(row) if self._orphaned and shard_of(row.symbol, self._shards) in self._orphaned else row

    def _snapshots(self, entries: list[Entry]) -> list[QuoteSnapshot]:
        waiting, self._refreshed = self._refreshed, []
        passed: list[QuoteSnapshot] = []
        for one in waiting:
            if one.is_passed(entries):
                passed.append(self._snapshot(one.shard, one.rows))
            else:
                self._refreshed.append(one)
        return passed

    def _snapshot(self, shard: int, rows: list[Quote]) -> QuoteSnapshot:
        newer = [self._judged(row) for row in rows if self._is_newer(row)]
        self._latest.update((row.symbol, row) for row in newer)
        return QuoteSnapshot(newer, shard)

    def _is_newer(self, row: Quote) -> bool:
        known = self._latest.get(row.symbol)
        return known is None or row.time_ns > known.time_ns

    def _judge_all(self, entries: list[Entry]) -> list[QuoteEvent]:
        batches = [entry.message for entry in entries if isinstance(entry.message, QuoteBatch)]
        return [event for batch in batches for event in self._judge(batch)]

    def _judge(self, batch: QuoteBatch) -> Iterable[QuoteEvent]:
        """The batch's reports, then the batch itself with the rows that were asked for."""
        if self.continuity.last(batch.shard) is None:
            self._refuse_other_sharding(batch)
        reports = self.continuity.observe(batch.shard, batch.epoch, batch.seq)
        yield from reports
        if any(isinstance(report, Repeated) for report in reports):
            return
        if reports:
            self._refresh_at[batch.shard] = self._clock.monotonic() + self._settle_s
        rows = self._wanted(batch.rows)
        if rows:
            yield batch if len(rows) == len(batch.rows) else msgspec.structs.replace(batch, rows=rows)

    async def _catch_up(self, reader: PatientReader) -> list[QuoteEvent]:
        events: list[QuoteEvent] = []
        for _ in range(CATCH_UP_READS_MAX):
            entries = await reader.read(block_s=0, count=READ_COUNT)
            events.extend(self._judge_all(entries))
            if len(entries) < READ_COUNT:
                break
        return events

    async def _refresh(self) -> None:
        """Read the hashes of the shards for which it is time."""
        now = self._clock.monotonic()
        for shard in [shard for shard, at in self._refresh_at.items() if at <= now]:
            try:
                rows = await self._last_rows(shard)
                self._refreshed.append(_Refreshed(shard, rows, await self._server_ms()))
            except BusUnavailable:  # the reader has the patience; this waits for it
                self._refresh_at[shard] = now + self._settle_s
            else:
                del self._refresh_at[shard]

    def _block_s(self) -> float:
        block_s = min(BLOCK_S_MAX, self._writers.due_in_s)
        if not self._refresh_at:
            return block_s
        return min(block_s, max(0.0, min(self._refresh_at.values()) - self._clock.monotonic()))

    async def _last_rows(self, shard: int) -> list[Quote]:
        fields = await self._bus.hash(last_quotes_key(shard))
        rows = (_decoded(value, shard) for value in fields.values())
        return self._wanted([row for row in rows if row is not None])

    def _wanted(self, rows: list[Quote]) -> list[Quote]:
        return rows if self._symbols is None else [row for row in rows if row.symbol in self._symbols]

    async def _position_before_now(self) -> str:
        return f"{max(0, await self._server_ms() - round(self._settle_s * 1000))}-0"

    async def _server_ms(self) -> int:
        """Entry ids are the server's time, so its clock is asked, not ours."""
        seconds, microseconds = await self._bus.run_script(_SERVER_TIME, [], [])
        return int(seconds) * 1000 + int(microseconds) // 1000

    def _refuse_other_sharding(self, batch: QuoteBatch) -> None:
        if batch.rows and shard_of(batch.rows[0].symbol, self._shards) != batch.shard:
            raise ConfigurationError(
                f"the feed spreads quotes over another number of streams than {self._shards}: set SA_FEED__SHARDS here to "
                "the feed's value"
            )


def _decoded(value: bytes, shard: int) -> Quote | None:
    try:
        return _row.decode(value)
    except msgspec.DecodeError as error:
        metrics.ENTRIES_SKIPPED.labels(last_quotes_key(shard)).inc()
        _log.warning("client.undecodable_row", shard=shard, error=str(error))
        return None


def _keep_newer(latest: dict[str, Quote], rows: list[Quote]) -> None:
    for row in rows:
        known = latest.get(row.symbol)
        if known is None or row.time_ns >= known.time_ns:
            latest[row.symbol] = row
