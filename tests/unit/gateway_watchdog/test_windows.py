"""IBKR's reset windows in New York wall time."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ibstream_gateway_watchdog.domain.windows import NEW_YORK, window_at

NIGHTLY, WEEKEND = "nightly reset", "weekend maintenance"


@pytest.mark.parametrize(
    ("local", "name", "until"),
    [
        ("2026-11-23T23:29:59", None, ""),  # a Monday
        ("2026-11-23T23:30:00", NIGHTLY, "02:00 EST"),
        ("2026-11-24T01:59:59", NIGHTLY, "02:00 EST"),
        ("2026-11-24T02:00:00", None, ""),
        ("2026-11-24T15:00:00", None, ""),
        ("2026-11-27T22:44:59", None, ""),  # a Friday
        ("2026-11-27T22:45:00", WEEKEND, "02:00 EST"),
        ("2026-11-28T12:00:00", WEEKEND, "02:00 EST"),
        ("2026-11-29T01:59:59", WEEKEND, "02:00 EST"),
        ("2026-11-29T02:00:00", None, ""),
        ("2026-11-29T23:45:00", NIGHTLY, "02:00 EST"),
        ("2026-07-06T23:45:00", NIGHTLY, "02:00 EDT"),
    ],
)
def test_windows_open_and_close_on_the_minute(local: str, name: str | None, until: str) -> None:
    """23:30 to 02:00 every night, and from Friday 22:45 to Sunday 02:00."""
    found = window_at(datetime.fromisoformat(local).replace(tzinfo=NEW_YORK).astimezone(UTC))
    assert (found.name if found else None) == name
    assert (found.until if found else "") == until


def test_the_night_when_clocks_go_back_is_an_hour_longer() -> None:
    """01:30 happens twice on 1 November 2026; both are in the window."""
    for utc in (datetime(2026, 11, 1, 5, 30, tzinfo=UTC), datetime(2026, 11, 1, 6, 30, tzinfo=UTC)):
        assert window_at(utc) is not None
    assert window_at(datetime(2026, 11, 1, 7, 0, tzinfo=UTC)) is None
