"""At a pace: how long ticks take to a consumer beside a bare hop, what a tick costs with few symbols and many, and memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from _feed.child import NEAR, READY_S, Asked, Figures, cpu_s, rss_mb
from _feed.latency import Delays, delays
from _feed.names import load
from _feed.rig import Feed, Rig
from ibstream.runtime.clock import SYSTEM_CLOCK

ARRIVAL_S = 3.0
"""What has not arrived so long after the last write has not been delivered."""
SETTLE_S = 0.1
COST_TICKS_PER_S = 20_000
SOAK_TICKS_PER_S = 20_000
SOAK_PARTS, SOAK_WARM_UP = 10, 2
"""A soak is looked at in so many parts. What grows in the first ones does not count: buffers and caches find their size."""


@dataclass(frozen=True)
class Paced:
    """One pace: the feed and the bare hop beside it."""

    ticks_per_s: float
    """What was really written."""
    cpu: float
    """Of one core, by the feed."""
    rows_per_tick: float
    gaps: int
    feed: Delays
    hop: Delays


class Way:
    """A feed's way from the Gateway's write to a consumer's handler."""

    def __init__(self, feed: Feed, reader: Asked, folder: Path) -> None:
        self._feed = feed
        self._reader = reader
        self._stamps, self._seen = str(folder / "stamps"), str(folder / "seen")

    async def warm_up(self, seconds: float) -> None:
        """Let everybody do each thing once."""
        await self._hop(5_000, seconds)
        await self._way(5_000, seconds)

    async def measure(self, ticks_per_s: int, seconds: float, rounds: int) -> Paced:
        """The hop and the feed in turn, half of the time each."""
        hops, ways = [], []
        cpu = rows = ticks = took = 0.0
        gaps = (await self._reader.ask("figures"))["gaps"]
        for _ in range(rounds):
            hops.append((await self._hop(ticks_per_s, seconds / rounds))[1])
            used, published = cpu_s(self._feed.pid), await self._feed.rows()
            written, found = await self._way(ticks_per_s, seconds / rounds)
            cpu, rows = cpu + cpu_s(self._feed.pid) - used, rows + await self._feed.rows() - published
            ticks, took = ticks + written["ticks"], took + written["seconds"]
            ways.append(found)
        gaps = (await self._reader.ask("figures"))["gaps"] - gaps
        return Paced(ticks / took, cpu / took, rows / ticks, gaps, _together(ways), _together(hops))

    async def _hop(self, ticks_per_s: int, seconds: float) -> tuple[Figures, Delays]:
        return await self._found(
            await self._feed.gateway.ask("hop", ticks_per_s, seconds, self._stamps, self._feed.url)
        )

    async def _way(self, ticks_per_s: int, seconds: float) -> tuple[Figures, Delays]:
        return await self._found(await self._feed.gateway.ask("stamp", ticks_per_s, seconds, self._stamps))

    async def _found(self, written: Figures) -> tuple[Figures, Delays]:
        deadline = SYSTEM_CLOCK.monotonic() + ARRIVAL_S
        while (await self._reader.ask("figures"))["newest"] < written["last"] and SYSTEM_CLOCK.monotonic() < deadline:
            await SYSTEM_CLOCK.sleep(SETTLE_S)
        await SYSTEM_CLOCK.sleep(SETTLE_S)  # the last of every symbol, not of one
        await self._reader.ask("take", self._seen)
        return written, delays(load(self._stamps), load(self._seen), self._feed.symbols)


def _together(parts: Iterable[Delays]) -> Delays:
    parts = list(parts)
    return Delays(sorted(one for part in parts for one in part.sorted_us), sum(part.written for part in parts))


async def way(rig: Rig, feed: Feed, folder: Path) -> Way:
    """A consumer that follows a feed."""
    reader, _ = await rig.start("reader", "stamps", feed.url, feed.symbols, core=NEAR)
    rig.pin_all()
    return Way(feed, reader, folder)


@dataclass(frozen=True)
class Cost:
    """What a tick costs a feed."""

    us: float
    """CPU microseconds."""
    rows: float
    """Published for it: less than one where ticks are conflated."""


async def costs(feeds: Sequence[Feed], seconds: float, rounds: int) -> dict[int, Cost]:
    """By number of symbols, the same ticks a second over all; rounds in turn, the median of each."""
    found: dict[int, list[Cost]] = {feed.symbols: [] for feed in feeds}
    for _ in range(rounds):
        for feed in feeds:
            await feed.gateway.ask("stamp", COST_TICKS_PER_S, SETTLE_S, "")
            used, published = cpu_s(feed.pid), await feed.rows()
            ticks = (await feed.gateway.ask("stamp", COST_TICKS_PER_S, seconds, ""))["ticks"]
            await SYSTEM_CLOCK.sleep(SETTLE_S)
            used, published = cpu_s(feed.pid) - used, await feed.rows() - published
            found[feed.symbols].append(Cost(used / ticks * 1e6, published / ticks))
    return {symbols: sorted(costs, key=lambda one: one.us)[len(costs) // 2] for symbols, costs in found.items()}


@dataclass(frozen=True)
class Soaked:
    """Memory of the feed's process during a soak."""

    rss_mb: list[float]
    """At the end of each tenth of it."""
    ticks: int

    @property
    def grown_mb(self) -> float:
        """What came on top once buffers and caches had found their size."""
        return self.rss_mb[-1] - self.rss_mb[SOAK_WARM_UP - 1]


async def soak(feed: Feed, minutes: float) -> Soaked:
    """20,000 ticks a second all the time."""
    part_s = minutes * 60 / SOAK_PARTS
    rss, ticks = [], 0
    for _ in range(SOAK_PARTS):
        ticks += (await feed.gateway.ask("stamp", SOAK_TICKS_PER_S, part_s, "", within_s=part_s + READY_S))["ticks"]
        rss.append(rss_mb(feed.pid))
    return Soaked(rss, ticks)
