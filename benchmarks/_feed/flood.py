"""Ticks per CPU-second: stock ib_async in three uses and the feed, each over a stand-in Gateway of its own, in turn."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from _feed.child import FAR, Asked, cpu_s, unread_bytes
from _feed.rig import Feed, Rig, until
from ibstream.runtime.clock import SYSTEM_CLOCK

SYMBOLS = 1_000
FLOOD = 3_000_000
"""Ticks a second that no client takes: the stand-in writes as fast as its client reads."""
PACED = 40_000
PUBLISHED_PACED = 1_000
"""Ticks a second that one awaited write per tick keeps up with."""


async def nothing() -> float:
    """Of what there is none."""
    return 0.0


@dataclass
class Subject:
    """Whoever is measured, and what came of it, round by round."""

    name: str
    pace: int
    gateway: Asked
    port: int
    """Of the Gateway."""
    pid: int
    rows: Callable[[], Awaitable[float]] = field(default=nothing)
    """How many it has published so far."""
    waiting: Callable[[], Awaitable[float]] = field(default=nothing)
    """How many ticks it has read and not done with yet."""
    per_cpu_s: list[float] = field(default_factory=list)
    per_s: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    rows_per_tick: list[float] = field(default_factory=list)

    async def measure(self, seconds: float) -> None:
        """One round: the Gateway writes, and all that it wrote is read and done with. The others are quiet."""
        before, at = await self._sums(), SYSTEM_CLOCK.monotonic()
        await self.gateway.ask("flood", self.pace)
        await SYSTEM_CLOCK.sleep(seconds)
        await self.gateway.ask("flood", 0)
        await until(self._is_done, f"the last ticks of {self.name}")
        took = SYSTEM_CLOCK.monotonic() - at
        ticks, rows, cpu = (after - one for after, one in zip(await self._sums(), before, strict=True))
        self.per_cpu_s.append(ticks / cpu)
        self.per_s.append(ticks / took)
        self.cpu.append(cpu / took)
        self.rows_per_tick.append(rows / ticks)

    async def _sums(self) -> tuple[float, float, float]:
        ticks = (await self.gateway.ask("figures"))["ticks"]
        return ticks, await self.rows(), cpu_s(self.pid)

    async def _is_done(self) -> bool:
        return not unread_bytes(self.port) and not await self.waiting()

    @property
    def figure(self) -> float:
        """The median of its rounds."""
        return statistics.median(self.per_cpu_s)


async def stock(rig: Rig, kind: str, *paces: tuple[str, int]) -> list[Subject]:
    """Stock ib_async in one use, at one or several paces."""
    gateway, port = await rig.gateway(SYMBOLS)
    client, _ = await rig.start("stock", kind, port, rig.database(), SYMBOLS, core=FAR)
    await rig.settled(gateway, SYMBOLS)

    async def is_idle() -> bool:
        await client.ask("forget")
        return not unread_bytes(port)

    await until(is_idle, "the end of the first ticks")

    async def waiting() -> float:
        return float((await client.ask("figures"))["waiting"])

    return [Subject(name, pace, gateway, port, client.pid, waiting=waiting) for name, pace in paces]


def subject_of(feed: Feed) -> Subject:
    """The feed, in a flood."""
    return Subject("(d) this feed, publishing, flood", FLOOD, feed.gateway, feed.port, feed.pid, rows=feed.rows)


async def subjects(rig: Rig, feed: Feed) -> list[Subject]:
    """All that are compared."""
    empty, xadd, faststream = await asyncio.gather(
        stock(
            rig,
            "empty",
            ("(a) stock ib_async, no publishing, flood", FLOOD),
            ("(a) the same, paced", PACED),
        ),
        stock(rig, "xadd", ("(b) stock ib_async, an XADD per tick", PUBLISHED_PACED)),
        stock(rig, "faststream", ("(c) stock ib_async, FastStream", PUBLISHED_PACED)),
    )
    return [*empty, *xadd, *faststream, subject_of(feed)]
