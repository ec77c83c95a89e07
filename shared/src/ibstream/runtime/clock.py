"""The only door to the machine's time. Everything else takes a `Clock`, so that tests can be the time themselves."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Wall time for stamps, monotonic time for deadlines, sleep for waiting."""

    def now(self) -> datetime:
        """The time of day, aware, in UTC."""
        ...

    def time_ns(self) -> int:
        """The time of day in nanoseconds since 1970-01-01 UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; only differences mean anything."""
        ...

    async def sleep(self, delay_s: float) -> None:
        """Return after `delay_s` seconds."""
        ...


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        """The time of day, aware, in UTC."""
        return datetime.now(UTC)

    def time_ns(self) -> int:
        """The time of day in nanoseconds since 1970-01-01 UTC."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Seconds since some point in the past."""
        return time.monotonic()

    async def sleep(self, delay_s: float) -> None:
        """Wait on the running event loop."""
        await asyncio.sleep(delay_s)


class ManualClock:
    """A clock that moves only when told to; sleepers wake in the order of their deadlines."""

    def __init__(self, start: datetime) -> None:
        self._now = start.astimezone(UTC)
        self._elapsed_s = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self.sleeps: list[float] = []
        """Every delay that was asked for, in seconds, oldest first."""

    def now(self) -> datetime:
        """The time this clock was moved to, in UTC."""
        return self._now

    def time_ns(self) -> int:
        """`now` in nanoseconds since 1970-01-01 UTC, exact to the microsecond."""
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        return (self._now - epoch) // timedelta(microseconds=1) * 1000

    def monotonic(self) -> float:
        """Seconds since this clock was made."""
        return self._elapsed_s

    async def sleep(self, delay_s: float) -> None:
        """Return once `advance` has moved the clock by `delay_s`; at once for a delay of zero or less."""
        self.sleeps.append(delay_s)
        if delay_s <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed_s + delay_s, next(self._order), woken))
        await woken

    def advance(self, seconds: float) -> None:
        """Move time forward and wake every sleeper whose deadline has come."""
        self._elapsed_s += seconds
        self._now += timedelta(seconds=seconds)
        while self._sleepers and self._sleepers[0][0] <= self._elapsed_s:
            _, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)


SYSTEM_CLOCK = SystemClock()
"""The clock that composition roots hand to everything they build."""
