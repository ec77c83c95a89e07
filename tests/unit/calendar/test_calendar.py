"""The exchange calendar against an independent one, and against what a live Gateway told."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import exchange_calendars  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibstream.calendar.holidays import easter
from ibstream.calendar.hours import HOURS, Group
from ibstream.calendar.sessions import Session, is_open, next_close, next_open, session, sessions
from ibstream.calendar.text import liquid_hours, time_zone_id, trading_hours

FIRST, BEYOND = date(2018, 1, 1), date(2028, 1, 1)
NEW_YORK = ZoneInfo("America/New_York")
GROUPS: list[Group] = sorted(HOURS)

groups = st.sampled_from(GROUPS)
moments = st.integers(1_514_764_800, 1_893_456_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))

# What exchange_calendars asks of pandas, newer versions of pandas warn about.
pandas_warns = pytest.mark.filterwarnings("ignore:Series.values returning an ndarray")


def reference(name: str) -> Any:
    return exchange_calendars.get_calendar(name, start="2018-01-01", end="2027-12-31")


def stock_sessions() -> list[Session]:
    return list(sessions("US_STOCK", FIRST, BEYOND))


@pandas_warns
def test_stocks_have_the_sessions_of_the_reference() -> None:
    """Every day from 2018 to 2027, with its opening and its close to the minute."""
    xnys = reference("XNYS")
    told = {one.day: (one.liquid_opens, one.liquid_closes) for one in stock_sessions()}
    expected = {
        day.date(): (xnys.session_open(day).to_pydatetime(), xnys.session_close(day).to_pydatetime())
        for day in xnys.sessions
    }
    assert len(expected) > 2500
    assert told == expected


@pandas_warns
def test_stocks_close_early_where_the_reference_does() -> None:
    """Also before independence day, after Thanksgiving and on Christmas Eve."""
    expected = {day.date() for day in reference("XNYS").early_closes}
    assert {one.day for one in stock_sessions() if one.shortened} == expected


@pandas_warns
def test_index_futures_trade_on_the_days_of_the_reference() -> None:
    """Bank holidays included, but for New Year, Good Friday and Christmas."""
    expected = {day.date() for day in reference("CMES").sessions}
    assert {one.day for one in sessions("CME_INDEX", FIRST, BEYOND)} == expected


@pytest.mark.parametrize("year", range(1990, 2100))
def test_easter_is_a_sunday_in_spring(year: int) -> None:
    """Between 22 March and 25 April, as the computus has it."""
    assert date(year, 3, 22) <= easter(year) <= date(year, 4, 25)
    assert easter(year).isoweekday() == 7


def test_the_recorded_schedule_of_aapl() -> None:
    """The 21 sessions that a live Gateway told on 2026-04-11 for the month before; Good Friday is missing."""
    recorded = """
        0312 0313 0316 0317 0318 0319 0320 0323 0324 0325 0326 0327 0330 0331 0401 0402 0406 0407 0408 0409 0410
    """
    told = list(sessions("US_STOCK", date(2026, 3, 12), date(2026, 4, 11)))
    assert [f"{one.day:%m%d}" for one in told] == recorded.split()
    hours = {
        (f"{one.liquid_opens.astimezone(NEW_YORK):%T}", f"{one.liquid_closes.astimezone(NEW_YORK):%T}") for one in told
    }
    assert hours == {("09:30:00", "16:00:00")}


def test_hours_of_a_future_as_recorded() -> None:
    """Of ESM5 on 2025-05-22; the Sunday belongs to Memorial Day, which ends at noon and has no regular session."""
    assert trading_hours("CME_INDEX", date(2025, 5, 22)) == (
        "20250521:1700-20250522:1600;20250522:1700-20250523:1600;20250524:CLOSED;20250525:1700-20250526:1200;"
        "20250526:1700-20250527:1600;20250527:1700-20250528:1600"
    )
    assert liquid_hours("CME_INDEX", date(2025, 5, 22), 4) == (
        "20250522:0830-20250522:1600;20250523:0830-20250523:1600;20250524:CLOSED;20250525:1700-20250526:1200"
    )
    assert time_zone_id("CME_INDEX") == "US/Central"


def test_hours_of_a_stock_as_recorded() -> None:
    """Of TSLA on 2022-12-29, over New Year, whose Sunday is kept on Monday."""
    assert trading_hours("US_STOCK", date(2022, 12, 29)) == (
        "20221229:0400-20221229:2000;20221230:0400-20221230:2000;20221231:CLOSED;20230101:CLOSED;20230102:CLOSED;"
        "20230103:0400-20230103:2000"
    )
    assert liquid_hours("US_STOCK", date(2022, 12, 29)) == (
        "20221229:0930-20221229:1600;20221230:0930-20221230:1600;20221231:CLOSED;20230101:CLOSED;20230102:CLOSED;"
        "20230103:0930-20230103:1600"
    )


def test_half_days_and_holidays_in_text() -> None:
    """Thanksgiving 2026 and the day after it."""
    assert liquid_hours("US_STOCK", date(2026, 11, 26), 2) == "20261126:CLOSED;20261127:0930-20261127:1300"
    assert trading_hours("US_STOCK", date(2026, 11, 27), 1) == "20261127:0400-20261127:1700"
    assert trading_hours("CME_INDEX", date(2026, 11, 26), 1) == "20261125:1700-20261126:1200"


def test_currencies_trade_from_sunday_evening_to_friday() -> None:
    """With a quarter of an hour's break every evening."""
    friday = datetime(2026, 11, 20, 21, 59, tzinfo=UTC)
    assert is_open("FX", friday)
    assert next_close("FX", friday) == datetime(2026, 11, 20, 22, 0, tzinfo=UTC)
    assert next_open("FX", friday) == datetime(2026, 11, 22, 22, 15, tzinfo=UTC)
    assert not is_open("FX", datetime(2026, 11, 23, 22, 5, tzinfo=UTC))


@given(groups, moments, st.booleans())
def test_openings_and_closings_alternate(group: Group, at: datetime, extended: bool) -> None:
    """Whatever the moment: a group is open exactly if its next closing comes before its next opening."""
    opens, closes = next_open(group, at, extended=extended), next_close(group, at, extended=extended)
    assert is_open(group, at, extended=extended) == (closes < opens)
    assert at < min(opens, closes)
    assert is_open(group, opens, extended=extended)
    assert is_open(group, closes - timedelta(microseconds=1), extended=extended)
    assert not is_open(group, closes, extended=extended)


@given(groups, moments)
def test_regular_hours_lie_within_all_hours(group: Group, at: datetime) -> None:
    """And sessions follow each other without overlapping."""
    found = list(sessions(group, at.date(), at.date() + timedelta(days=14)))
    assert len(found) >= 8
    for one in found:
        assert one.opens <= one.liquid_opens < one.liquid_closes <= one.closes
        assert session(group, one.day) == one
    assert all(before.closes <= after.opens for before, after in pairwise(found))
