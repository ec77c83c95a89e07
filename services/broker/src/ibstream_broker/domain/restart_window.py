"""The Gateway's daily restart: what is sent just before it can be lost, and order ids can go back after it. Pure.

Orders written to the socket in the second of a scheduled restart vanished, and their ids were given out again. So the gate
closes a minute before the restart, and opens with the first session that was made after it.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import msgspec

LEAD = timedelta(seconds=60)
"""How long before the restart the gate closes."""

GIVEN_UP_AFTER = timedelta(minutes=10)
"""When a restart that ended no session is taken not to have happened. A Gateway that restarts is back in 35 to 90 s."""

_DAYS_KEPT = 16
_ONE_DAY = timedelta(days=1)


class RestartWindow(msgspec.Struct, frozen=True):
    """Closed from `LEAD` before each restart until a session was made after it, or `GIVEN_UP_AFTER` after it at the latest."""

    at: time
    """The Gateway's auto restart, by its own clock."""
    zone: ZoneInfo
    """The Gateway's time zone."""

    def closes(self, now: datetime, session_since: datetime | None) -> datetime | None:
        """The restart for which the gate is closed now, in UTC; None while it is open.

        `session_since` is when the session was made with the Gateway.
        """
        restart = self._latest(now)
        if restart is None or now >= restart + GIVEN_UP_AFTER:
            return None
        has_been = now > restart and session_since is not None and session_since > restart
        return None if has_been else restart

    def _latest(self, now: datetime) -> datetime | None:
        """The last restart whose lead has begun."""
        today = now.astimezone(self.zone).date()
        days = (today - _ONE_DAY, today, today + _ONE_DAY)
        begun = [moment for day in days for moment in _moments(self.at, self.zone, day) if moment - LEAD <= now]
        return max(begun, default=None)


@lru_cache(maxsize=_DAYS_KEPT)
def _moments(at: time, zone: ZoneInfo, day: date) -> tuple[datetime, ...]:
    """When it is that time on that day, in UTC. Twice in the night in which clocks go back, as nobody says which of the two
    the Gateway means; in the night in which that time is skipped, as long after midnight as on other days."""
    local = datetime.combine(day, at, zone)
    both = {local.replace(fold=fold).astimezone(UTC) for fold in (0, 1)}
    real = {one for one in both if one.astimezone(zone).replace(tzinfo=None, fold=0) == local.replace(tzinfo=None)}
    return tuple(sorted(real or {local.astimezone(UTC)}))
