"""Consumers: the SDK's `Client.quotes()`, and a bare XREAD.

python -m _feed.reader stamps REDIS_URL SYMBOLS    notes when each stamped row is in the handler, from the feed and from the hop
python -m _feed.reader count REDIS_URL SYMBOLS     counts rows, no more
"""

from __future__ import annotations

import asyncio
import sys
import time
from array import array
from collections.abc import Iterable
from typing import Any

import msgspec

from _feed.child import Figures, answer_all, say
from _feed.names import HOP_STREAM, STAMP_MIN, save, symbols
from ibstream.bus import Bus
from ibstream.client import Client, Gap, QuoteSubscription
from ibstream.contracts.quotes import Quote, QuoteBatch
from ibstream.runtime.clock import SYSTEM_CLOCK

BLOCK_MS = 1000


class Witness:
    """Which row arrived when: symbol, stamp, arrival, both in microseconds of CLOCK_MONOTONIC."""

    def __init__(self, listed: Iterable[str]) -> None:
        self._places = {symbol: place for place, symbol in enumerate(listed)}
        self._seen: array[int] = array("q")
        self._newest = self.gaps = self.rows = 0

    def note(self, rows: Iterable[Quote], at_us: int) -> None:
        """These rows are in the handler."""
        for row in rows:
            self.rows += 1
            stamp = row.bid_size or 0
            if stamp > STAMP_MIN:
                self._seen.extend((self._places[row.symbol], int(stamp), at_us))
                self._newest = max(self._newest, int(stamp))

    async def figures(self) -> Figures:
        """The newest stamp, and how much was missed."""
        return {"newest": self._newest, "gaps": self.gaps, "rows": self.rows, "cpu_s": time.process_time()}

    async def take(self, path: str) -> Figures:
        """Hand over what was seen, and forget it."""
        save(path, self._seen)
        self._seen, self._newest = array("q"), 0
        return {"gaps": self.gaps}


async def follow(quotes: QuoteSubscription, witness: Witness) -> None:
    """The handler of a consumer that notes stamps."""
    async for event in quotes:
        at_us = int(SYSTEM_CLOCK.monotonic() * 1e6)
        if isinstance(event, QuoteBatch):
            witness.note(event.rows, at_us)
        elif isinstance(event, Gap):
            witness.gaps += 1


async def count(quotes: QuoteSubscription, witness: Witness) -> None:
    """The handler of one that counts."""
    async for event in quotes:
        if isinstance(event, QuoteBatch):
            witness.rows += len(event.rows)
        elif isinstance(event, Gap):
            witness.gaps += 1


async def hop(url: str, witness: Witness) -> None:
    """A bare XREAD with redis-py, and the same batches decoded in the same way."""
    decoder = msgspec.json.Decoder(QuoteBatch)
    async with Bus(url, client_name="bench-hop-reader") as bus:
        redis: Any = bus.redis
        position: Any = "0-0"
        while True:
            found = await redis.xread({HOP_STREAM: position}, count=1000, block=BLOCK_MS)
            for entry_id, fields in found[0][1] if found else []:
                position = entry_id
                rows = decoder.decode(fields[b"data"]).rows
                witness.note(rows, int(SYSTEM_CLOCK.monotonic() * 1e6))


async def main(kind: str, url: str, listed: int) -> None:
    """Follow until the process is ended."""
    witness = Witness(symbols(listed))
    async with Client(url) as client, client.quotes() as quotes, asyncio.TaskGroup() as group:
        if kind == "stamps":
            group.create_task(follow(quotes, witness))
            group.create_task(hop(url, witness))
        else:
            group.create_task(count(quotes, witness))
        say({})
        await answer_all({"figures": witness.figures, "take": witness.take})


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
