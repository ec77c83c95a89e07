"""Historical bars of the stand-in Gateway, asked for by an unmodified ib_async 2.1.0 over TCP."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import pytest
from contract.ib_async_terminal import (
    AAPL,
    MONDAY,
    SETTINGS,
    session,
)
from ib_async import Forex, Future, Option, Stock
from ib_async.wrapper import RequestError
from support import eventually, run

from ibstream.runtime.clock import ManualClock
from ibstream.simulation.market import Market
from ibstream.simulation.sessions import to_ns
from ibstream_gateway_emulator.domain.limits import Limits

ES = Future("ES", "202612", "CME")
CALL = Option("AAPL", "20261218", 250, "C", "SMART")


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
        async with session(ManualClock(datetime(2026, 4, 5, 21, 50, tzinfo=UTC))) as (_, terminal):
            bars = await terminal.ib.reqHistoricalDataAsync(
                AAPL, "", "1 D", "1 hour", "TRADES", useRTH=True, formatDate=1
            )
            assert [f"{bar.date:%Y%m%d %H:%M}" for bar in bars] == [
                "20260402 09:30",
                *(f"20260402 {hour}:00" for hour in range(10, 16)),
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
        (("", "1 D", "1 hour", "SCHEDULE"), 10295),
        (("", "1 D", "1 day", "AGGTRADES"), 10299),
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


def test_bars_are_kept_up_to_date_and_agree_with_history() -> None:
    async def scenario() -> None:
        clock = ManualClock(MONDAY)
        async with session(clock) as (gateway, terminal):
            bars = await terminal.ib.reqHistoricalDataAsync(
                AAPL, "", "300 S", "10 secs", "TRADES", useRTH=False, formatDate=2, keepUpToDate=True
            )
            new_bars: list[bool] = []
            bars.updateEvent += lambda _, has_new: new_bars.append(has_new)
            first = len(bars)
            for _ in range(35):
                heard = len(new_bars)
                clock.advance(1)
                await eventually(partial(_longer, new_bars, heard), what="an update")
            assert len(bars) == first + 4
            assert {True, False} <= set(new_bars)
            later = await terminal.ib.reqHistoricalDataAsync(
                AAPL, clock.now(), "600 S", "10 secs", "TRADES", useRTH=False, formatDate=2
            )
            complete = [bar for bar in bars if bar.date < clock.now() - timedelta(seconds=10)]
            assert complete == [bar for bar in later if complete[0].date <= bar.date <= complete[-1].date]
            terminal.ib.cancelHistoricalData(bars)
            assert "query cancelled" in (await terminal.told(162))[2]
            client = gateway.state.clients[1]
            assert not gateway.state.history.is_used(client, bars.reqId)

    run(scenario())


def _longer(heard: list[bool], count: int) -> bool:
    return len(heard) > count


def test_live_updates_that_failed_stay_silent() -> None:
    async def scenario() -> None:
        clock = ManualClock(MONDAY)
        async with session(clock) as (gateway, terminal):
            bars = await terminal.ib.reqHistoricalDataAsync(
                AAPL, "", "300 S", "5 secs", "TRADES", useRTH=False, formatDate=2, keepUpToDate=True
            )
            other = await terminal.ib.reqHistoricalDataAsync(
                AAPL, "", "300 S", "5 secs", "MIDPOINT", useRTH=False, formatDate=2, keepUpToDate=True
            )
            gateway.state.history.fail_live_updates(clock.time_ns())
            await terminal.told(10182)
            assert [code for code in terminal.codes if code == 10182] == [10182, 10182]
            count = len(bars), len(other)
            clock.advance(30)
            ticker = terminal.ib.reqMktData(AAPL)
            await eventually(ticker.hasBidAsk, what="a quote, after which updates would have come")
            assert (len(bars), len(other)) == count

    run(scenario())


def test_the_schedule_is_told() -> None:
    async def scenario() -> None:
        async with session(ManualClock(datetime(2026, 4, 11, 17, 52, tzinfo=UTC))) as (_, terminal):
            schedule = await terminal.ib.reqHistoricalScheduleAsync(AAPL, 21, "", useRTH=True)
            assert (schedule.startDateTime, schedule.endDateTime) == ("20260312-09:30:00", "20260410-16:00:00")
            assert (schedule.timeZone, len(schedule.sessions)) == ("US/Eastern", 21)

    run(scenario())


@pytest.mark.parametrize(("what", "kind"), [("TRADES", "price"), ("BID_ASK", "priceBid"), ("MIDPOINT", "price")])
def test_ticks_of_the_past_are_the_markets(what: str, kind: str) -> None:
    async def scenario() -> None:
        async with session(ManualClock(MONDAY)) as (_, terminal):
            begins = MONDAY - timedelta(minutes=5)
            ticks = await terminal.ib.reqHistoricalTicksAsync(AAPL, begins, "", 25, what, useRth=False)
            assert len(ticks) >= 25
            assert ticks[0].time >= begins
            quotes = list(Market(7).quotes("AAPL", to_ns(begins), to_ns(MONDAY)))
            wanted = {
                "TRADES": [quote.last for quote in quotes],
                "BID_ASK": [quote.bid for quote in quotes],
                "MIDPOINT": [round((quote.bid + quote.ask) / 2, 8) for quote in quotes],
            }[what]
            assert {getattr(tick, kind) for tick in ticks} <= set(wanted)
            if what == "TRADES":
                assert [tick.price for tick in ticks] == wanted[: len(ticks)]

    run(scenario())


def test_an_end_without_a_zone_is_warned_of_and_answered() -> None:
    async def scenario() -> None:
        async with session(ManualClock(MONDAY)) as (_, terminal):
            bars = await terminal.ib.reqHistoricalDataAsync(
                AAPL, "20261123 09:00:00", "600 S", "1 min", "TRADES", useRTH=False, formatDate=2
            )
            assert len(bars) == 10
            assert "without explicit time zone" in (await terminal.told(2174))[2]

    run(scenario())


def test_small_bars_are_rationed() -> None:
    async def scenario() -> None:
        clock = ManualClock(MONDAY)
        rationed = msgspec.structs.replace(SETTINGS, limits=Limits(messages_per_s=None))
        async with session(clock, rationed) as (_, terminal):

            async def ask(seconds: int) -> int:
                bars = await terminal.ib.reqHistoricalDataAsync(
                    AAPL, "", f"{seconds} S", "5 secs", "TRADES", useRTH=False, formatDate=2
                )
                return len(bars)

            for seconds in (60, 70, 80, 90, 100):
                assert await ask(seconds) == seconds // 5
            with pytest.raises(RequestError, match="pacing violation") as refused:
                await ask(110)
            assert refused.value.code == 162
            clock.advance(2)
            assert await ask(110) >= 22
            with pytest.raises(RequestError, match="pacing violation"):
                await ask(60)
            clock.advance(13)
            assert await ask(60) >= 12

    run(scenario())


def test_a_client_may_have_so_many_queries_open_and_no_more() -> None:
    async def scenario() -> None:
        limited = msgspec.structs.replace(SETTINGS, limits=Limits(messages_per_s=None, historical_requests=3))
        async with session(ManualClock(MONDAY), limited) as (_, terminal):
            kept = [
                await terminal.ib.reqHistoricalDataAsync(
                    AAPL, "", f"{hours} D", "1 hour", "TRADES", useRTH=False, keepUpToDate=True
                )
                for hours in (1, 2, 3)
            ]
            with pytest.raises(RequestError, match="Only 3 simultaneous API historical data requests") as refused:
                await terminal.ib.reqHistoricalDataAsync(AAPL, "", "1 D", "1 hour", "TRADES", useRTH=False)
            assert refused.value.code == 322
            terminal.ib.cancelHistoricalData(kept[0])
            assert await terminal.ib.reqHistoricalDataAsync(AAPL, "", "1 D", "1 hour", "TRADES", useRTH=False)

    run(scenario())


def test_a_query_is_cancelled_and_an_id_is_used_once() -> None:
    async def scenario() -> None:
        async with session(ManualClock(MONDAY)) as (_, terminal):
            bars = await terminal.ib.reqHistoricalDataAsync(
                AAPL, "", "1 D", "1 hour", "TRADES", useRTH=False, keepUpToDate=True
            )
            terminal.ib.client.reqHistoricalData(
                bars.reqId,
                AAPL,
                "",
                "1 D",
                "1 hour",
                "TRADES",
                useRTH=True,
                formatDate=1,
                keepUpToDate=False,
                chartOptions=[],
            )
            assert "Duplicate ticker id" in (await terminal.told(322))[2]
            terminal.ib.client.cancelHistoricalData(4242)
            assert (await terminal.told(366))[0] == 4242

    run(scenario())


def test_two_gateways_of_one_seed_and_clock_tell_the_same_history() -> None:
    async def scenario() -> None:
        async with session(ManualClock(MONDAY)) as (_, one), session(ManualClock(MONDAY)) as (_, other):
            for contract, what in ((AAPL, "BID_ASK"), (Forex("EURUSD"), "MIDPOINT"), (ES, "TRADES"), (CALL, "TRADES")):
                asked = (contract, "", "3 D", "30 mins", what)
                both = [
                    await terminal.ib.reqHistoricalDataAsync(*asked, useRTH=False, formatDate=2)
                    for terminal in (one, other)
                ]
                assert len(both[0]) > 10
                assert list(both[0]) == list(both[1])

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
