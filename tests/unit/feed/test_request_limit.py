"""A message limit that changes while messages flow: feed processes that come and go share one."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import run

from ibstream.ibkr.pacing import WINDOW_S, Window
from ibstream.runtime.clock import SYSTEM_CLOCK, ManualClock

START = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
STEP_S = 0.05


class Sender:
    """Sends through a window, and notes when each message went and which limit it was taken under."""

    def __init__(self, most: int) -> None:
        self.clock = ManualClock(START)
        self.window = Window(most, self.clock)
        self.limit = most
        self.sent: list[tuple[int, float, int]] = []
        self._tasks: list[asyncio.Task[None]] = []

    def change(self, most: int) -> None:
        self.limit = most
        self.window.limit(most)

    async def send(self, count: int) -> None:
        """Begin to send so many."""
        for _ in range(count):
            self._tasks.append(asyncio.create_task(self._one(len(self._tasks), self.limit)))
        await settle()

    async def wait(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP_S)):
            self.clock.advance(STEP_S)
            await settle()

    async def all_sent(self) -> list[float]:
        """Wait for the last one; when each went, in the order in which they were begun, which is that in which they go."""
        while len(self.sent) < len(self._tasks):
            await self.wait(STEP_S)
        self.sent.sort()  # of those that go at one time, any may be first
        times = [at for _, at, _ in self.sent]
        assert times == sorted(times), "somebody was overtaken"
        return times

    async def _one(self, number: int, limit: int) -> None:
        await self.window.take()
        self.sent.append((number, self.clock.monotonic(), limit))


async def settle() -> None:
    """Let every task run as far as it can."""
    for _ in range(4):
        await SYSTEM_CLOCK.sleep(0)


def test_a_lower_limit_still_counts_what_has_gone() -> None:
    """Five went a moment ago, two may: nothing goes before they are a window old."""

    async def scenario() -> None:
        sender = Sender(5)
        await sender.send(5)
        sender.change(2)
        assert sender.window.free() == 0
        await sender.send(3)
        times = await sender.all_sent()
        assert times[5:] == pytest.approx([WINDOW_S, WINDOW_S, 2 * WINDOW_S], abs=STEP_S)
        await sender.wait(WINDOW_S + STEP_S)
        assert sender.window.free() == 2

    run(scenario())


def test_a_higher_limit_gives_room_at_once() -> None:
    """Two went, three more may now."""

    async def scenario() -> None:
        sender = Sender(2)
        await sender.send(2)
        sender.change(5)
        assert sender.window.free() == 3
        await sender.send(4)
        times = await sender.all_sent()
        assert times[2:] == pytest.approx([0, 0, 0, WINDOW_S], abs=STEP_S)

    run(scenario())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(0, 8), st.sampled_from([0, 0.3, 1.2])), min_size=1, max_size=8)
)
def test_no_window_holds_more_than_the_limit_of_its_last_message(changes: list[tuple[int, int, float]]) -> None:
    """However limits change, and in the order in which they were begun."""

    async def scenario() -> None:
        sender = Sender(changes[0][0])
        for most, count, pause_s in changes:
            sender.change(most)
            await sender.send(count)
            await sender.wait(pause_s)
        times = await sender.all_sent()
        for number, at, limit in sender.sent:
            within = [one for one in times[: number + 1] if one > at - WINDOW_S + STEP_S]
            assert len(within) <= limit

    run(scenario())
