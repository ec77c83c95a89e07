"""Orders whose price or size at a moment depends on the moment: pegged orders and IBKR's algos, in a simple form.

- REL is pegged to the near touch, `aux_price` more aggressive, and trades when the market comes to it or somebody trades there.
- Adaptive begins at the near touch, moves towards the opposite one, and gets there after a time that depends on its priority.
- Twap trades the quantity in equal slices over its window; Vwap in slices that follow the volume the market trades in it. The
  simulated market's volume is known in advance, so it follows it exactly, as no real algo can. What a limit kept from trading
  is caught up with later, even after the window.

IBKR's own algos are secret; these do what their descriptions promise, no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from ibstream.contracts.orders import Side
from ibstream.simulation.fills import Asking, Top
from ibstream.simulation.market import Market
from ibstream.simulation.orders import OrderType, Ticket, WorkingOrder
from ibstream.simulation.sessions import NEW_YORK, from_ns, to_ns
from ibstream.simulation.tree import NS_PER_S

ADAPTIVE, TWAP, VWAP = "Adaptive", "Twap", "Vwap"
ALGOS = frozenset({ADAPTIVE, TWAP, VWAP})
WORKED_TYPES = frozenset({OrderType.MARKET, OrderType.LIMIT})
"""The order types an algo can work."""
ADAPTIVE_SECONDS = {"Urgent": 2, "Normal": 10, "Patient": 60}
"""How long Adaptive takes from the near touch to the opposite one, by priority."""
DEFAULT_WINDOW_S = 300
"""How long Twap and Vwap work without an `endTime`."""
SLICES = 20
"""Into how many steps Twap and Vwap cut the quantity, at most."""
_PARAMETERS = {
    ADAPTIVE: frozenset({"adaptivePriority"}),
    TWAP: frozenset({"startTime", "endTime", "allowPastEndTime", "strategyType"}),
    VWAP: frozenset({"startTime", "endTime", "allowPastEndTime", "maxPctVol", "noTakeLiq", "speedUp"}),
}
_MOMENTS = ("%Y%m%d %H:%M:%S", "%Y%m%d-%H:%M:%S", "%H:%M:%S")


class AlgoError(Exception):
    """An algo that cannot be worked. `code` is IBKR's."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How algos are worked; the defaults are this module's figures."""

    window_s: int = DEFAULT_WINDOW_S
    slices: int = SLICES
    adaptive_s: Mapping[str, int] = msgspec.field(default_factory=lambda: dict(ADAPTIVE_SECONDS))


def check(ticket: Ticket, now_ns: int) -> None:
    """Raise `AlgoError` if the algo of `ticket` is unknown, not allowed here, or its parameters cannot be read."""
    if ticket.algo not in ALGOS:
        raise AlgoError(439, "The order processing failed. Algorithm definition not found.")
    if ticket.order_type not in WORKED_TYPES or ticket.legs or ticket.all_or_none:
        raise AlgoError(442, "Specified algorithm is not allowed for this order.")
    unknown = sorted(ticket.algo_params.keys() - _PARAMETERS[ticket.algo])
    if unknown:
        raise AlgoError(443, f"Order processing failed. Unknown algo attribute:{unknown[0]}")
    priority = ticket.algo_params.get("adaptivePriority", "Normal")
    if priority not in ADAPTIVE_SECONDS:
        raise AlgoError(441, f"Algo attributes validation failed: adaptivePriority {priority}")
    for name in ("startTime", "endTime"):
        _moment(ticket.algo_params.get(name, ""), now_ns)


def asking(order: WorkingOrder, top: Top, now_ns: int, min_tick: Decimal, market: Market, pace: Pace) -> Asking:
    """What the order asks of the market at `now_ns`, when `top` stands."""
    ticket = order.ticket
    if ticket.order_type == OrderType.RELATIVE:
        peg = top.near(ticket.side) + ticket.sign * (ticket.aux_price or Decimal(0))
        return Asking(_capped(ticket.side, peg, order.limit_price), passive=True)
    if ticket.algo == ADAPTIVE:
        return _adaptive(order, top, now_ns, min_tick, pace)
    if ticket.algo:
        return Asking(order.limit_price, allowed=quota(order, now_ns, market, pace) - order.filled)
    return Asking(order.limit_price)


def is_timed(ticket: Ticket) -> bool:
    """Whether what the order asks changes with time alone."""
    return bool(ticket.algo)


def quota(order: WorkingOrder, now_ns: int, market: Market, pace: Pace) -> Decimal:
    """How much of a Twap or Vwap order may have been filled by `now_ns`, in whole units."""
    start_ns, end_ns = window(order.ticket, order.started_ns, pace)
    if now_ns >= end_ns:
        return order.ticket.quantity
    if now_ns < start_ns:
        return Decimal(0)
    done = Decimal(now_ns - start_ns) / (end_ns - start_ns)
    if order.ticket.algo == VWAP:
        done = _share_of_volume(market, order.ticket.symbol, (start_ns, now_ns, end_ns), done)
    # The first slice goes at once, the last before the end.
    slices = min((done * pace.slices).to_integral_value(ROUND_FLOOR) + 1, Decimal(pace.slices))
    return (order.ticket.quantity * slices / pace.slices).to_integral_value(ROUND_FLOOR)


def window(ticket: Ticket, started_ns: int, pace: Pace) -> tuple[int, int]:
    """From when to when Twap and Vwap work."""
    start_ns = _moment(ticket.algo_params.get("startTime", ""), started_ns) or started_ns
    end_ns = _moment(ticket.algo_params.get("endTime", ""), started_ns) or start_ns + pace.window_s * NS_PER_S
    return start_ns, end_ns


def _adaptive(order: WorkingOrder, top: Top, now_ns: int, min_tick: Decimal, pace: Pace) -> Asking:
    side = order.ticket.side
    seconds = pace.adaptive_s[order.ticket.algo_params.get("adaptivePriority", "Normal")]
    done = min(Decimal(now_ns - order.started_ns) / (seconds * NS_PER_S), Decimal(1))
    near, touch = top.near(side), top.touch(side)
    steps = (abs(touch - near) * done / min_tick).to_integral_value(ROUND_FLOOR)
    return Asking(_capped(side, near + order.ticket.sign * steps * min_tick, order.limit_price), passive=True)


def _capped(side: Side, price: Decimal, cap: Decimal | None) -> Decimal:
    if cap is None:
        return price
    return min(price, cap) if side == Side.BUY else max(price, cap)


def _share_of_volume(market: Market, symbol: str, times: tuple[int, int, int], by_time: Decimal) -> Decimal:
    begun, now, end = (market.quote(symbol, one).volume for one in times)
    # Volume counts from New York's midnight: over it, and without any, time has to do.
    return Decimal(now - begun) / (end - begun) if begun <= now <= end and begun < end else by_time


def _moment(text: str, near_ns: int) -> int | None:
    """A parameter's time, of the day of `near_ns` if it names none; in New York's time unless it names a zone."""
    if not text:
        return None
    stem, zone = text.strip(), NEW_YORK
    words = stem.rsplit(" ", 1)
    if len(words) > 1 and not words[1][0].isdigit():
        stem, zone = words[0], _zone(words[1])
    for form in _MOMENTS:
        try:
            found = datetime.strptime(stem, form)  # noqa: DTZ007 - the zone follows
        except ValueError:
            continue
        if form == "%H:%M:%S":
            found = datetime.combine(from_ns(near_ns).astimezone(zone).date(), found.time())
        if form == "%Y%m%d-%H:%M:%S":
            zone = ZoneInfo("UTC")
        return to_ns(found.replace(tzinfo=zone))
    raise AlgoError(441, f"Algo attributes validation failed: time {text}")


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise AlgoError(441, f"Algo attributes validation failed: time zone {name}") from None
