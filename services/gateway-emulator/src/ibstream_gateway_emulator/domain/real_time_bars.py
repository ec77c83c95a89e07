"""Bars of five seconds as they are completed: which may be asked for, and how they are told."""

from __future__ import annotations

from typing import Literal, cast

import msgspec

from ibstream.simulation.bars import Bar
from ibstream.simulation.instruments import Listing
from ibstream.simulation.market import Market
from ibstream.simulation.sessions import from_ns, to_ns
from ibstream.simulation.tree import NS_PER_S
from ibstream_gateway_emulator.domain import codes
from ibstream_gateway_emulator.domain.codes import RequestError
from ibstream_gateway_emulator.protocol.messages import RealTimeBar

BAR_S = 5
BAR_NS = BAR_S * NS_PER_S
KINDS = ("TRADES", "MIDPOINT", "BID", "ASK")
BARS_MAX = 720
"""So many bars are told in one step at most; more were completed only if time has jumped, and follow with the next steps."""

What = Literal["TRADES", "MIDPOINT", "BID", "ASK"]


class BarFeed(msgspec.Struct, frozen=True):
    """What one subscription is about."""

    listing: Listing
    what: What
    regular_hours: bool

    def completed(self, market: Market, start_ns: int, now_ns: int) -> tuple[list[Bar], int]:
        """The bars that began at `start_ns` or later and are over, oldest first, and when the next one begins."""
        end_ns = min(now_ns - now_ns % BAR_NS, start_ns + BARS_MAX * BAR_NS)
        if end_ns <= start_ns:
            return [], start_ns
        start, end = from_ns(start_ns), from_ns(end_ns)
        bars = market.bars(self.listing.symbol, start, end, "5 secs", self.what, regular_hours=self.regular_hours)
        return bars, end_ns


def bar_feed(listing: Listing, bar_s: int, what: str, *, regular_hours: bool) -> BarFeed:
    """What a request asks for. Raises `RequestError` with 420 for what there is not."""
    if bar_s != BAR_S:
        raise RequestError(
            codes.bad_real_time_query(f"Bar size of {bar_s} seconds is invalid. Legal ones are: {BAR_S}")
        )
    has = {"TRADES": listing.has_trades}.get(what, listing.has_book)
    if what not in KINDS or not has:
        raise RequestError(
            codes.bad_real_time_query(f"{what or 'Nothing'} cannot be shown for {listing.security_type}")
        )
    return BarFeed(listing, cast("What", what), regular_hours)


def first_start_ns(now_ns: int) -> int:
    """When the first bar begins that can be told whole."""
    return -(-now_ns // BAR_NS) * BAR_NS


def bar_message(req_id: int, bar: Bar) -> RealTimeBar:
    """One bar; volume, average and count are -1 where bars of prices have none."""
    second = to_ns(bar.start) // NS_PER_S
    return RealTimeBar(req_id, second, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.average, bar.trades)
