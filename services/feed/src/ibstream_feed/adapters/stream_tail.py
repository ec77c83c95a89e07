"""The end of a shard's stream, as its writer before has left it: the hash of last values lags behind it."""

from __future__ import annotations

import contextlib

from ibstream.bus import Bus
from ibstream.contracts.base import ContractError
from ibstream.contracts.quotes import Quote, QuoteBatch
from ibstream.contracts.registry import QUOTES

ENTRIES_MAX = 1_000
"""Looked at, the newest; a shard gets fewer within the time by which the hash lags."""

_codec = QUOTES.codec()


async def written_lately(bus: Bus, stream: str, within_s: float) -> list[QuoteBatch]:
    """The batches written up to `within_s` seconds before the newest entry, newest first; what cannot be read is left out.

    Raises as `Bus.call`.
    """
    newest = await bus.ask("XREVRANGE", stream, "+", "-", "COUNT", 1)
    if not newest:
        return []
    since_ms = max(0, int(newest[0][0].partition(b"-")[0]) - round(within_s * 1000))
    entries = await bus.ask("XREVRANGE", stream, "+", since_ms, "COUNT", ENTRIES_MAX)
    batches: list[QuoteBatch] = []
    for _, fields in entries:
        named = dict(zip(fields[::2], fields[1::2], strict=True))
        with contextlib.suppress(ContractError):
            batch = _codec.decode(named.get(b"type", b""), named.get(b"data", b""))
            if isinstance(batch, QuoteBatch):
                batches.append(batch)
    return batches


def newest_rows(batches: list[QuoteBatch], saved: list[Quote]) -> dict[str, Quote]:
    """By symbol the newer of what the batches and the hash say."""
    rows = {row.symbol: row for row in saved}
    for batch in reversed(batches):
        for row in batch.rows:
            known = rows.get(row.symbol)
            if known is None or row.time_ns >= known.time_ns:
                rows[row.symbol] = row
    return rows
