"""How many quotes the SDK's reader decodes per CPU-second."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from _feed.child import FAR
from _feed.names import symbols
from _feed.rig import SHARDS, Rig, until
from ibstream.bus import Bus
from ibstream.contracts.base import encode, type_of
from ibstream.contracts.quotes import Quote, QuoteBatch, shard_of
from ibstream.runtime.clock import SYSTEM_CLOCK

SYMBOLS = 1_000
ROWS = 50
"""Per batch."""
WRITTEN_AT_ONCE = 200
Entry = tuple[str, dict[Any, Any]]


async def quotes_per_cpu_s(rig: Rig, batches: int) -> float:
    """Rows of full batches on all shards, over the CPU time of the consumer's process while it read them."""
    url = rig.database()
    reader, _ = await rig.start("reader", "count", url, SYMBOLS, core=FAR)
    rig.pin_all()
    entries = list(_entries(batches))
    before = await reader.ask("figures")
    async with Bus(url, client_name="bench-batches") as bus:
        for start in range(0, len(entries), WRITTEN_AT_ONCE):
            pipeline = bus.redis.pipeline(transaction=False)
            for stream, fields in entries[start : start + WRITTEN_AT_ONCE]:
                pipeline.xadd(stream, fields)
            await pipeline.execute()

    async def are_read() -> bool:
        return bool((await reader.ask("figures"))["rows"] - before["rows"] == batches * ROWS)

    await until(are_read, f"{batches} batches at the consumer")
    after = await reader.ask("figures")
    if after["gaps"]:
        raise SystemExit("the consumer missed batches")
    return float((after["rows"] - before["rows"]) / (after["cpu_s"] - before["cpu_s"]))


def _entries(batches: int) -> Iterator[Entry]:
    """The shards in turn; every row as the feed writes it, with all its columns."""
    by_shard: list[list[str]] = [[] for _ in range(SHARDS)]
    for symbol in symbols(SYMBOLS):
        by_shard[shard_of(symbol, SHARDS)].append(symbol)
    now_ns = SYSTEM_CLOCK.time_ns()
    for number in range(batches):
        shard, seq = number % SHARDS, number // SHARDS + 1
        rows = [_row(by_shard[shard][place], seq + place, now_ns + number) for place in range(ROWS)]
        batch = QuoteBatch(shard=shard, epoch=1, seq=seq, published_at=now_ns, rows=rows)
        yield f"quotes:{shard}", {"type": type_of(batch), "data": encode(batch)}


def _row(symbol: str, number: int, time_ns: int) -> Quote:
    cents = number % 900 / 100
    return Quote(symbol, 100.01 + cents, 100.02 + cents, 100.02 + cents, 300.0, 200.0, 100.0, 1e6 + number, time_ns)
