"""Cards M-70 to M-79: the simulated market in the feed's own process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from contract.market_data_sources import (
    AAPL,
    CLIENT_ID,
    MARKET,
    MASTER,
    MSFT,
    NVDA,
    Followed,
    Watch,
    connected,
    market_row,
)
from support import log_of, run

from ibstream.contracts.feed import DataKind
from ibstream.contracts.instrument import Instrument
from ibstream.contracts.ticks import BidAskTick
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


def test_a_failure_ends_no_other_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """M-71: one that was made before anybody heard of it goes on; the log has it all the same."""

    async def scenario() -> None:
        log, clock = log_of(simulated, monkeypatch), ManualClock(MONDAY)
        port = SimulatedFeed(MARKET, MASTER, clock=clock)
        told: list[Line] = []

        def on_ticks(lines: Iterable[Line], _time_ns: int) -> None:
            if not told:
                told.extend(lines)
                raise ValueError("full")

        port.listen(on_ticks, lambda *_: None, lambda *_: None)
        await port.connect(CLIENT_ID)
        contract = await port.qualify(AAPL)
        await port.subscribe(Line("AAPL", 0), contract)
        while not told:
            await SYSTEM_CLOCK.sleep(0)
        await port.connect(CLIENT_ID)
        await step(clock)
        assert (await port.qualify(AAPL)).con_id == contract.con_id
        assert [entry["event"] for entry in log] == ["feed.simulation_failed"]
        await port.close()

    run(scenario())


def test_a_bid_and_an_ask_that_stand_are_not_told_again() -> None:
    """M-40: of a minute in which a trade left them as they were."""

    async def scenario() -> None:
        clock = ManualClock(MONDAY)
        async with connected(Watch(SimulatedFeed(MARKET, MASTER, clock=clock))) as watch:
            followed = await Followed.open(watch, DataKind.TICKS, AAPL)
            began_ns = clock.time_ns()
            for _ in range(240):
                await step(clock)
            market = list(MARKET.quotes("AAPL", began_ns + 1, clock.time_ns() + 1))
            touches = [(one.bid, one.ask, one.bid_size, one.ask_size) for one in market]
            changes = sum(one != before for before, one in pairwise(touches))
            assert changes < len(touches) - 1, "the minute was chosen for this"
            told = [one for one in followed.items if isinstance(one, BidAskTick)]
            assert len(followed.items) - len(told) == len(market)
            assert len(told) - changes in (0, 1), "the first of them may be a change, too"

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
