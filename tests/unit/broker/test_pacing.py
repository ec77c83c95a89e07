"""Keeping under IBKR's message limit, on a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import run

from ibstream.ibkr.pacing import WINDOW_S, Window
from ibstream.runtime.clock import SYSTEM_CLOCK, ManualClock

START = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
STEP_S = 0.025


async def settle() -> None:
    """Let every task run as far as it can."""
    for _ in range(4):
        await SYSTEM_CLOCK.sleep(0)


async def pass_time(clock: ManualClock, seconds: float) -> None:
    """In small steps, so that nobody oversleeps."""
    for _ in range(round(seconds / STEP_S)):
        clock.advance(STEP_S)
        await settle()


async def passed(take: Callable[[], Awaitable[None]], clock: ManualClock, count: int) -> list[float]:
    """When each of `count` messages that come at once may go, in their order."""
    times: list[tuple[int, float]] = []

    async def one(number: int) -> None:
        await take()
        times.append((number, clock.monotonic()))

    tasks = [asyncio.create_task(one(number)) for number in range(count)]
    while len(times) < count:
        await settle()
        if len(times) < count:
            clock.advance(STEP_S)
    await asyncio.gather(*tasks)
    assert [number for number, _ in times] == list(range(count)), "somebody was overtaken"
    return [at for _, at in times]


def test_a_window_lets_a_burst_through_at_once_and_then_waits_for_the_oldest() -> None:
    """An order after a quiet second does not wait at all."""

    async def scenario() -> None:
        clock = ManualClock(START)
        times = await passed(Window(3, clock).take, clock, 7)
        assert times == pytest.approx([*[0.0] * 3, *[WINDOW_S] * 3, 2 * WINDOW_S], abs=1.01 * STEP_S)

    run(scenario())


def test_a_window_tells_how_many_may_go_now() -> None:
    """None while somebody waits; all again once the last burst is a window old."""

    async def scenario() -> None:
        clock = ManualClock(START)
        window = Window(3, clock)
        assert window.free() == 3
        await window.take()
        assert window.free() == 2
        await pass_time(clock, 0.5)
        await asyncio.gather(window.take(), window.take())
        assert window.free() == 0
        waiting = asyncio.create_task(window.take())
        await settle()
        assert (window.free(), waiting.done()) == (0, False)
        await pass_time(clock, WINDOW_S - 0.5)
        assert (window.free(), waiting.done()) == (0, True), "the one who waited has the place that was freed"
        await pass_time(clock, 0.6)
        assert window.free() == 2
        await pass_time(clock, WINDOW_S)
        assert window.free() == 3

    run(scenario())


@settings(deadline=None, max_examples=50)
@given(gaps=st.lists(st.sampled_from([0.0, 0.025, 0.3, 1.0, 1.05]), min_size=1, max_size=12))
def test_what_is_free_can_be_taken_without_waiting(gaps: list[float]) -> None:
    """And not one more: whoever asks first need not be surprised."""

    async def scenario() -> None:
        clock = ManualClock(START)
        window = Window(3, clock)
        for gap in gaps:
            await pass_time(clock, gap)
            free, before = window.free(), clock.monotonic()
            tasks = [asyncio.create_task(window.take()) for _ in range(free)]
            await settle()
            assert all(task.done() for task in tasks)
            assert (clock.monotonic(), window.free()) == (before, 0)

    run(scenario())


@settings(deadline=None, max_examples=50)
@given(most=st.integers(1, 6), gaps=st.lists(st.sampled_from([0.0, 0.025, 0.3, 1.0, 1.05]), min_size=1, max_size=12))
def test_no_second_ever_sees_more_than_the_limit(most: int, gaps: list[float]) -> None:
    """Whenever the messages come: of any `most` + 1 in a row, first and last are a window apart."""

    async def scenario() -> list[float]:
        clock = ManualClock(START)
        window = Window(most, clock)
        gone: list[float] = []

        async def one() -> None:
            await window.take()
            gone.append(clock.monotonic())

        tasks = []
        for gap in gaps:
            await pass_time(clock, gap)
            tasks.append(asyncio.create_task(one()))
            await settle()
        while len(gone) < len(gaps):
            clock.advance(STEP_S)
            await settle()
        await asyncio.gather(*tasks)
        return gone

    gone = run(scenario())
    assert all(later - earlier >= WINDOW_S - 1.01 * STEP_S for earlier, later in zip(gone, gone[most:], strict=False))
