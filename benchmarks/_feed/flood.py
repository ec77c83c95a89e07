"""Ticks per CPU-second: stock ib_async in three uses and the feed, each over a stand-in Gateway of its own, in turn."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from _feed.child import FAR, Asked, cpu_s
from _feed.rig import Feed, Rig
from ibstream.runtime.clock import SYSTEM_CLOCK

SYMBOLS = 1_000
FLOOD = 3_000_000
"""Ticks a second that no client takes: the stand-in writes as fast as its client reads."""
PACED = 40_000
PUBLISHED_PACED = 1_000
"""Ticks a second that one awaited write per tick keeps up with."""
WARM_UP_S = 0.3
LOOK_S, IDLE_CPU, DRAINED_S_MAX = 0.05, 0.3, 5.0
"""Whoever uses less than this share of a core for so long has read what was on its way."""


@dataclass
class Subject:
    """Whoever is measured, and what came of it, round by round."""

    name: str
    gateway: Asked
    pid: int
    pace: int
    counted: Callable[[], Awaitable[tuple[float, float]]]
    """Ticks taken and rows published, so far."""
    per_cpu_s: list[float] = field(default_factory=list)
    per_s: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    rows_per_tick: list[float] = field(default_factory=list)

    async def measure(self, seconds: float) -> None:
        """One round: the Gateway writes, the others are quiet."""
        await self.gateway.ask("flood", self.pace)
        await SYSTEM_CLOCK.sleep(WARM_UP_S)
        (ticks, rows), cpu, at = await self.counted(), cpu_s(self.pid), SYSTEM_CLOCK.monotonic()
        await SYSTEM_CLOCK.sleep(seconds)
        cpu, took = cpu_s(self.pid) - cpu, SYSTEM_CLOCK.monotonic() - at
        after = await self.counted()
        ticks, rows = after[0] - ticks, after[1] - rows
        await self.gateway.ask("flood", 0)
        await self._drained()
        self.per_cpu_s.append(ticks / cpu)
        self.per_s.append(ticks / took)
        self.cpu.append(cpu / took)
        self.rows_per_tick.append(rows / ticks)

    async def _drained(self) -> None:
        deadline = SYSTEM_CLOCK.monotonic() + DRAINED_S_MAX
        used = IDLE_CPU
        while used >= IDLE_CPU and SYSTEM_CLOCK.monotonic() < deadline:
            before, at = cpu_s(self.pid), SYSTEM_CLOCK.monotonic()
            await SYSTEM_CLOCK.sleep(LOOK_S)
            used = (cpu_s(self.pid) - before) / (SYSTEM_CLOCK.monotonic() - at)

    @property
    def figure(self) -> float:
        """The median of its rounds."""
        return statistics.median(self.per_cpu_s)


async def stock(rig: Rig, kind: str, *paces: tuple[str, int]) -> list[Subject]:
    """Stock ib_async in one use, at one or several paces."""
    gateway, port = await rig.gateway(SYMBOLS)
    client, _ = await rig.start("stock", kind, port, rig.database(), SYMBOLS, core=FAR)
    await rig.settled(gateway, SYMBOLS)
    await client.ask("forget")

    async def counted() -> tuple[float, float]:
        figures = await client.ask("figures")
        return figures["ticks"] - figures["waiting"], 0.0

    return [Subject(name, gateway, client.pid, pace, counted) for name, pace in paces]


def subject_of(feed: Feed) -> Subject:
    """The feed, in a flood."""

    async def counted() -> tuple[float, float]:
        figures, rows = await asyncio.gather(feed.gateway.ask("figures"), feed.rows())
        return figures["ticks"], rows

    return Subject("(d) this feed, publishing, flood", feed.gateway, feed.pid, FLOOD, counted)


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
