"""Clocks: the machine's own, and the one that tests are."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice

import pytest
from support import run

from ibstream.runtime.backoff import constant, exponential, gateway_retries
from ibstream.runtime.clock import SYSTEM_CLOCK, ManualClock

START = datetime(2026, 11, 23, 14, 30, tzinfo=UTC)


def test_the_system_clock_tells_the_machines_time() -> None:
    """Aware, in UTC, the same in both forms, and the monotonic one goes on."""
    before, now, after = SYSTEM_CLOCK.time_ns(), SYSTEM_CLOCK.now(), SYSTEM_CLOCK.time_ns()
    assert now.tzinfo is UTC
    assert before // 1000 * 1000 <= now.timestamp() * 1e9 + 1000
    assert now.timestamp() * 1e9 - 1000 <= after
    first = SYSTEM_CLOCK.monotonic()
    run(SYSTEM_CLOCK.sleep(0.02))
    assert SYSTEM_CLOCK.monotonic() - first >= 0.02


def test_a_manual_clock_stands_until_it_is_moved() -> None:
    """All three readings move together, exactly, and the start may be in any time zone."""
    clock = ManualClock(START.astimezone(timezone(timedelta(hours=-5))))
    assert (clock.now(), clock.monotonic()) == (START, 0.0)
    clock.advance(90.5)
    assert clock.now() == START + timedelta(seconds=90.5)
    assert clock.now().tzinfo is UTC
    assert clock.monotonic() == 90.5
    assert clock.time_ns() == round(START.timestamp() + 90) * 10**9 + 5 * 10**8


def test_sleepers_wake_in_the_order_of_their_deadlines() -> None:
    """Not in the order in which they fell asleep; of equal deadlines the first asleep wakes first; none too early."""

    async def scenario() -> None:
        clock = ManualClock(START)
        woken: list[str] = []

        async def sleeper(name: str, delay_s: float) -> None:
            await clock.sleep(delay_s)
            woken.append(name)

        naps = [("c", 3.0), ("a", 1.0), ("b1", 2.0), ("b2", 2.0), ("d", 10.0)]
        tasks = [asyncio.create_task(sleeper(*nap)) for nap in naps]
        await asyncio.sleep(0)  # noqa: TID251 - lets them fall asleep, on no clock
        assert clock.sleeps == [3.0, 1.0, 2.0, 2.0, 10.0]
        for seconds, expected in ((0.999, []), (0.001, ["a"]), (8.0, ["a", "b1", "b2", "c"])):
            clock.advance(seconds)
            await asyncio.wait(tasks, timeout=0.01)
            assert woken == expected
        clock.advance(1.0)
        await asyncio.gather(*tasks)
        assert woken[-1] == "d"

    run(scenario())


@pytest.mark.parametrize("delay_s", [0.0, -1.0])
def test_a_sleep_of_nothing_lets_others_run(delay_s: float) -> None:
    """It returns by itself, but yields to the loop as a real sleep does."""

    async def scenario() -> None:
        clock = ManualClock(START)
        others: list[str] = []
        other = asyncio.create_task(_note(others))
        await clock.sleep(delay_s)
        assert others == ["ran"]
        await other

    run(scenario())


async def _note(notes: list[str]) -> None:
    notes.append("ran")


def test_a_cancelled_sleeper_disturbs_nobody() -> None:
    """The clock moves on over it."""

    async def scenario() -> None:
        clock = ManualClock(START)
        gone, other = asyncio.create_task(clock.sleep(1)), asyncio.create_task(clock.sleep(2))
        await asyncio.wait([gone], timeout=0.01)
        gone.cancel()
        await asyncio.wait([gone])
        clock.advance(2)
        await other

    run(scenario())


def test_backoff_grows_to_its_limit() -> None:
    """And starts afresh with each streak of failures."""
    delays = exponential(0.5, 5.0)
    assert list(islice(delays(), 6)) == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert next(delays()) == 0.5
    assert list(islice(exponential(1, 100, factor=10)(), 4)) == [1, 10, 100, 100]
    assert list(islice(constant(5.0)(), 3)) == [5.0, 5.0, 5.0]


def test_the_waits_between_tries_to_reach_a_gateway() -> None:
    """2, 4, 8 s as the design says, and never longer."""
    assert list(islice(gateway_retries(), 5)) == [2.0, 4.0, 8.0, 8.0, 8.0]
