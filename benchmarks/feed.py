"""How many ticks the feed decodes and publishes per CPU-second, beside stock ib_async; how soon they are at a consumer.

    python benchmarks/feed.py [--quick] [--json] [--soak MINUTES]

Everything runs on 127.0.0.1, each part as a process of its own: an embedded server that is on disk before it answers, stand-in
Gateways, stock ib_async, the feed as `python -m ibstream_feed`, a consumer. Whoever is measured has one core for itself,
everything else shares another one: the stand-in Gateway, the server, the consumer, but for the last figure, which is the
consumer's. CPU time is that of the measured process, all its threads together, by the kernel.

ticks per CPU-second   1,000 stocks. (a) stock ib_async with an empty callback, as fast as it reads and at a pace that it keeps
                       up with; its better figure counts. (b) the same, a redis-py XADD awaited per tick, (c) a FastStream
                       publish per tick, both at a pace that they keep up with. (d) this feed, publishing, as fast as it reads.
                       A tick is a message of the stand-in Gateway, nearly all of them sizes; rows are those that the feed
                       published meanwhile: all other ticks were conflated into them. Rounds are interleaved.
at a pace              500 stocks. The stand-in Gateway writes ticks whose size is the time (CLOCK_MONOTONIC) right before they
                       are written, a burst every millisecond or two. A tick is delivered with the first row of its symbol that
                       is as new, its own or one that it was conflated into, and its delay ends when that row is in the handler
                       of a consumer that uses `Client.quotes()`. Beside it a bare hop: the same rows at the same pace, written
                       with one awaited XADD per burst, read with redis-py's XREAD and decoded; in turn, on the same server.
cost per tick          the same ticks a second over 50, 500 and 2,000 stocks.
consumer               rows that `Client.quotes()` hands out per CPU-second, batches of 50 rows on 8 shards.
soak                   20,000 ticks a second over 500 stocks: memory of the feed's process at the end of each tenth of the time.
                       What came after the first two of them is growth.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _feed import consuming, flood, paced
from _feed.latency import Delays
from _feed.rig import Feed, Rig, rig_in

PACES = (5_000, 20_000, 50_000)
NAMED = 20_000
"""The pace whose figures are reported by name."""
FEW, SOME, MANY = 50, 500, 2_000


@dataclass(frozen=True)
class Effort:
    """How long is measured."""

    flood_s: float
    flood_rounds: int
    paced_s: float
    paced_rounds: int
    cost_s: float
    cost_rounds: int
    batches: int


THOROUGH = Effort(flood_s=4, flood_rounds=5, paced_s=12, paced_rounds=4, cost_s=4, cost_rounds=5, batches=20_000)
QUICK = Effort(flood_s=0.8, flood_rounds=2, paced_s=1.2, paced_rounds=3, cost_s=0.7, cost_rounds=2, batches=6_000)

Found = dict[str, Any]


def say(line: str = "") -> None:
    """One line of standard output."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def floods(rig: Rig, feed: Feed, effort: Effort) -> Found:
    """Ticks per CPU-second."""
    subjects = await flood.subjects(rig, feed)
    rig.pin_all()
    for _ in range(effort.flood_rounds):
        for subject in subjects:
            await subject.measure(effort.flood_s)
    *_, xadd, faststream, ours = subjects
    empty = max(subjects[:2], key=lambda one: one.figure)
    say(f"{f'{flood.SYMBOLS:,} stocks':<44}{'ticks/CPU-s':>12}{'ticks/s':>10}{'CPU':>6}{'of (d)':>9}")
    for one in subjects:
        ratio = f"1/{ours.figure / one.figure:.2f}"
        say(
            f"{one.name:<44}{one.figure:>12,.0f}{statistics.median(one.per_s):>10,.0f}{statistics.median(one.cpu):>6.2f}{ratio:>9}"
        )
    conflated = 1 - statistics.median(ours.rows_per_tick)
    say(f"    of (d) {conflated:.1%} of the ticks were conflated into the row of another one")
    return {
        "vs_stock_empty": round(ours.figure / empty.figure, 2),
        "vs_await_xadd": round(ours.figure / xadd.figure, 2),
        "vs_faststream": round(ours.figure / faststream.figure, 2),
        "feed_ticks_per_cpu_s": round(ours.figure),
        "stock_ticks_per_cpu_s": round(empty.figure),
        "flood_conflated": round(conflated, 4),
    }


async def paces(rig: Rig, feed: Feed, folder: Path, effort: Effort) -> Found:
    """Delays at three paces."""
    way = await paced.way(rig, feed, folder)
    await way.warm_up(0.5)
    say(
        f"\n{f'{feed.symbols} stocks, at a pace':<22}{'written/s':>10}{'delivered':>11}{'CPU':>6}  p50 / p99 / p99.9 ms"
    )
    found: Found = {}
    for pace in PACES:
        one = await way.measure(pace, effort.paced_s, effort.paced_rounds)
        say(
            f"{f'feed, {pace:,}/s':<22}{one.ticks_per_s:>10,.0f}{one.feed.delivered:>11.2%}{one.cpu:>6.2f}  {_spread(one.feed)}"
        )
        say(f"{'    a bare hop':<22}{'':>10}{one.hop.delivered:>11.2%}{'':>6}  {_spread(one.hop)}")
        p50, p99 = (one.feed.at(share) / one.hop.at(share) for share in (0.5, 0.99))
        gaps = f", {one.gaps} GAPS" if one.gaps else ""
        say(f"    p50 {p50:.2f} x, p99 {p99:.2f} x the hop; {one.rows_per_tick:.2f} rows a tick{gaps}")
        found |= _named(f"paced_{pace // 1000}k", p50, p99, one)
    return found


def _named(name: str, p50: float, p99: float, one: paced.Paced) -> Found:
    return {
        f"{name}_p50_ratio": round(p50, 2),
        f"{name}_p99_ratio": round(p99, 2),
        f"{name}_delivered": round(one.feed.delivered, 6),
        f"{name}_p50_ms": round(one.feed.at(0.5), 3),
        f"{name}_p99_ms": round(one.feed.at(0.99), 3),
        f"{name}_p999_ms": round(one.feed.at(0.999), 3),
        f"{name}_cpu": round(one.cpu, 3),
        f"{name}_per_s": round(one.ticks_per_s),
    }


def _spread(found: Delays) -> str:
    return " / ".join(f"{found.at(share):.2f}" for share in (0.5, 0.99, 0.999))


async def scaling(feeds: dict[int, Feed], effort: Effort) -> Found:
    """Cost per tick."""
    costs = await paced.costs(list(feeds.values()), effort.cost_s, effort.cost_rounds)
    ratio = costs[MANY].us / costs[FEW].us
    say(f"\n{f'cost of a tick at {paced.COST_TICKS_PER_S:,}/s':<22}{'':>5}{'CPU µs':>12}{'rows':>8}")
    for symbols, cost in costs.items():
        say(f"{f'{symbols:,} stocks':<27}{cost.us:>12.2f}{cost.rows:>8.2f}")
    say(f"    {MANY:,} to {FEW}: {ratio:.2f} x")
    return {
        "cost_ratio_2000_to_50": round(ratio, 3),
        **{f"cost_{symbols}_us": round(cost.us, 2) for symbols, cost in costs.items()},
    }


async def consumer(rig: Rig, effort: Effort) -> Found:
    """The SDK's reader."""
    per_cpu_s = await consuming.quotes_per_cpu_s(rig, effort.batches)
    say(f"\nconsumer, Client.quotes(): {per_cpu_s:,.0f} quotes per CPU-second")
    return {"consumer_quotes_per_cpu_s": round(per_cpu_s)}


async def soaking(feed: Feed, minutes: float) -> Found:
    """Memory over time."""
    one = await paced.soak(feed, minutes)
    say(f"\nsoak, {minutes:g} min, {one.ticks:,} ticks, MB: {' '.join(f'{mb:.1f}' for mb in one.rss_mb)}")
    return {"soak_growth_mb": round(one.grown_mb, 2), "soak_rss_mb": round(one.rss_mb[-1], 1)}


async def measure(effort: Effort, soak_minutes: float) -> Found:
    """Everything, and the figures by their names."""
    with tempfile.TemporaryDirectory(prefix="ibstream-bench-") as name:
        folder = Path(name)
        async with rig_in(folder) as rig:
            flooded, *paced_feeds = await asyncio.gather(*map(rig.feed, (flood.SYMBOLS, FEW, SOME, MANY)))
            feeds = {feed.symbols: feed for feed in paced_feeds}
            found = await floods(rig, flooded, effort)
            found |= await paces(rig, feeds[SOME], folder, effort)
            found |= await scaling(feeds, effort)
            found |= await consumer(rig, effort)
            return found | (await soaking(feeds[SOME], soak_minutes) if soak_minutes else {})


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="shorter runs, under 50 s in all")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument(
        "--soak", type=float, default=0.0, metavar="MINUTES", help="and watch the feed's memory so long"
    )
    arguments = parser.parse_args()
    found = asyncio.run(measure(QUICK if arguments.quick else THOROUGH, arguments.soak))
    if arguments.json:
        say(json.dumps(found))


if __name__ == "__main__":
    main()
