"""Cards M-70 to M-79: the simulated market in the feed's own process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime

import pytest
from contract.market_data_sources import AAPL, CLIENT_ID, MARKET, MASTER, MSFT, NVDA, Watch, connected, market_row
from support import log_of, run

from ibstream.contracts.instrument import Instrument
from ibstream.runtime.clock import SYSTEM_CLOCK, ManualClock
from ibstream.runtime.connection import Trigger
from ibstream_feed.adapters import simulated
from ibstream_feed.adapters.simulated import TICK_INTERVAL_S, SimulatedFeed
from ibstream_feed.domain.line import Line

MONDAY = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)


async def step(clock: ManualClock, seconds: float = TICK_INTERVAL_S) -> None:
    """Let time pass, and what waits for it happen."""
    clock.advance(seconds)
    for _ in range(5):
        await SYSTEM_CLOCK.sleep(0)


def test_it_ticks_four_times_a_second_and_only_what_is_new() -> None:
    """M-70: by its clock; a line whose market stands still is not told again."""

    async def scenario() -> None:
        clock = ManualClock(MONDAY)
        async with connected(Watch(SimulatedFeed(MARKET, MASTER, clock=clock))) as watch:
            [line] = await watch.subscribe(AAPL)
            await step(clock)
            [first] = watch.reads
            assert first.time_ns == clock.time_ns()
            await step(clock, 0.0)
            assert watch.reads == [first]
            for _ in range(40):
                await step(clock)
            told = [market_row(row, AAPL) for row in watch.rows]
            expected = MARKET.quotes("AAPL", first.time_ns, clock.time_ns() + 1)
            assert [quote.sequence for quote in told if quote is not None][1:] == [one.sequence for one in expected]
            assert watch.reads_of(line) == len(told)

    run(scenario())


def test_a_market_that_fails_ends_the_session_loudly(monkeypatch: pytest.MonkeyPatch) -> None:
    """M-71: ticks that failed must not pass for a quiet market; the next session ticks."""

    async def scenario() -> None:
        log = log_of(simulated, monkeypatch)
        port, fails = SimulatedFeed(MARKET, MASTER, clock=SYSTEM_CLOCK), [True]
        told: list[Line] = []

        def on_ticks(lines: Iterable[Line], _time_ns: int) -> None:
            if fails.pop():
                raise ValueError("full")
            fails.append(False)
            told.extend(lines)

        port.listen(on_ticks, lambda *_: None, lambda *_: None)
        contract, line = await _first_session(port)
        event = await asyncio.wait_for(port.next_event(), 5)
        assert event.trigger is Trigger.LOST
        assert "full" in event.reason
        assert [entry["event"] for entry in log] == ["feed.simulation_failed"]
        fails.append(False)
        await port.connect(CLIENT_ID)
        await port.snapshot(line, contract)
        assert told == [line]
        await port.close()

    async def _first_session(port: SimulatedFeed):  # type: ignore[no-untyped-def]  # noqa: ANN202
        await port.connect(CLIENT_ID)
        contract = await port.qualify(AAPL)
        line = Line("AAPL", 0)
        await port.subscribe(line, contract)
        return contract, line

    run(scenario())


def test_snapshots_come_with_the_next_tick() -> None:
    """M-72: all that wait for it, so that whoever takes snapshots in turn does so at the market's pace."""

    async def scenario() -> None:
        clock = ManualClock(MONDAY)
        async with connected(Watch(SimulatedFeed(MARKET, MASTER, clock=clock))) as watch:
            await step(clock)
            asking = [asyncio.create_task(watch.snapshot(one)) for one in (AAPL, MSFT, NVDA)]
            await step(clock, 0.0)
            assert not any(one.done() for one in asking)
            await step(clock)
            assert [one.result().symbol for one in asking] == ["AAPL", "MSFT", "NVDA"]

    run(scenario())


def test_there_is_room_for_everything() -> None:
    """M-73: no message goes out, so there are never too many; every line that is asked for is given."""

    async def scenario() -> None:
        clock = ManualClock(MONDAY)
        async with connected(Watch(SimulatedFeed(MARKET, MASTER, clock=clock))) as watch:
            watch.port.limit(1)
            lines = await watch.subscribe(
                *(Instrument(symbol=one.symbol) for one in MASTER if one.security_type == "STK")
            )
            assert watch.port.free() > 10_000
            await step(clock)
            assert watch.reads[0].symbols == [line.symbol for line in lines]

    run(scenario())
