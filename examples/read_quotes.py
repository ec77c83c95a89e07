"""Read quotes with redis-py and nothing else: a snapshot, then every batch, and proof that none was missed.

    pip install redis
    python examples/read_quotes.py redis://127.0.0.1:6390/0 8 30

The arguments are the URL of Redis, the number of shards (the feed's setting `feed.shards`), and for how many seconds to read.
Where quotes have a server of their own, that is the first URL, and the bus a fourth argument: leases lie there. A report comes at
the end. The exit status is 1 if anything was missed, or nothing came.

Names and forms are those of docs/streams.md and contracts/schemas/quotes.batch.v1.json. In Python the SDK does all of this for
you (`ibstream.Client.quotes`); this is for whoever reads quotes from elsewhere and wants to see how.
"""

import json
import sys
import time
import zlib
from collections import Counter
from typing import Any

from redis import Redis

SYMBOL, TIME_NS, QUALITY = 0, 8, 9
"""Columns of a row that are used here. Rows of an older feed may be shorter, those of a newer one longer."""

LAG_S = 2.0
"""The hashes of latest rows follow the streams a little later (`feed.last_values_interval_s`, a quarter of a second)."""

LOOK_S = 2.0
"""How often it is looked whether somebody writes each shard: a feed that is killed cannot say that its rows are stale."""

BLOCK_MS = 500
"""How long Redis waits for something new. Must be less than redis-py's own timeout, 5 s."""

Row = list[Any]


class QuoteReader:
    """The latest row of every symbol, and what is known of continuity."""

    def __init__(self, url: str, shards: int, bus_url: str) -> None:
        # With protocol=2 answers have the same shape in every version of redis-py.
        self.redis: Any = Redis.from_url(url, protocol=2)
        self.bus: Any = Redis.from_url(bus_url, protocol=2)
        self.shards = range(shards)
        self.rows: dict[str, Row] = {}
        self.positions: dict[str, str | bytes] = {}
        self.first: dict[int, tuple[int, int]] = {}
        self.last: dict[int, tuple[int, int]] = {}
        self.read_again_at: dict[int, float] = {}
        self.look_at = 0.0
        self.batches = self.changes = self.missed = self.epochs = 0

    def start(self) -> None:
        """Note where to read from, then take the snapshot: in this order, so that nothing falls between the two.

        The hashes lag behind the streams. So reading begins a little before now (an entry's id is the server's time), and
        what is in both is kept once: the newer row wins.
        """
        seconds, microseconds = self.redis.time()
        start_ms = int((seconds + microseconds / 1e6 - LAG_S) * 1000)
        self.positions = {f"quotes:{shard}": f"{start_ms}-0" for shard in self.shards}
        for shard in self.shards:
            self.take_snapshot(shard)
        self.mark_stale(self.unwritten())

    def take_snapshot(self, shard: int) -> int:
        """The latest row of each symbol of a shard. Returns how many of them are newer than what was known."""
        rows = [json.loads(value) for value in self.redis.hvals(f"quotes:last:{shard}")]
        newer = [row for row in rows if row[SYMBOL] not in self.rows or time_of(row) > time_of(self.rows[row[SYMBOL]])]
        self.rows.update((row[SYMBOL], row) for row in newer)
        return len(newer)

    def read(self) -> None:
        """One XREAD over all shards, each from the entry that was read last."""
        unwritten = self.unwritten() if time.monotonic() >= self.look_at else set()
        for stream, entries in self.redis.xread(self.positions, count=1000, block=BLOCK_MS) or []:
            unwritten.discard(int(stream.rpartition(b":")[2]))  # not yet read to its end
            for entry_id, fields in entries:
                self.positions[stream.decode()] = entry_id
                if fields[b"type"] == b"quotes.batch.v1":  # a newer feed may write other types, too: pass over them
                    self.take(json.loads(fields[b"data"]))
        now = time.monotonic()
        for shard in [shard for shard, at in self.read_again_at.items() if at <= now]:
            del self.read_again_at[shard]
            say(f"quotes:last:{shard} read again: {self.take_snapshot(shard)} newer rows")
        self.mark_stale(unwritten)

    def unwritten(self) -> set[int]:
        """The shards that no feed process holds: its lease runs out 3 s after it died."""
        self.look_at = time.monotonic() + LOOK_S
        holders = self.bus.mget([f"lease:quotes:{shard}" for shard in self.shards])
        return {shard for shard, holder in zip(self.shards, holders, strict=True) if holder is None}

    def mark_stale(self, unwritten: set[int]) -> None:
        """Say it of the rows of some shards. Each is live again when a batch brings it."""
        for symbol in [one for one in self.rows if zlib.crc32(one.encode()) % len(self.shards) in unwritten]:
            row = [*self.rows[symbol], *[None] * (QUALITY - len(self.rows[symbol]))]
            self.rows[symbol] = [*row[:QUALITY], "stale", *row[QUALITY + 1 :]]

    def take(self, batch: dict[str, Any]) -> None:
        """A batch: is it the next one? Then its rows."""
        shard, epoch, seq = batch["shard"], batch["epoch"], batch["seq"]
        if self.is_new(shard, epoch, seq):
            self.batches += 1
            for row in batch["rows"]:
                known = self.rows.get(row[SYMBOL])
                if known is None or time_of(row) >= time_of(known):
                    self.rows[row[SYMBOL]] = row
                    self.changes += 1

    def is_new(self, shard: int, epoch: int, seq: int) -> bool:
        """Hold a batch against the one before it. The first of a shard is where proof begins.

        Within an epoch `seq` goes up by one; a new epoch begins with 1. Anything else: entries were missed, because they
        were trimmed before we came to read them. Then, and with every new epoch, the snapshot is read again, a little later.
        """
        before, self.last[shard] = self.last.get(shard), (epoch, seq)
        if before is None:
            self.first[shard] = (epoch, seq)
            return True
        is_same = epoch == before[0]
        expected = before[1] + 1 if is_same else 1
        if is_same and seq < expected:
            self.last[shard] = before
            say(f"quotes:{shard} came again: epoch {epoch}, seq {seq}")
            return False
        if not is_same:
            self.epochs += 1
            say(f"quotes:{shard} begins a new epoch: {epoch} after {before[0]}")
        if seq > expected:
            self.missed += seq - expected
            say(f"quotes:{shard} has a gap: epoch {epoch}, seq {seq} where {expected} was due")
        if seq > expected or not is_same:
            self.read_again_at[shard] = time.monotonic() + LAG_S
        return True

    def report(self) -> None:
        """What was read, and whether it was all there was."""
        qualities = Counter(row[QUALITY] if len(row) > QUALITY else "live" for row in self.rows.values())
        say(f"symbols: {len(self.rows)} ({', '.join(f'{count} {name}' for name, count in sorted(qualities.items()))})")
        say(f"batches: {self.batches}, with {self.changes} rows, on {len(self.last)} of {len(self.shards)} shards")
        say(f"new epochs: {self.epochs}, batches missed: {self.missed}")
        for shard, (epoch, seq) in sorted(self.last.items()):
            say(
                f"quotes:{shard} read from epoch {self.first[shard][0]}, seq {self.first[shard][1]} to epoch {epoch}, seq {seq}"
            )


def time_of(row: Row) -> int:
    """When the feed received the newest value of a row, nanoseconds since 1970; 0 where nothing is known of the symbol yet."""
    time_ns: int = row[TIME_NS] if len(row) > TIME_NS else 0
    return time_ns


def say(line: str) -> None:
    """One line of standard output, at once."""
    print(line, flush=True)


def main(url: str, shards: int, seconds: float, bus_url: str) -> int:
    """Read for so long and report."""
    reader = QuoteReader(url, shards, bus_url)
    reader.start()
    say(f"snapshot: {len(reader.rows)} symbols")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        reader.read()
    reader.report()
    return 1 if reader.missed or not reader.batches else 0


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    sys.exit(
        main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[-1] if len(sys.argv) == 5 else sys.argv[1])
    )
