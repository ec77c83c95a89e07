"""How far back a duration reaches, in the hours of each group."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibstream.calendar.hours import HOURS, Group
from ibstream.simulation.bars import spans
from ibstream.simulation.periods import period_start
from ibstream.simulation.sessions import from_ns, to_ns

groups = st.sampled_from(sorted(HOURS))
moments_ns = st.integers(to_ns(datetime(2019, 1, 1, tzinfo=UTC)), to_ns(datetime(2029, 1, 1, tzinfo=UTC)))


@pytest.mark.parametrize(
    ("group", "count", "start"),
    [
        ("US_STOCK", 1, datetime(2026, 11, 27, 14, 30, tzinfo=UTC)),
        ("US_STOCK", 2, datetime(2026, 11, 25, 14, 30, tzinfo=UTC)),
        ("CME_INDEX", 2, datetime(2026, 11, 25, 23, 0, tzinfo=UTC)),
        ("FX", 1, datetime(2026, 11, 29, 22, 15, tzinfo=UTC)),
    ],
)
def test_days_are_sessions_of_the_group(group: Group, count: int, start: datetime) -> None:
    """Asked on the Sunday evening after Thanksgiving, when currencies trade again."""
    now_ns = to_ns(datetime(2026, 11, 29, 23, 0, tzinfo=UTC))
    assert from_ns(period_start(now_ns, count, "D", 60, regular_hours=True, group=group)) == start


def test_seconds_are_counted_over_a_half_day() -> None:
    """An hour back from Monday 10:00 in New York is half an hour of Monday and half an hour before Friday's early close."""
    monday_ns = to_ns(datetime(2026, 11, 30, 15, 0, tzinfo=UTC))
    start_ns = period_start(monday_ns, 3600, "S", 60, regular_hours=True)
    assert from_ns(start_ns) == datetime(2026, 11, 27, 17, 30, tzinfo=UTC)


@given(groups, moments_ns, st.integers(1, 5))
def test_a_period_of_days_holds_that_many_daily_bars(group: Group, end_ns: int, count: int) -> None:
    """Whatever the group and the moment, one bar to a session."""
    start_ns = period_start(end_ns, count, "D", 86_400, regular_hours=True, group=group)
    assert len(list(spans(start_ns, end_ns, "1 day", regular_hours=True, group=group))) == count


@given(groups, moments_ns, st.sampled_from(["1 min", "30 mins", "4 hours"]))
def test_bars_of_regular_hours_follow_each_other(group: Group, end_ns: int, size: str) -> None:
    """They never overlap, and each lies within one session."""
    start_ns = period_start(end_ns, 2, "D", 60, regular_hours=True, group=group)
    windows = [span.windows for span in spans(start_ns, end_ns, size, regular_hours=True, group=group)]  # type: ignore[arg-type]
    assert windows
    assert all(len(one) == 1 and one[0][0] < one[0][1] for one in windows)
    assert all(before[0][1] <= after[0][0] for before, after in pairwise(windows))
