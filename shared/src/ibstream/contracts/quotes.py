"""Streams `quotes:<shard>`: batches of positional rows; latest row per symbol in hash `quotes:last:<shard>`."""

from __future__ import annotations

import zlib
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from ibstream.contracts.base import Message, TimeNs


class Quality(StrEnum):
    """Where a row stands. Only `live` may be traded on without a thought."""

    LIVE = "live"
    DELAYED = "delayed"
    """Some 15 minutes old: this market data is not subscribed."""
    FROZEN = "frozen"
    """The last values before the exchange closed."""
    DELAYED_FROZEN = "delayed_frozen"
    SNAPSHOT = "snapshot"
    """Live at `time_ns`, and not kept up since: no line is free, so symbols take turns."""
    STALE = "stale"
    """No longer kept up: the connection, the Gateway's link to IBKR or a data farm is down, or IBKR fell silent for no known
    reason. The prices are the last known."""


class Quote(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One row, a JSON array in this order. New columns are only ever appended.

    Prices are in the instrument's currency, sizes in shares or contracts. NaN does not travel: what is not known is null.
    """

    symbol: str
    """As `quote_symbol` of `ibstream.contracts.instrument` says: `AAPL`, `BRK.B`, `EUR.USD`, `ES 202612`, `SPX IND`."""
    bid: float | None = None
    ask: float | None = None
    last: float | None = None
    bid_size: float | None = None
    ask_size: float | None = None
    last_size: float | None = None
    volume: float | None = None
    time_ns: TimeNs = 0
    """When the feed received the newest of these values; of a stale row, since when it is not kept up."""
    quality: Quality = Quality.LIVE
    halted: bool = False
    """Whether the exchange has halted trading in it."""


class QuoteBatch(Message, frozen=True, kw_only=True, tag="quotes.batch.v1"):
    """What changed in one shard since the entry before, conflated to the latest row per symbol.

    Within one `epoch`, `seq` counts a shard's entries from 1 without a gap: a consumer that sees n and then n+2 missed one.
    A new epoch starts when the feed starts, reconnects, could not be sure that an entry was written, or when another feed
    process takes the shard over; then the consumer reads `quotes:last:<shard>` again.
    """

    shard: Annotated[int, Meta(ge=0)]
    epoch: Annotated[int, Meta(ge=0)]
    seq: Annotated[int, Meta(ge=1)]
    published_at: TimeNs
    rows: list[Quote]


def shard_of(symbol: str, shards: int) -> int:
    """The shard of a symbol: CRC-32 of its UTF-8 modulo the number of shards; the same in every language."""
    return zlib.crc32(symbol.encode()) % shards
