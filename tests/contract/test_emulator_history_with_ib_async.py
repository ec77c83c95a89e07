"""Historical bars of the stand-in Gateway, asked for by an unmodified ib_async 2.1.0 over TCP."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from contract.ib_async_terminal import (
    AAPL,
    MONDAY,
    session,
)
from ib_async import Stock
from ib_async.wrapper import RequestError
from support import eventually, run

from ibstream.runtime.clock import ManualClock
from ibstream.simulation.market import Market


def test_bars_are_the_markets() -> None:
    async def scenario() -> None:
        clock = ManualClock(MONDAY)
        async with session(clock) as (_, terminal):
            bars = await terminal.ib.reqHistoricalDataAsync(
                AAPL, "", "1 D", "5 mins", "TRADES", useRTH=False, formatDate=2
            )
            expected = Market(7).bars("AAPL", MONDAY - timedelta(days=1), MONDAY, "5 mins", regular_hours=False)
            assert len(bars) == len(expected) == 288
            for bar, other in zip(bars, expected, strict=True):
                assert (bar.date, bar.open, bar.high, bar.low, bar.close) == (
                    other.start,
                    other.open,
                    other.high,
                    other.low,
                    other.close,
                )
                assert (bar.volume, bar.barCount) == (other.volume, other.trades)

    run(scenario())


def test_a_day_of_hours_is_stamped_as_in_a_recorded_session() -> None:
    async def scenario() -> None:
        async with session(ManualClock(datetime(2026, 4, 4, 12, 0, tzinfo=UTC))) as (_, terminal):
            bars = await terminal.ib.reqHistoricalDataAsync(
                AAPL, "", "1 D", "1 hour", "TRADES", useRTH=True, formatDate=1
            )
            assert [f"{bar.date:%Y%m%d %H:%M}" for bar in bars] == [
                "20260403 09:30",
                *(f"20260403 {hour}:00" for hour in range(10, 16)),
            ]

    run(scenario())


@pytest.mark.parametrize("what", ["TRADES", "MIDPOINT", "BID", "ASK", "ADJUSTED_LAST"])
@pytest.mark.parametrize(
    ("duration", "size", "count"), [("10 D", "1 day", 10), ("2 W", "1 day", 10), ("1800 S", "30 secs", 60)]
)
def test_every_kind_of_bar_is_given(what: str, duration: str, size: str, count: int) -> None:
    async def scenario() -> None:
        async with session(ManualClock(MONDAY.replace(hour=19))) as (_, terminal):
            bars = await terminal.ib.reqHistoricalDataAsync(AAPL, "", duration, size, what, useRTH=True)
            assert len(bars) == count
            assert all(bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in bars)
            assert isinstance(bars[0].date, date)

    run(scenario())


@pytest.mark.parametrize("end", [MONDAY, "20261123 10:00:00 US/Eastern", "20261123-15:00:00", "20261123 10:00:00"])
def test_the_end_of_the_period_may_be_written_in_several_ways(end: Any) -> None:
    async def scenario() -> None:
        async with session(ManualClock(MONDAY + timedelta(days=1))) as (_, terminal):
            bars = await terminal.ib.reqHistoricalDataAsync(
                AAPL, end, "600 S", "1 min", "TRADES", useRTH=False, formatDate=2
            )
            assert [bar.date for bar in bars] == [MONDAY - timedelta(minutes=minute) for minute in range(10, 0, -1)]

    run(scenario())


def test_a_large_answer_comes_from_a_thread_and_quotes_do_not_wait() -> None:
    async def scenario() -> None:
        async with session() as (gateway, terminal):
            ticker = terminal.ib.reqMktData(AAPL)
            await eventually(ticker.hasBidAsk, what="a quote")
            bars = await terminal.ib.reqHistoricalDataAsync(AAPL, "", "1 D", "15 secs", "TRADES", useRTH=False)
            assert len(bars) in (5760, 5761)
            assert not gateway.state.history.is_used(gateway.state.clients[1], bars.reqId)

    run(scenario())


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("19900101-00:00:00", "1 D", "1 day", "TRADES"), 162),
        (("", "1 D", "1 secs", "TRADES"), 162),
        (("", "3000 S", "1 secs", "TRADES"), 162),
        (("", "1 X", "1 day", "TRADES"), 321),
        (("", "0 D", "1 day", "TRADES"), 321),
        (("", "400 D", "1 day", "TRADES"), 321),
        (("", "1 D", "7 mins", "TRADES"), 321),
        (("20261123-15:00:00", "1 D", "1 day", "ADJUSTED_LAST"), 321),
        (("", "1 D", "1 day", "SCHEDULE"), 322),
        (("yesterday", "1 D", "1 day", "TRADES"), 10314),
        (("20261340 10:00:00 UTC", "1 D", "1 day", "TRADES"), 10314),
        (("20261123 10:00:00 Mars/Base", "1 D", "1 day", "TRADES"), 10314),
    ],
)
def test_a_request_for_bars_that_makes_no_sense_is_refused(arguments: tuple[str, str, str, str], code: int) -> None:
    async def scenario() -> None:
        async with session() as (_, terminal):
            end, duration, size, what = arguments
            terminal.ib.client.reqHistoricalData(
                900, AAPL, end, duration, size, what, useRTH=True, formatDate=1, keepUpToDate=False, chartOptions=[]
            )
            assert (await terminal.told(code))[0] == 900

    run(scenario())


def test_keeping_bars_up_to_date_is_refused_clearly() -> None:
    async def scenario() -> None:
        async with session() as (_, terminal):
            with pytest.raises(RequestError, match="keepUpToDate is not supported by this emulator"):
                await terminal.ib.reqHistoricalDataAsync(
                    AAPL, "", "1 D", "1 min", "TRADES", useRTH=True, keepUpToDate=True
                )

    run(scenario())


def test_the_history_has_a_beginning() -> None:
    async def scenario() -> None:
        async with session() as (_, terminal):
            begins = await terminal.ib.reqHeadTimeStampAsync(AAPL, "TRADES", useRTH=True, formatDate=2)
            assert begins == datetime(2000, 1, 3, 14, 30, tzinfo=UTC)
            written = await terminal.ib.reqHeadTimeStampAsync(AAPL, "TRADES", useRTH=True, formatDate=1)
            assert written == begins.replace(tzinfo=None)
            unknown = Stock("ZZZQ", "SMART", "USD", conId=1)
            with pytest.raises(RequestError):
                await terminal.ib.reqHeadTimeStampAsync(unknown, "TRADES", useRTH=True, formatDate=1)

    run(scenario())
