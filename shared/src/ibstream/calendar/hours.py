"""The hours of each group of instruments, in the time of its exchange.

Sources: the exchanges' own pages; the texts of contract details in recorded sessions (stocks 04:00 to 20:00 US/Eastern, E-mini
futures 17:00 to 16:00 US/Central with 12:00 on Memorial Day). The early closings of CME's energy and metal futures and
IDEALPRO's quarter of an hour are domain knowledge that no recording confirms. Futures' shortened sessions that fall on a Good
Friday with a report on employment are taken for closed.
"""

from __future__ import annotations

from datetime import time
from typing import Literal

import msgspec

Group = Literal["US_STOCK", "US_OPTION", "US_INDEX", "CME_INDEX", "NYMEX", "COMEX", "CBOT_GRAIN", "FX"]
"""Instruments that trade at the same hours."""

DayKind = Literal["full", "half", "holiday"]
"""How a weekday is kept: as always, closing early, or as a holiday on which only some groups trade, and shorter."""


class Zone(msgspec.Struct, frozen=True):
    """A time zone under both its names."""

    name: str
    """In the tz database."""
    ib_name: str
    """In IBKR's contract details."""


NEW_YORK = Zone("America/New_York", "US/Eastern")
CHICAGO = Zone("America/Chicago", "US/Central")


class Hours(msgspec.Struct, frozen=True, kw_only=True):
    """The hours of one group. An opening later than its closing is on the day before."""

    zone: Zone
    opens: time
    closes: time
    liquid_opens: time
    """When the regular session begins; its end is `liquid_closes`."""
    liquid_closes: time
    half_day_closes: time
    """When all trading ends on a half day."""
    half_day_liquid_closes: time
    holiday_closes: time | None = None
    """When trading ends on a bank holiday that is traded all the same; None for a group that stays closed."""
    closed_on_holidays: bool = True
    """False for FX, which knows two holidays only: Christmas and New Year."""


def _metals_and_energy() -> Hours:
    return Hours(
        zone=NEW_YORK,
        opens=time(18),
        closes=time(17),
        liquid_opens=time(9, 30),
        liquid_closes=time(16),
        half_day_closes=time(13, 45),
        half_day_liquid_closes=time(13, 45),
        holiday_closes=time(14, 30),
    )


HOURS: dict[Group, Hours] = {
    "US_STOCK": Hours(
        zone=NEW_YORK,
        opens=time(4),
        closes=time(20),
        liquid_opens=time(9, 30),
        liquid_closes=time(16),
        half_day_closes=time(17),
        half_day_liquid_closes=time(13),
    ),
    "US_OPTION": Hours(
        zone=NEW_YORK,
        opens=time(9, 30),
        closes=time(16),
        liquid_opens=time(9, 30),
        liquid_closes=time(16),
        half_day_closes=time(13),
        half_day_liquid_closes=time(13),
    ),
    "US_INDEX": Hours(
        zone=CHICAGO,
        opens=time(8, 30),
        closes=time(15),
        liquid_opens=time(8, 30),
        liquid_closes=time(15),
        half_day_closes=time(12),
        half_day_liquid_closes=time(12),
    ),
    "CME_INDEX": Hours(
        zone=CHICAGO,
        opens=time(17),
        closes=time(16),
        liquid_opens=time(8, 30),
        liquid_closes=time(16),
        half_day_closes=time(12, 15),
        half_day_liquid_closes=time(12, 15),
        holiday_closes=time(12),
    ),
    "NYMEX": _metals_and_energy(),
    "COMEX": _metals_and_energy(),
    "CBOT_GRAIN": Hours(
        zone=CHICAGO,
        opens=time(19),
        closes=time(13, 45),
        liquid_opens=time(8, 30),
        liquid_closes=time(13, 45),
        half_day_closes=time(12, 5),
        half_day_liquid_closes=time(12, 5),
    ),
    "FX": Hours(
        zone=NEW_YORK,
        opens=time(17, 15),
        closes=time(17),
        liquid_opens=time(17, 15),
        liquid_closes=time(17),
        half_day_closes=time(17),
        half_day_liquid_closes=time(17),
        closed_on_holidays=False,
    ),
}
