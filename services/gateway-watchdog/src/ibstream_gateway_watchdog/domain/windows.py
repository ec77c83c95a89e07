"""When IBKR resets its servers, so that a loss then is waited out and not repaired.

IBKR's page and the code of others disagree by half an hour to an hour; these are the unions of what both say, for accounts on
the American servers, where all paper accounts are (`interactivebrokers.com` system status page; IBAutomater's comments, 2026).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")

_EVERY_DAY = frozenset(range(7))
_FRIDAY = frozenset({4})


@dataclass(frozen=True)
class ResetWindow:
    """A stretch of New York wall time that begins on some days of the week."""

    name: str
    weekdays: frozenset[int]
    """Days on which it begins, Monday 0."""
    begins: time
    lasts: timedelta


NIGHTLY = ResetWindow("nightly reset", _EVERY_DAY, time(23, 30), timedelta(hours=2, minutes=30))
"""23:30 to 02:00."""

WEEKEND = ResetWindow("weekend maintenance", _FRIDAY, time(22, 45), timedelta(days=1, hours=3, minutes=15))
"""Friday 22:45 to Sunday 02:00."""

WINDOWS = (WEEKEND, NIGHTLY)
"""Longest first."""

_DAYS_BACK = 2
"""No window lasts longer than this many midnights."""


@dataclass(frozen=True, slots=True)
class OpenWindow:
    """A window that is open now."""

    name: str
    until: str
    """New York wall time of its end: `02:00 EST`."""


def window_at(now: datetime) -> OpenWindow | None:
    """The reset window that is open at `now` (aware), or None.

    Reckoned in wall time, so in the night when clocks go back it lasts an hour longer.
    """
    local = now.astimezone(NEW_YORK).replace(tzinfo=None)
    for window in WINDOWS:
        for days in range(_DAYS_BACK + 1):
            day = local.date() - timedelta(days=days)
            begin = datetime.combine(day, window.begins)
            if day.weekday() in window.weekdays and begin <= local < begin + window.lasts:
                end = (begin + window.lasts).replace(tzinfo=NEW_YORK)
                return OpenWindow(window.name, end.strftime("%H:%M %Z"))
    return None
