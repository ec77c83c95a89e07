"""How IBKR rations historical bars of 30 seconds and less. Pure: the time is told, not asked.

Source: IBKR's TWS API documentation, "Pacing violations for small bars". The rules hold for the login, so for all clients of one
Gateway together. Whether a request that was refused counts is not documented; here it does not.
"""

from __future__ import annotations

from collections import deque

import msgspec

from ibstream.simulation.tree import NS_PER_S

SMALL_BAR_S = 30
"""Bars of this length and shorter are rationed."""
IDENTICAL_WITHIN_NS = 15 * NS_PER_S
"""The same request may not come again so soon."""
SAME_WITHIN_NS, SAME_MAX = 2 * NS_PER_S, 5
"""So many requests for one contract, exchange and kind of data may come in that time."""
ALL_WITHIN_NS, ALL_MAX = 600 * NS_PER_S, 60
"""So many requests of all kinds may come in that time."""


class Asked(msgspec.Struct, frozen=True):
    """A request as the rules look at it."""

    symbol: str
    exchange: str
    what: str
    detail: tuple[str, ...]
    """Everything else that makes two requests the same: end, duration, bar size, hours."""

    @property
    def weight(self) -> int:
        """For how many requests it counts: bids and asks are two."""
        return 2 if self.what == "BID_ASK" else 1


class HistoricalPacing:
    """The rationed requests of the last ten minutes. Holds at most `ALL_MAX` of them."""

    def __init__(self) -> None:
        self._granted: deque[tuple[int, Asked]] = deque(maxlen=ALL_MAX)

    def grants(self, asked: Asked, now_ns: int) -> bool:
        """Whether the request may be answered; if so, it counts from now on."""
        while self._granted and self._granted[0][0] <= now_ns - ALL_WITHIN_NS:
            self._granted.popleft()
        if self._is_identical(asked, now_ns) or self._is_one_too_many(asked, now_ns):
            return False
        self._granted.append((now_ns, asked))
        return True

    def _is_identical(self, asked: Asked, now_ns: int) -> bool:
        return any(one == asked for at_ns, one in self._granted if at_ns > now_ns - IDENTICAL_WITHIN_NS)

    def _is_one_too_many(self, asked: Asked, now_ns: int) -> bool:
        same = (asked.symbol, asked.exchange, asked.what)
        lately = sum(
            one.weight
            for at_ns, one in self._granted
            if at_ns > now_ns - SAME_WITHIN_NS and (one.symbol, one.exchange, one.what) == same
        )
        all_of_them = sum(one.weight for _, one in self._granted)
        return lately + asked.weight > SAME_MAX or all_of_them + asked.weight > ALL_MAX
